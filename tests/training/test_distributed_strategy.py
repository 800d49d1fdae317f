"""The search for weights without a gradient is made where there can be some, and only there."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.strategies import DDPStrategy

from mmemo.training.distributed_strategy import DistributedStrategy


@pytest.mark.parametrize(
    ("module", "options", "is_searched"),
    [
        (SimpleNamespace(trains_every_weight=True), {}, False),
        (SimpleNamespace(trains_every_weight=False), {}, True),
        (SimpleNamespace(), {}, True),
        (SimpleNamespace(trains_every_weight=True), {"find_unused_parameters": True}, True),
        (SimpleNamespace(trains_every_weight=False), {"find_unused_parameters": False}, False),
    ],
)
def test_a_module_that_trains_every_weight_is_not_searched(
    module: Any,  # noqa: ANN401
    options: dict[str, bool],
    is_searched: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(DDPStrategy, "configure_ddp", lambda self: given.append(self._ddp_kwargs))
    strategy = DistributedStrategy(**options)
    strategy._lightning_module = module
    strategy.configure_ddp()
    assert given == [{"find_unused_parameters": is_searched}]
