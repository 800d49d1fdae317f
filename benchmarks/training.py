"""How fast the dual encoder trains, against the paper's recipe, and whether it learns the same.

    python benchmarks/training.py

Base-size models with random weights (WavLM-base and RoBERTa-base) and no dropout take the same
training steps on the same batches of eight utterances in several ways:

- reference: every utterance alone, without padding, in float32; what the others are compared with;
- recipe: as in the paper: 8 s and 64 tokens, transformers' own attention, unfused AdamW, float32;
- float32, bfloat16: real lengths in batches of like length, mmemo's defaults;
- front frozen: bfloat16, and the convolutions of the speech model not trained;
- cached: both encoders frozen, their features kept; a head is trained.

Lengths are MELD's own, cut at 8 s (``--facts`` names a list of real ones, else the recorded
distribution); the batches are drawn evenly from all lengths. Time is CPU time on one thread,
which is steady on a shared machine; two ways at a time take turns, because more models and their
optimizers do not fit into the memory of a small machine. Memory is that of a process that takes
two steps on the batch of middle length, and on the longest: all of it, weights and optimizer
included.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from meld_durations import draw_clips
from torch import Tensor

from mmemo.commands.launch import config_dir
from mmemo.data.batch import AudioFeatures, Batch, Collator, Example, TextFeatures
from mmemo.runs.experiment import Experiment
from mmemo.training.module import EmotionModule

SAMPLE_RATE, MAX_DURATION_S, MAX_TOKENS, BATCH_SIZE = 16_000, 8.0, 64, 8
BUCKET_UTTERANCES = 100 * BATCH_SIZE
# MELD's transcripts have 40.8 characters and its clips 3.03 s in the mean; RoBERTa's tokens have
# about 4 characters, and two more are special.
TOKENS_PER_S, SPECIAL_TOKENS = 13.4 / 4, 2
IN_TURNS = (("reference",), ("recipe", "float32"), ("bfloat16", "front frozen"), ("cached",))
VARIANTS = ("recipe", "float32", "bfloat16", "front frozen", "cached")
REAL_LENGTHS: dict[str, list[str]] = {
    "reference": [],
    "float32": [],
    "bfloat16": [],
    "front frozen": ["audio_encoder.trainable=no_feature_encoder"],
    "cached": ["audio_encoder.trainable=none", "text_encoder.trainable=none"],
}
RECIPE = [
    "padding=fixed",
    "audio_encoder.attention=eager",
    "text_encoder.attention=eager",
    "optimizer.fused=false",
]
STILL = {
    "audio_encoder": ("hidden", "attention", "activation", "feat_proj"),
    "text_encoder": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}
HALF = ("bfloat16", "front frozen")
PARTS = ("audio", "text")
NUM_PLACES = 11  # batches of one bucket from which those of middle and greatest length are taken
SMALL = "hidden_size:32,num_hidden_layers:2,num_attention_heads:2,intermediate_size:64"
NARROW = f"conv_dim:[{','.join(['16'] * 7)}]"
BASE: dict[str, str] = {}
TINY = {"audio_encoder": f"{SMALL},{NARROW}", "text_encoder": SMALL}


@dataclass
class Result:
    """What was measured of one way to train: loss and CPU seconds of each step."""

    losses: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


@dataclass
class Trainee:
    """One way to train: a model and its optimizer; ``kept`` are features of frozen encoders."""

    name: str
    module: EmotionModule
    optimizer: torch.optim.Optimizer
    kept: dict[str, Tensor] = field(default_factory=dict)
    result: Result = field(default_factory=Result)


def build(name: str, sizes: Mapping[str, str], seed: int = 0) -> Trainee:
    """A trainee with the weights that all of one seed begin with.

    Args:
        name: Of the way to train.
        sizes: Settings of each encoder that differ from the base size.
        seed: Of the weights.
    """
    off = {
        "audio_encoder": ",".join(f"{part}_dropout:0.0" for part in STILL["audio_encoder"]),
        "text_encoder": ",".join(f"{part}:0.0" for part in STILL["text_encoder"]),
    }
    off = {group: f"{values},{sizes.get(group, '')}".strip(",") for group, values in off.items()}
    overrides = [
        "experiment=paper",
        "corpus.root=none",
        "classifier.dropout=0",
        "audio_encoder.layerdrop=0",
        "audio_encoder.mask_time_prob=0",
        *(f"{group}.pretrained=false" for group in off),
        *(f"{group}.config_overrides={{{values}}}" for group, values in off.items()),
        *(RECIPE if name == "recipe" else ["padding=longest", *REAL_LENGTHS[name]]),
    ]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides)
    torch.manual_seed(seed)
    experiment = Experiment(cfg)
    module = experiment.build_module(experiment.build_encoders())
    module.build_scheduler = None
    return Trainee(name, module, module.configure_optimizers())


def draw_batches(
    num_batches: int,
    facts: Path | None,
    max_duration_s: float = MAX_DURATION_S,
    seed: int = 0,
) -> list[list[Example]]:
    """Batches of a sorted bucket, evenly from the shortest to the longest."""
    durations_s = draw_clips(BUCKET_UTTERANCES, facts)["duration_s"].clip(0.1, max_duration_s)
    ordered = np.sort(durations_s.to_numpy())
    chosen = (np.arange(num_batches) + 0.5) / num_batches * (BUCKET_UTTERANCES // BATCH_SIZE)
    generator = torch.Generator().manual_seed(seed)
    return [
        [_example(f"{number:.0f}-{i}", seconds, generator) for i, seconds in enumerate(part)]
        for number in chosen.astype(int)
        for part in [ordered[number * BATCH_SIZE : (number + 1) * BATCH_SIZE]]
    ]


def _example(key: str, duration_s: float, generator: torch.Generator) -> Example:
    """Noise of zero mean and unit variance, and random tokens."""
    waveform = torch.randn(round(duration_s * SAMPLE_RATE), generator=generator)
    num_tokens = min(MAX_TOKENS, SPECIAL_TOKENS + round(duration_s * TOKENS_PER_S))
    tokens = torch.randint(5, 250, (num_tokens,), generator=generator)
    target = int(torch.randint(5, (1,), generator=generator))
    return Example(key, target, waveform, tokens)


def collate(trainee: Trainee, examples: list[Example]) -> Batch:
    """What the loader would hand to the model."""
    classifier: Any = trainee.module.classifier
    audio, text = classifier.audio_encoder, classifier.text_encoder
    batch = Collator(audio.min_samples, audio.fixed_samples, text.pad_token_id)(examples)
    if trainee.name == "recipe" and batch.text is not None:
        missing = (0, MAX_TOKENS - batch.text.input_ids.shape[1])
        ids = torch.nn.functional.pad(batch.text.input_ids, missing, value=text.pad_token_id)
        padded = replace(
            batch.text, input_ids=ids, mask=torch.nn.functional.pad(batch.text.mask, missing)
        )
        return replace(batch, text=padded)
    if trainee.name != "cached":
        return batch
    kept = {part: torch.stack([trainee.kept[f"{part} {k}"] for k in batch.keys]) for part in PARTS}
    return replace(batch, audio=AudioFeatures(kept["audio"]), text=TextFeatures(kept["text"]))


def keep_features(trainee: Trainee, batches: list[list[Example]]) -> None:
    """Encode all utterances once, as the feature cache does."""
    classifier: Any = trainee.module.classifier
    for examples in batches:
        batch = collate(replace(trainee, name="encoding"), examples)
        with torch.inference_mode():
            for part, encoder in (
                ("audio", classifier.audio_encoder),
                ("text", classifier.text_encoder),
            ):
                for key, pooled in zip(
                    batch.keys, encoder.pooled_layers(getattr(batch, part)), strict=True
                ):
                    trainee.kept[f"{part} {key}"] = pooled.clone()


def step(trainee: Trainee, examples: list[Example]) -> None:
    """One training step; its loss and its CPU time are noted."""
    batch = collate(trainee, examples)
    parts = [collate(trainee, [e]) for e in examples] if trainee.name == "reference" else [batch]
    start = time.process_time()
    total = 0.0
    for part in parts:
        with torch.autocast("cpu", torch.bfloat16, enabled=trainee.name in HALF):
            logits = trainee.module(part)
        losses = torch.nn.functional.cross_entropy(logits.float(), part.target, reduction="none")
        loss = losses.sum() / len(batch)
        loss.backward()
        total += float(loss)
    torch.nn.utils.clip_grad_norm_(
        [p for p in trainee.module.parameters() if p.grad is not None], 1.0
    )
    trainee.optimizer.step()
    trainee.optimizer.zero_grad()
    trainee.result.cpu_s.append(time.process_time() - start)
    trainee.result.losses.append(total)


def take_turns(
    names: tuple[str, ...], batches: list[list[Example]], small: bool
) -> dict[str, Result]:
    """Train in some of the ways, step by step in turns."""
    trainees = [build(name, TINY if small else BASE) for name in names]
    for trainee in trainees:
        if trainee.name == "cached":
            keep_features(trainee, batches)
    for examples in batches:
        for trainee in trainees:
            step(trainee, examples)
    return {trainee.name: trainee.result for trainee in trainees}


def peak_memory_gib(name: str, place: int, small: bool, facts: Path | None) -> float:
    """Peak of a process that takes two steps on one batch of the sorted bucket."""
    command = [sys.executable, __file__, "--memory", name, "--place", str(place)]
    command += ["--small"] if small else []
    command += ["--facts", str(facts)] if facts else []
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure_memory(name: str, place: int, small: bool, facts: Path | None) -> None:
    """Take two steps and print the peak of this process in GiB."""
    trainee = build(name, TINY if small else BASE)
    (examples,) = draw_batches(NUM_PLACES, facts)[place : place + 1]
    if name == "cached":
        keep_features(trainee, [examples])
    for _ in range(2):
        step(trainee, examples)
    # Not getrusage: what it tells of a process includes the peak of the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    print(int(peak) / 2**20)


def main() -> None:
    """Measure all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--facts", type=Path, help="CSV of real lengths")
    parser.add_argument("--small", action="store_true", help="tiny models, to try the benchmark")
    parser.add_argument("--no-memory", action="store_true", help="measure time and loss alone")
    parser.add_argument("--memory", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        measure_memory(options.memory, options.place, options.small, options.facts)
        return
    batches = draw_batches(options.steps, options.facts)
    results = {
        name: result
        for names in IN_TURNS
        for name, result in take_turns(names, batches, options.small).items()
    }
    print_table(results, len(batches))
    if options.no_memory:
        return
    print("\npeak memory of a process, GiB: batch of middle length, longest batch")
    for name in VARIANTS:
        peaks = [
            peak_memory_gib(name, place, options.small, options.facts)
            for place in (NUM_PLACES // 2, NUM_PLACES - 1)
        ]
        print(f"{name:14} {peaks[0]:5.2f} {peaks[1]:5.2f}", flush=True)


def print_table(results: dict[str, Result], num_steps: int) -> None:
    """Samples for each CPU second, ratio to the recipe, and loss against the reference."""
    print(f"{num_steps} steps of {BATCH_SIZE} utterances, one thread")
    print(f"{'':14} samples/CPU s  x recipe  largest difference of the loss to the reference")
    reference = np.array(results["reference"].losses)
    recipe_s = sum(results["recipe"].cpu_s)
    for name, result in results.items():
        cpu_s = sum(result.cpu_s)
        rate = num_steps * BATCH_SIZE / cpu_s
        gap = np.abs(np.array(result.losses) - reference).max()
        print(f"{name:14} {rate:13.2f} {recipe_s / cpu_s:9.1f}  {gap:.1e}", flush=True)


if __name__ == "__main__":
    main()
