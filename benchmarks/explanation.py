"""How fast a dual encoder is explained, against a plain captum call on padded sound.

    python benchmarks/explanation.py

A base-size model with random weights (WavLM-base-plus and RoBERTa-base) explains one utterance of
MELD's median length in two ways, with the same baselines, steps and windows:

- naive: captum on sound padded to 8 s and 64 tokens as in the paper's recipe, transformers' own
  attention, both encoders run for every pass, parameters with their gradients, float32;
- mmemo: true lengths, a modality that is not touched encoded once, no gradients of parameters,
  and, with ``--precision bfloat16``, the path of Integrated Gradients in it.

Time is CPU time on one thread, which is steady on a shared machine. How near both are is measured
on the same input of real length: the cosine of mmemo's attributions, sample by sample and token by
token, to those of captum there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from captum import attr
from hydra import compose, initialize_config_dir
from torch import Tensor
from training import MAX_DURATION_S, MAX_TOKENS, NARROW, RECIPE, SAMPLE_RATE, SMALL, STILL

from mmemo.commands.launch import config_dir
from mmemo.data.batch import AudioInput, TextInput
from mmemo.explanation.baselines import Baselines
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.integrated_gradients import IntegratedGradients
from mmemo.explanation.perturbation import PerturbedUtterance, freeze_classifier
from mmemo.explanation.removal import Occlusion
from mmemo.explanation.selection import log_odds
from mmemo.models.classifier import EmotionClassifier
from mmemo.runs.experiment import Experiment

MEDIAN_S, NUM_TOKENS = 2.5, 12
WINDOW_MS, STRIDE_MS = 100.0, 50.0
TARGET = 0
KEY = "noise"


@dataclass(frozen=True)
class Case:
    """An utterance (1, T) and (1, L), padded or not, and its baselines."""

    given: UtteranceInput
    baselines: Baselines
    embeddings: Tensor


def build(small: bool, settings: Sequence[str]) -> EmotionClassifier:
    """The model with random weights, the same every time, and nothing random in its passes."""
    overrides = ["experiment=paper", "corpus.root=none", *settings]
    for group, names in STILL.items():
        values = ",".join(f"{name}{'' if 'prob' in name else '_dropout'}:0.0" for name in names)
        small_sizes = f",{SMALL}" + (f",{NARROW}" if group == "audio_encoder" else "")
        values += small_sizes if small else ""
        overrides += [f"{group}.pretrained=false", f"{group}.config_overrides={{{values}}}"]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides)
    torch.manual_seed(0)
    experiment = Experiment(cfg)
    module = experiment.build_module(experiment.build_encoders())
    classifier = module.classifier
    if not isinstance(classifier, EmotionClassifier):
        raise TypeError(f"expected a classifier, got {type(classifier).__name__}")
    return classifier.eval()


def draw_case(classifier: EmotionClassifier, duration_s: float, is_padded: bool) -> Case:
    """The same noise and tokens with or without padding to the recipe's lengths."""
    text_encoder = classifier.text_encoder
    if text_encoder is None:
        raise TypeError("expected a text encoder, got none")
    generator = torch.Generator().manual_seed(0)
    num_samples = round(duration_s * SAMPLE_RATE)
    waveform = torch.randn(1, num_samples, generator=generator)
    low = 0.1 * torch.randn(1, num_samples, generator=generator)
    ids = torch.randint(5, 250, (1, NUM_TOKENS), generator=generator)
    if is_padded:
        missing = (0, round(MAX_DURATION_S * SAMPLE_RATE) - num_samples)
        waveform, low = (torch.nn.functional.pad(sound, missing) for sound in (waveform, low))
        fill = (0, MAX_TOKENS - NUM_TOKENS)
        ids = torch.nn.functional.pad(ids, fill, value=text_encoder.pad_token_id)
    audio = AudioInput(waveform, torch.arange(waveform.shape[1])[None] < num_samples)
    text = TextInput(ids, torch.arange(ids.shape[1])[None] < NUM_TOKENS, None)
    inside = (torch.arange(ids.shape[1]) > 0) & (torch.arange(ids.shape[1]) < NUM_TOKENS - 1)
    token_words = torch.eye(ids.shape[1], dtype=torch.bool)[:, 1 : NUM_TOKENS - 1]
    replaced = torch.where(inside, text_encoder.pad_token_id, ids)
    with torch.no_grad():
        embeddings, blank = text_encoder.embed(ids), text_encoder.embed(replaced)
    given = UtteranceInput(
        KEY, TARGET, audio, waveform[0, :num_samples], SAMPLE_RATE, text, "", (), token_words
    )
    return Case(given, Baselines(low, blank), embeddings)


def plain_output(classifier: EmotionClassifier, case: Case) -> Callable[[Tensor, Tensor], Tensor]:
    """F of sound (N, T) and embeddings (N, L, D), both encoded every time."""
    audio, text = case.given.audio, case.given.text
    audio_encoder, text_encoder = classifier.audio_encoder, classifier.text_encoder
    if audio is None or text is None or audio_encoder is None or text_encoder is None:
        raise TypeError("expected sound and text, and an encoder for each")

    def output(waveform: Tensor, embeddings: Tensor) -> Tensor:
        size = len(waveform)
        tokens = TextInput(text.input_ids.expand(size, -1), text.mask.expand(size, -1), text.own)
        features = {
            "audio": audio_encoder(AudioInput(waveform, audio.mask.expand(size, -1))),
            "text": text_encoder(tokens, embeddings),
        }
        return log_odds(classifier.classify(features), TARGET)

    return output


def naive_gradients(classifier: EmotionClassifier, case: Case, n_steps: int) -> list[Tensor]:
    """Integrated Gradients by captum: of samples (T,), and of tokens (L,)."""
    inputs = (case.given.audio.waveform, case.embeddings)  # type: ignore[union-attr]
    ends = (case.baselines.waveforms, case.baselines.embeddings)
    found = attr.IntegratedGradients(plain_output(classifier, case)).attribute(
        inputs, ends, n_steps=n_steps, internal_batch_size=10
    )
    return [found[0][0].detach(), found[1][0].sum(dim=1).detach()]


def naive_occlusion(classifier: EmotionClassifier, case: Case) -> list[Tensor]:
    """Occlusion of samples (T,) by captum, one window at a time as its default is."""
    output = plain_output(classifier, case)
    window, stride = (round(ms * SAMPLE_RATE / 1000) for ms in (WINDOW_MS, STRIDE_MS))
    with torch.no_grad():
        found = attr.Occlusion(lambda sound: output(sound, case.embeddings)).attribute(
            case.given.audio.waveform,  # type: ignore[union-attr]
            sliding_window_shapes=(window,),
            strides=(stride,),
            baselines=case.baselines.waveforms,
        )
    return [found[0]]


def our_utterance(classifier: EmotionClassifier, case: Case) -> PerturbedUtterance:
    """The utterance before the model, as mmemo explains it."""
    return PerturbedUtterance(classifier, case.given, case.baselines, TARGET, "log_odds")


def our_gradients(
    classifier: EmotionClassifier, case: Case, n_steps: int, precision: str
) -> list[Tensor]:
    """The same by mmemo."""
    method = IntegratedGradients(n_steps, 10, precision)  # type: ignore[arg-type]
    found = method.attribute(our_utterance(classifier, case))
    if found is None or found.samples is None or found.tokens is None:
        raise RuntimeError("expected gradients of sound and text, got none")
    return [torch.from_numpy(found.samples), torch.from_numpy(found.tokens)]


def our_occlusion(classifier: EmotionClassifier, case: Case) -> list[Tensor]:
    """Occlusion of 20 ms frames by mmemo."""
    found = Occlusion(WINDOW_MS, STRIDE_MS).attribute(our_utterance(classifier, case))
    if found.frames is None:
        raise RuntimeError("expected an occlusion of the sound, got none")
    return [torch.from_numpy(found.frames)]


def timed(work: Callable[[], list[Tensor]]) -> tuple[float, list[Tensor]]:
    """CPU seconds, and what was computed."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def cosine(a: list[Tensor], b: list[Tensor]) -> float:
    """Of all values together."""
    first, second = (torch.cat([part.double().flatten() for part in parts]) for parts in (a, b))
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def in_frames(samples: Tensor) -> Tensor:
    """Means over 20 ms."""
    return torch.stack([part.mean() for part in samples.split(SAMPLE_RATE // 50)])


def main() -> None:
    """Measure both methods and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=20, help="of Integrated Gradients")
    parser.add_argument("--seconds", type=float, default=MEDIAN_S)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--small", action="store_true", help="tiny models, to try the benchmark")
    options = parser.parse_args()
    torch.set_num_threads(1)
    naive, classifier = (build(options.small, how) for how in (RECIPE, ["padding=longest"]))
    classifier.load_state_dict(naive.state_dict())
    padded = draw_case(classifier, options.seconds, is_padded=True)
    real = draw_case(classifier, options.seconds, is_padded=False)
    steps = options.steps
    naive_s = {
        "Integrated Gradients": timed(lambda: naive_gradients(naive, padded, steps))[0],
        "Occlusion": timed(lambda: naive_occlusion(naive, padded))[0],
    }
    same_input = {
        "Integrated Gradients": naive_gradients(classifier, real, steps),
        "Occlusion": [in_frames(naive_occlusion(classifier, real)[0])],
    }
    freeze_classifier(classifier)
    ours = {
        "Integrated Gradients": timed(
            lambda: our_gradients(classifier, real, steps, options.precision)
        ),
        "Occlusion": timed(lambda: our_occlusion(classifier, real)),
    }
    print(f"{options.seconds:g} s of sound, {steps} steps, {options.precision}, one thread")
    print(f"{'':22}naive CPU s  mmemo CPU s  times faster  cosine")
    for name, (cpu_s, found) in ours.items():
        ratio = naive_s[name] / cpu_s
        near = cosine(found, same_input[name])
        print(f"{name:22}{naive_s[name]:11.1f}  {cpu_s:11.1f}  {ratio:12.1f}  {near:.5f}")


if __name__ == "__main__":
    main()
