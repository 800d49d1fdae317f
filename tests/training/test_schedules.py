import pytest
import torch

from mmemo.training.schedules import LinearWarmupDecay


def test_rises_over_a_tenth_of_the_steps_and_falls_to_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = LinearWarmupDecay(0.1)(optimizer, 40)
    rates = []
    for _ in range(41):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert rates[22] == pytest.approx(0.5)
    assert rates[40] == 0


def test_a_share_beyond_one_is_an_error() -> None:
    with pytest.raises(
        ValueError, match="warmup_ratio: expected a share of the steps, 0 to 1, got 10"
    ):
        LinearWarmupDecay(10)
