"""Where training in bfloat16 departs from float32, in mmemo and in transformers' own models.

    python benchmarks/precision.py

WavLM and RoBERTa with random weights and no dropout take the same training steps in several ways,
each of which is compared with transformers' own models in float32, which hear one utterance at a
time, without padding:

- transformers, mmemo: in bfloat16, by torch's autocast;
- rounded once: mmemo in float32, its weights rounded to bfloat16 before the first step: what
  training makes of a perturbation of that size, whatever the precision of its steps;
- bf16-true: mmemo with its weights in bfloat16, as ``precision=bf16-true``;
- descent: mmemo in bfloat16 with plain gradient descent, against the same in float32.

Of each: the difference of the first loss; the error of the first step's gradient, relative to the
gradient; the largest difference of the loss within the steps, and what of it is left when the
same weights answer in float32: what the steps have made of the weights, without the rounding of
the answer. Then the errors of the first pass and of the first gradient by part. All are medians
over seeds, of weights and of data. The layout is reduced (6 layers, 192 features, clips of up to
2 s, a learning rate of 1e-4); ``--base`` takes the base size, 8 s and 2e-5, which needs 10 GiB.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from training import BASE, BATCH_SIZE, TINY, Trainee, build, collate, draw_batches
from transformers import RobertaModel, WavLMModel

from mmemo.data.batch import Example

REDUCED_SIZES = "hidden_size:192,num_hidden_layers:6,num_attention_heads:4,intermediate_size:768"
REDUCED = {
    "audio_encoder": f"{REDUCED_SIZES},conv_dim:[{','.join(['64'] * 7)}]",
    "text_encoder": REDUCED_SIZES,
}
FRAME_SAMPLES, HOP_SAMPLES = 400, 320  # WavLM's
PARTS = (
    ("convolutions", ("feature_extractor",)),
    ("norms of the speech model", ("encoder.layer_norm", "final_layer_norm", "layer_norm")),
    ("speech model", ("speech", "audio_encoder")),
    ("language model", ("text",)),
    ("projections and head", ("",)),
)
WATCHED = (
    ("convolutions", "feature_extractor"),
    ("first layer of the speech model", "speech.encoder.layers.0"),
    ("last layer of the speech model", "speech.encoder.layers.{last}"),
    ("last layer of the language model", "text.encoder.layer.{last}"),
    ("logits", "head"),
)


@dataclass(frozen=True)
class Layout:
    """Sizes of models and clips, and the learning rate that suits them."""

    sizes: dict[str, str]
    max_duration_s: float
    learning_rate: float


@dataclass(frozen=True)
class Way:
    """How to train: whose model, in which type, from which weights, with what."""

    name: str
    is_own: bool
    autocast: bool = False
    weights: torch.dtype = torch.float32
    rounded: bool = False
    descent: bool = False


@dataclass(frozen=True)
class Run:
    """What came out: losses, those of the same weights in float32, the first step's gradient."""

    losses: list[float]
    float32_losses: list[float]
    gradient: dict[str, Tensor]
    outputs: dict[str, Tensor]


REFERENCE = Way("transformers, float32", is_own=False)
DESCENT = Way("mmemo, float32, descent", is_own=True, descent=True)
WAYS = (
    Way("mmemo, float32", is_own=True),
    Way("transformers, bfloat16", is_own=False, autocast=True),
    Way("mmemo, bfloat16", is_own=True, autocast=True),
    Way("mmemo, float32, rounded once", is_own=True, rounded=True),
    Way("mmemo, bf16-true", is_own=True, weights=torch.bfloat16),
    Way("mmemo, bfloat16, descent", is_own=True, autocast=True, descent=True),
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
    """mmemo's model on a batch, its parts named as those of ``PlainModel``."""

    def __init__(self, trainee: Trainee) -> None:
        super().__init__()
        self.trainee = [trainee]
        classifier: Any = trainee.module.classifier
        self.speech = classifier.audio_encoder.model
        self.text = classifier.text_encoder.model
        self.projections = classifier.fusion.projections
        self.head = classifier.head

    def forward(self, examples: list[Example]) -> Tensor:
        """Logits (B, C)."""
        (trainee,) = self.trainee
        return trainee.module(collate(trainee, examples))


def begin(way: Way, layout: Layout, seed: int) -> nn.Module:
    """The model of a way, with the seed's weights."""
    trainee = build("float32", layout.sizes, seed)
    model = OwnModel(trainee) if way.is_own else PlainModel(trainee.module.classifier)
    if way.rounded:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.bfloat16())
    trainee.module.to(way.weights)
    return model


def build_optimizer(model: nn.Module, way: Way, layout: Layout) -> torch.optim.Optimizer:
    """AdamW as mmemo's, or gradient descent."""
    matrices = [p for p in model.parameters() if p.ndim > 1 and p.requires_grad]
    vectors = [p for p in model.parameters() if p.ndim <= 1 and p.requires_grad]
    if way.descent:
        return torch.optim.SGD([*matrices, *vectors], lr=100 * layout.learning_rate)
    groups = [
        {"params": matrices, "weight_decay": 0.01},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=layout.learning_rate, fused=True)


def loss_of(model: nn.Module, examples: list[Example]) -> Tensor:
    """Mean cross-entropy, in float32."""
    target = torch.tensor([example.target for example in examples])
    return nn.functional.cross_entropy(model(examples).float(), target)


def train(way: Way, layout: Layout, batches: list[list[Example]], seed: int) -> Run:
    """Take a step on each batch."""
    model = begin(way, layout, seed)
    optimizer = build_optimizer(model, way, layout)
    run = Run([], [], {}, first_pass(model, way, batches[-1][:1]))
    for examples in batches:
        if way.autocast:
            with torch.no_grad():
                run.float32_losses.append(float(loss_of(model, examples)))
        with torch.autocast("cpu", torch.bfloat16, enabled=way.autocast, cache_enabled=False):
            loss = loss_of(model, examples)
        loss.backward()
        if not run.gradient:
            trained = ((n, p) for n, p in model.named_parameters() if p.grad is not None)
            run.gradient.update({name: p.grad.float().clone() for name, p in trained})
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        run.losses.append(float(loss.detach()))
    return run


def first_pass(model: nn.Module, way: Way, examples: list[Example]) -> dict[str, Tensor]:
    """What some parts give for one utterance, which nothing pads."""
    outputs: dict[str, Tensor] = {}
    last = len(model.text.encoder.layer) - 1

    def keep(name: str) -> Callable[..., None]:
        def hook(
            module: nn.Module, given: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]
        ) -> None:
            outputs[name] = (output[0] if isinstance(output, tuple) else output).float()

        return hook

    hooks = []
    for name, path in WATCHED:
        place = f"speech.{path}" if path == "feature_extractor" else path.format(last=last)
        hooks.append(model.get_submodule(place).register_forward_hook(keep(name)))
    with (
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16, enabled=way.autocast, cache_enabled=False),
    ):
        model(examples)
    for hook in hooks:
        hook.remove()
    return outputs


def part_of(name: str) -> str:
    """Which part of the model a parameter belongs to."""
    return next(part for part, marks in PARTS if any(mark in name for mark in marks))


def relative_error(found: dict[str, Tensor], expected: dict[str, Tensor], part: str = "") -> float:
    """Norm of the difference over the norm, of one part or of all."""
    names = [n for n in expected if not part or part in (n, part_of(n))]
    error = sum(float((found[n] - expected[n]).square().sum()) for n in names)
    return (error / sum(float(expected[n].square().sum()) for n in names)) ** 0.5


def gap(found: list[float], expected: list[float]) -> float:
    """Largest difference."""
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


def draw_whole_frames(layout: Layout, num_batches: int, seed: int) -> list[list[Example]]:
    """Batches whose sound ends with a frame: mmemo leaves out what lies behind the last one."""
    batches = draw_batches(num_batches, None, layout.max_duration_s, seed)
    return [[replace(e, waveform=_whole_frames(e.waveform)) for e in batch] for batch in batches]


def _whole_frames(waveform: Tensor) -> Tensor:
    return waveform[: len(waveform) - (len(waveform) - FRAME_SAMPLES) % HOP_SAMPLES]


def study(layout: Layout, num_steps: int, num_seeds: int) -> dict[str, list[list[float]]]:
    """Numbers of each way and of each part, for each seed."""
    found: dict[str, list[list[float]]] = {}
    for seed in range(num_seeds):
        batches = draw_whole_frames(layout, num_steps, seed)
        reference = train(REFERENCE, layout, batches, seed)
        descended = train(DESCENT, layout, batches, seed)
        by_part: dict[str, list[float]] = {}
        for way in WAYS:
            expected = descended if way.descent else reference
            run = train(way, layout, batches, seed)
            answers = run.float32_losses or run.losses
            numbers = [
                abs(run.losses[0] - expected.losses[0]),
                relative_error(run.gradient, expected.gradient),
                gap(run.losses, expected.losses),
                gap(answers, expected.losses) if way.autocast else float("nan"),
            ]
            found.setdefault(way.name, []).append(numbers)
            if way.autocast and not way.descent:
                for name, _ in WATCHED:
                    error = relative_error(run.outputs, expected.outputs, name)
                    by_part.setdefault(f"pass: {name}", []).append(error)
                for name, _ in PARTS:
                    error = relative_error(run.gradient, expected.gradient, name)
                    by_part.setdefault(f"gradient: {name}", []).append(error)
        for name, errors in by_part.items():
            found.setdefault(name, []).append(errors)
    return found


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--base", action="store_true", help="base-size models")
    parser.add_argument("--small", action="store_true", help="tiny models, to try the benchmark")
    options = parser.parse_args()
    torch.set_num_threads(1)
    layout = Layout(REDUCED, 2.0, 1e-4)
    if options.base:
        layout = Layout(BASE, 8.0, 2e-5)
    if options.small:
        layout = replace(layout, sizes=TINY)
    found = study(layout, options.steps, options.seeds)
    middle = {name: [median(c) for c in zip(*rows, strict=True)] for name, rows in found.items()}
    print(f"{options.steps} steps of {BATCH_SIZE} utterances, median of {options.seeds} seeds")
    print(f"{'':30} first loss  gradient  largest   same weights in float32")
    for way in WAYS:
        print(f"{way.name:30} " + "  ".join(f"{value:9.1e}" for value in middle[way.name]))
    print(f"\n{'bfloat16, relative error':44} transformers      mmemo")
    for name in middle:
        if ": " in name:
            print(f"{name:44} " + "  ".join(f"{value:11.1e}" for value in middle[name]))


if __name__ == "__main__":
    main()
