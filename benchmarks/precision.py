"""Where training in bfloat16 departs from float32, in mmemo and in transformers' own models.

    python benchmarks/precision.py

WavLM and RoBERTa with random weights and no dropout take the same training steps in several ways,
each of which is compared with transformers' own models in float32, which hear one utterance at a
time, without padding:

- transformers: the same in bfloat16, by torch's autocast;
- autocast throughout: mmemo's batches in bfloat16, its head and its residuals too;
- mmemo: mmemo in bfloat16, as ``precision=bf16-mixed``;
- rounded once: mmemo in float32, its weights rounded to bfloat16 before the first step: what
  training makes of a perturbation of that size, whatever the precision of its steps;
- bf16-true: mmemo with its weights in bfloat16, as ``precision=bf16-true``;
- descent: mmemo in bfloat16 by plain gradient descent, against the same in float32.

Of each: the error of the first batch's losses, before any step (root mean square over utterances);
the error of the first gradient, relative to the gradient; the largest difference of a batch's loss
within the steps, and what of it is left when the same weights answer in float32, which is what the
steps have made of the weights. Then relative errors by part, of what it gives for one utterance
and of its first gradient. All are medians over seeds, of weights and data. The layout is reduced
(6 layers, 192 features, clips of up to 2 s, a learning rate of 1e-4); ``--base`` takes base-size
models, clips of up to 3 s and 2e-5.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from training import BASE, BATCH_SIZE, TINY, Trainee, build, collate, draw_batches
from transformers import RobertaModel, WavLMModel

from mmemo.data.batch import Example

FRAME_SAMPLES, HOP_SAMPLES = 400, 320  # WavLM's
REDUCED_SIZES = "hidden_size:192,num_hidden_layers:6,num_attention_heads:4,intermediate_size:768"
REDUCED = {
    "audio_encoder": f"{REDUCED_SIZES},conv_dim:[{','.join(['64'] * 7)}]",
    "text_encoder": REDUCED_SIZES,
}
DESCENT_RATE = 100.0
"""Learning rate of plain descent over AdamW's, whose steps do not grow with the gradient."""
WATCHED = {
    "convolutions": "speech.feature_extractor",
    "speech model, first layer": "speech.encoder.layers.0",
    "speech model, last layer": "speech.encoder.layers.{last}",
    "language model, last layer": "text.encoder.layer.{last}",
    "logits": "head",
}
# Parameters by what their names contain; the first that fits.
TRAINED = {
    "convolutions": "feature_extractor",
    "speech model, norms": "layer_norm",
    "speech model, the rest": "speech",
    "language model": "text.",
    "projections and head": "",
}


@dataclass(frozen=True)
class Layout:
    """Sizes of models and clips, and the learning rate that suits them."""

    sizes: dict[str, str]
    max_duration_s: float
    learning_rate: float


@dataclass(frozen=True)
class Way:
    """How to train: whose model, in which type, from which weights, by what."""

    name: str
    is_own: bool = True
    autocast: bool = False
    throughout: bool = False
    weights: torch.dtype = torch.float32
    rounded: bool = False
    descent: bool = False


@dataclass(frozen=True)
class Run:
    """Losses of the steps, and of the same weights in float32; what the first weights gave."""

    losses: list[float]
    float32_losses: list[float]
    first_losses: Tensor
    outputs: dict[str, Tensor]
    gradient: dict[str, Tensor]


REFERENCE = Way("transformers, float32", is_own=False)
DESCENT = Way("mmemo, float32, descent", descent=True)
HALF = (
    Way("transformers, bfloat16", is_own=False, autocast=True),
    Way("mmemo, autocast throughout", autocast=True, throughout=True),
    Way("mmemo, bfloat16", autocast=True),
)
WAYS = (
    Way("mmemo, float32"),
    *HALF,
    Way("mmemo, float32, rounded once", rounded=True),
    Way("mmemo, bf16-true", weights=torch.bfloat16),
    Way("mmemo, bfloat16, descent", autocast=True, descent=True),
)


class PlainModel(nn.Module):
    """transformers' own two models, one utterance at a time, and the paper's head.

    Args:
        classifier: mmemo's, whose weights it begins with.
    """

    def __init__(self, classifier: Any) -> None:  # noqa: ANN401
        super().__init__()
        audio, text = classifier.audio_encoder, classifier.text_encoder
        self.speech = WavLMModel(deepcopy(audio.backbone.config))
        self.speech.load_state_dict(audio.model.state_dict())
        self.text = RobertaModel(deepcopy(text.config), add_pooling_layer=False)
        self.text.load_state_dict(text.model.state_dict())
        self.projections = deepcopy(classifier.fusion.projections)
        self.head = deepcopy(classifier.head)

    def forward(self, examples: list[Example]) -> Tensor:
        """Logits (B, C)."""
        return torch.cat([self._answer(example) for example in examples])

    def _answer(self, example: Example) -> Tensor:
        frames = self.speech(example.waveform[None]).last_hidden_state
        tokens = self.text(example.input_ids[None]).last_hidden_state
        pooled = {"audio": frames.mean(dim=1), "text": tokens[:, 0]}
        return self.head(torch.cat([self.projections[n](pooled[n]) for n in pooled], dim=1))


class OwnModel(nn.Module):
    """mmemo's model on a batch, its parts named as those of ``PlainModel``.

    Args:
        trainee: Whose module it is.
        throughout: Whether autocast reaches what mmemo keeps out of it.
    """

    def __init__(self, trainee: Trainee, throughout: bool) -> None:
        super().__init__()
        classifier: Any = trainee.module.classifier
        self.batch_of = lambda examples: collate(trainee, examples)
        self.classifiers = [classifier]
        self.throughout = throughout
        self.speech = classifier.audio_encoder.model
        self.text = classifier.text_encoder.model
        self.projections = classifier.fusion.projections
        self.head = classifier.head
        if throughout:
            self.speech.encoder._forward_pre_hooks.clear()

    def forward(self, examples: list[Example]) -> Tensor:
        """Logits (B, C)."""
        (classifier,) = self.classifiers
        batch = self.batch_of(examples)
        if self.throughout:
            return self.head(classifier.fusion(classifier.encode(batch)))
        return classifier(batch)


def begin(way: Way, layout: Layout, seed: int) -> nn.Module:
    """The model of a way, with the seed's weights."""
    trainee = build("float32", layout.sizes, seed)
    classifier = trainee.module.classifier
    model = OwnModel(trainee, way.throughout) if way.is_own else PlainModel(classifier)
    if way.rounded:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.bfloat16())
    return model.to(way.weights)


def build_optimizer(model: nn.Module, way: Way, layout: Layout) -> torch.optim.Optimizer:
    """AdamW as mmemo's, or gradient descent."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if way.descent:
        return torch.optim.SGD(trained, lr=DESCENT_RATE * layout.learning_rate)
    decays = {True: 0.01, False: 0.0}
    groups = [
        {"params": [p for p in trained if (p.ndim > 1) == is_matrix], "weight_decay": decay}
        for is_matrix, decay in decays.items()
    ]
    return torch.optim.AdamW(groups, lr=layout.learning_rate, fused=True)


def losses_of(model: nn.Module, examples: list[Example], autocast: bool) -> Tensor:
    """Cross-entropy of each utterance (B,), in float32."""
    target = torch.tensor([example.target for example in examples])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast, cache_enabled=False):
        logits = model(examples)
    return nn.functional.cross_entropy(logits.float(), target, reduction="none")


def train(way: Way, layout: Layout, batches: list[list[Example]], seed: int) -> Run:
    """Take a step on each batch."""
    model = begin(way, layout, seed)
    optimizer = build_optimizer(model, way, layout)
    with torch.no_grad():
        first_losses = losses_of(model, batches[0], way.autocast)
    run = Run([], [], first_losses, first_outputs(model, way, batches[-1][:1]), {})
    for examples in batches:
        if way.autocast:
            with torch.no_grad():
                run.float32_losses.append(float(losses_of(model, examples, False).mean()))
        loss = losses_of(model, examples, way.autocast).mean()
        loss.backward()
        if not run.gradient:
            trained = ((n, p) for n, p in model.named_parameters() if p.grad is not None)
            run.gradient.update({name: p.grad.float().clone() for name, p in trained})
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        run.losses.append(float(loss.detach()))
    return run


def first_outputs(model: nn.Module, way: Way, utterance: list[Example]) -> dict[str, Tensor]:
    """What the watched parts give for one utterance, which nothing pads."""
    outputs: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[..., None]:
        def keep(
            module: nn.Module, given: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]
        ) -> None:
            outputs[name] = (output[0] if isinstance(output, tuple) else output).float()

        return keep

    last = len(model.text.encoder.layer) - 1
    hooks = [
        model.get_submodule(path.format(last=last)).register_forward_hook(keeper(name))
        for name, path in WATCHED.items()
    ]
    with torch.no_grad():
        losses_of(model, utterance, way.autocast)
    for hook in hooks:
        hook.remove()
    return outputs


def gradient_of(part: str, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of a gradient is a part's."""
    return {
        name: values
        for name, values in gradient.items()
        if next(found for found, mark in TRAINED.items() if mark in name) == part
    }


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Norm of the difference over the norm."""
    error = sum(float((found[n] - expected[n]).square().sum()) for n in expected)
    return (error / sum(float(values.square().sum()) for values in expected.values())) ** 0.5


def gap(found: list[float], expected: list[float]) -> float:
    """Largest difference."""
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


def errors_by_part(run: Run, reference: Run) -> dict[str, float]:
    """Relative errors of outputs and of gradients."""
    outputs = {
        f"output: {name}": relative_error({"": run.outputs[name]}, {"": reference.outputs[name]})
        for name in WATCHED
    }
    gradients = {
        f"gradient: {part}": relative_error(
            gradient_of(part, run.gradient), gradient_of(part, reference.gradient)
        )
        for part in TRAINED
    }
    return outputs | gradients


def draw_whole_frames(layout: Layout, num_batches: int, seed: int) -> list[list[Example]]:
    """Batches whose sound ends with a frame: mmemo leaves out what lies behind the last one."""
    batches = draw_batches(num_batches, None, layout.max_duration_s, seed)
    return [[replace(e, waveform=_whole_frames(e.waveform)) for e in batch] for batch in batches]


def _whole_frames(waveform: Tensor) -> Tensor:
    return waveform[: len(waveform) - (len(waveform) - FRAME_SAMPLES) % HOP_SAMPLES]


def study(layout: Layout, num_steps: int, seed: int) -> dict[str, list[float]]:
    """The numbers of each way, and of each part in the ways of ``HALF``."""
    batches = draw_whole_frames(layout, num_steps, seed)
    reference = train(REFERENCE, layout, batches, seed)
    descended = train(DESCENT, layout, batches, seed).losses
    numbers: dict[str, list[float]] = {}
    by_part: dict[str, list[float]] = {}
    for way in WAYS:
        run = train(way, layout, batches, seed)
        expected = descended if way.descent else reference.losses
        first = (run.first_losses - reference.first_losses).square().mean().sqrt()
        numbers[way.name] = [
            float(first),
            relative_error(run.gradient, reference.gradient),
            gap(run.losses, expected),
            gap(run.float32_losses or run.losses, expected),
        ]
        if way in HALF:
            for name, error in errors_by_part(run, reference).items():
                by_part.setdefault(name, []).append(error)
    return numbers | by_part


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--base", action="store_true", help="base-size models")
    parser.add_argument("--small", action="store_true", help="tiny models, to try the benchmark")
    options = parser.parse_args()
    torch.set_num_threads(1)
    layout = Layout(BASE, 3.0, 2e-5) if options.base else Layout(REDUCED, 2.0, 1e-4)
    if options.small:
        layout = replace(layout, sizes=TINY)
    studies = [study(layout, options.steps, seed) for seed in range(options.seeds)]
    middle = {
        name: np.median([found[name] for found in studies], axis=0).tolist() for name in studies[0]
    }
    print(f"{options.steps} steps of {BATCH_SIZE} utterances, seeds: {options.seeds}")
    print(f"{'':29} first losses  gradient  largest  weights' share")
    for way in WAYS:
        print(f"{way.name:29} " + "  ".join(f"{value:9.1e}" for value in middle[way.name]))
    print(f"\n{'relative errors':29} transformers  throughout  mmemo")
    for name, values in middle.items():
        if ": " in name:
            print(f"{name:36} " + "  ".join(f"{value:9.1e}" for value in values))


if __name__ == "__main__":
    main()
