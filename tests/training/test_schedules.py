import math

import pytest
import torch

from mmemo.training.schedules import NAMES, WarmupSchedule


def rates(name: str, warmup_ratio: float = 0.1, num_steps: int = 40) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = WarmupSchedule(name, warmup_ratio)(optimizer, num_steps)
    found = []
    for _ in range(num_steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_linear_rises_over_a_tenth_of_the_steps_and_falls_to_zero() -> None:
    linear = rates("linear")
    assert linear[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert linear[22] == pytest.approx(0.5)
    assert linear[40] == 0


def test_cosine_and_constant_after_the_warm_up() -> None:
    # A third of the way down: (1 + cos(pi / 3)) / 2.
    assert rates("cosine")[16] == pytest.approx((1 + math.cos(math.pi / 3)) / 2)
    assert rates("constant_with_warmup")[4:] == [1.0] * 37
    # Scale of the warm-up's 4 steps: sqrt(4 / 16).
    assert rates("inverse_sqrt")[16] == pytest.approx(0.5)


@pytest.mark.parametrize("name", NAMES)
def test_every_schedule_begins_at_zero_and_reaches_the_full_rate(name: str) -> None:
    found = rates(name)
    assert found[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


def test_values_out_of_range_are_errors() -> None:
    with pytest.raises(
        ValueError, match="warmup_ratio: expected a share of the steps, 0 to 1, got 10"
    ):
        WarmupSchedule("linear", 10)
    with pytest.raises(ValueError, match=r"scheduler\.name: expected one of linear, .* got 'cos'"):
        WarmupSchedule("cos")
