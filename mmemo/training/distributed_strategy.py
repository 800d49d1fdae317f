"""How processes that train together exchange their gradients."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import DDPStrategy


class DistributedStrategy(DDPStrategy):
    """Lightning's ``ddp``, which looks for weights without a gradient only where there can be some.

    Such weights are those of a model that leaves out parts of itself in a step, as layer drop
    does; a module that never does says so by ``trains_every_weight``. The search walks through
    the graph of every step.

    Args:
        options: What ``DDPStrategy`` and torch's ``DistributedDataParallel`` take;
            ``find_unused_parameters`` settles the search.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)

    def configure_ddp(self) -> None:
        """Decide on the search, then wrap the module."""
        is_complete = getattr(self.lightning_module, "trains_every_weight", False)
        self._ddp_kwargs.setdefault("find_unused_parameters", not is_complete)
        super().configure_ddp()
