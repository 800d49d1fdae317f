import torch

from mmemo.models.fusion import leave_one_out


def test_one_of_two_is_left_out_as_often_as_said() -> None:
    torch.manual_seed(0)
    present = torch.ones(20_000, 2, dtype=torch.bool)
    left = leave_one_out(present, 0.3)
    assert left.any(dim=1).all(), "never both"
    shares = 1 - left.float().mean(dim=0)
    # Each of the two is left out of 0.15; five standard errors are 0.013.
    torch.testing.assert_close(shares, torch.tensor([0.15, 0.15]), atol=0.013, rtol=0)


def test_the_only_modality_is_kept_and_a_missing_one_stays_missing() -> None:
    present = torch.tensor([[True, False], [False, True]]).repeat(50, 1)
    assert torch.equal(leave_one_out(present, 1.0), present)


def test_torch_seed_decides() -> None:
    present = torch.ones(64, 2, dtype=torch.bool)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(leave_one_out(present, 0.5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
