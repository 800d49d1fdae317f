from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mmemo.explanation.faithfulness import (
    RandomisedStage,
    randomisation_stages,
    randomised_models,
    randomised_stage,
)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])
        self.fusion = nn.Linear(16, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(torch.tanh(self.fusion(x)))


def gradient_times_input(model: nn.Module) -> NDArray[np.float64]:
    x = torch.linspace(-1, 1, 16).requires_grad_()
    model(x)[0].backward()
    assert x.grad is not None
    return (x.grad * x).detach().double().numpy()


def parameter_randomisation(
    model: nn.Module,
    stages: Sequence[tuple[str, Sequence[nn.Module]]],
    attribute: Callable[[nn.Module], NDArray[np.float64]],
    seed: int,
) -> list[RandomisedStage]:
    original = attribute(model)
    return [
        randomised_stage(name, original, attribute(randomised), seed, is_sound=False)
        for name, randomised in randomised_models(model, stages, seed)
    ]


def input_alone(model: nn.Module) -> NDArray[np.float64]:
    return np.linspace(-1, 1, 16)


def test_stages_run_from_the_output_down_and_encoders_side_by_side() -> None:
    model = Tiny()
    stages = randomisation_stages(model, {"audio": model.layers, "text": model.layers[1:]})
    assert [name for name, _ in stages] == [
        "head",
        "fusion",
        "audio layer 1, text layer 0",
        "audio layer 0",
        "everything",
    ]


def test_an_attribution_that_knows_no_weights_survives_and_another_does_not() -> None:
    torch.manual_seed(0)
    model = Tiny()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    stages = randomisation_stages(model, {"text": model.layers})
    survives = parameter_randomisation(model, stages, input_alone, seed=1)
    assert [stage.correlation for stage in survives] == [1.0] * len(stages)
    # Of sixteen units no random order in a thousand is the same.
    assert {(stage.p, stage.least_p) for stage in survives} == {(2 / 1000, 2 / 1000)}
    real = parameter_randomisation(model, stages, gradient_times_input, seed=1)
    last = real[-1].correlation
    assert last is not None and abs(last) < 0.6
    assert real == parameter_randomisation(model, stages, gradient_times_input, seed=1)
    for name, values in model.state_dict().items():
        assert torch.equal(values, before[name])


def test_each_stage_keeps_what_is_random_already() -> None:
    model = Tiny()
    seen = []

    def keep(changed: nn.Module) -> NDArray[np.float64]:
        seen.append({name: p.clone() for name, p in changed.named_parameters()})
        return np.arange(4.0)

    parameter_randomisation(model, randomisation_stages(model, {"text": model.layers}), keep, 0)
    original, head, fusion, *_, everything = seen
    assert not torch.equal(original["head.weight"], head["head.weight"])
    assert torch.equal(original["fusion.weight"], head["fusion.weight"])
    assert torch.equal(head["head.weight"], fusion["head.weight"])
    assert not torch.equal(head["fusion.weight"], fusion["fusion.weight"])
    assert not torch.equal(original["layers.0.weight"], everything["layers.0.weight"])
