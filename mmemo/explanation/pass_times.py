"""How long an explanation takes, told from a few passes that are timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mmemo.explanation.explained_utterance import ExplainedUtterance
from mmemo.explanation.passes import Passes


@dataclass(frozen=True)
class PassTimes:
    """What one pass of one utterance takes.

    Args:
        forward_s: Without gradients.
        backward_s: What a gradient takes on top of that.
    """

    forward_s: float
    backward_s: float

    def total_s(self, passes: Passes) -> float:
        """Time of so many passes of utterances of the same length."""
        return passes.forward * self.forward_s + passes.backward * self.backward_s


def time_passes(utterance: ExplainedUtterance) -> PassTimes:
    """Time one pass of each kind, behind one that is not counted.

    Both modalities are computed in them; passes that replace one alone are faster, and so are
    several at a time.

    Args:
        utterance: One of middle length.
    """
    inputs = {"audio": utterance.waveform, "text": utterance.embeddings}
    given = {
        name: tensor.detach().clone().requires_grad_(name not in utterance.no_gradient)
        for name, tensor in inputs.items()
        if tensor is not None
    }

    def forward() -> torch.Tensor:
        return utterance.output(given.get("audio"), given.get("text"))

    def without_gradient() -> None:
        with torch.no_grad():
            forward()

    def with_gradient() -> None:
        output = forward()
        if output.requires_grad:
            output.sum().backward()  # type: ignore[no-untyped-call]

    without_gradient()
    forward_s = _time_s(without_gradient)
    return PassTimes(forward_s, max(0.0, _time_s(with_gradient) - forward_s))


def _time_s(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
