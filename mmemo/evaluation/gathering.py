"""What several processes have predicted, in one place."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, distributed

Outputs = list[tuple[Sequence[str], Tensor]]
"""For each batch its keys and its class probabilities (B, C)."""


def gathered(outputs: Outputs) -> Outputs:
    """The outputs of all processes, in every one of them, on the CPU.

    Args:
        outputs: Those of this process.
    """
    mine = [(keys, probabilities.cpu()) for keys, probabilities in outputs]
    if not (distributed.is_available() and distributed.is_initialized()):
        return mine
    parts: list[Outputs] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, mine)
    return [output for part in parts for output in part]
