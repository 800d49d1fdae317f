"""A leading modality that the other shifts: by hand, bounded, and without one of the two."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from mmemo.errors import InputError
from mmemo.models.protocols import FeatureDims, PooledFeatures
from mmemo.models.shifted_fusion import ShiftedFusion

DIMS = {"audio": FeatureDims(3, 3), "text": FeatureDims(4, 4)}


def built(dims: Mapping[str, FeatureDims] = DIMS, **settings: float) -> ShiftedFusion:
    torch.manual_seed(0)
    options = {"bottleneck_dim": 4, "num_heads": 2, **settings}
    return ShiftedFusion(dims, **options).eval()  # type: ignore[arg-type]


def features(*names: str, batch: int = 5) -> dict[str, PooledFeatures]:
    generator = torch.Generator().manual_seed(1)
    every = {n: torch.randn(batch, d.pooled, generator=generator) for n, d in DIMS.items()}
    return {name: PooledFeatures(every[name]) for name in names}


def fused(fusion: ShiftedFusion, *names: str) -> Tensor:
    found = fusion(features(*names))
    assert isinstance(found, Tensor)
    return found


def test_the_equations_by_hand() -> None:
    fusion = built(threshold=10.0)
    given = features("audio", "text")
    with torch.no_grad():
        leading = fusion.projections["text"](given["text"].pooled)
        heard = fusion.projections["audio"](given["audio"].pooled)
        # Attention of one to itself alone: its value, and what is made of it.
        value = (
            fusion.attention.in_proj_weight[8:] @ heard.T + fusion.attention.in_proj_bias[8:, None]
        )
        said = fusion.attention.out_proj(value.T)
        gate = (torch.cat([leading, said], dim=1) @ fusion.gate.weight.T + fusion.gate.bias).clamp(
            0
        )
        shift = gate * (said @ fusion.displacement.weight.T + fusion.displacement.bias)
        bound = 10.0 * leading.norm(dim=1) / shift.norm(dim=1).clamp(min=1e-6)
        expected = leading + bound.clamp(max=1)[:, None] * shift
        torch.testing.assert_close(fused(fusion, "audio", "text"), expected)


def test_a_shift_is_no_longer_than_its_share() -> None:
    fusion = built(threshold=0.05)
    with torch.no_grad():
        for part in (fusion.gate, fusion.displacement):
            part.weight *= 100
        leading = fusion.projections["text"](features("text")["text"].pooled)
        moved = (fused(fusion, "audio", "text") - leading).norm(dim=1) / leading.norm(dim=1)
    assert (moved <= 0.05 + 1e-5).all()
    assert moved.max() == pytest.approx(0.05, rel=1e-3)


def test_without_the_student_nothing_is_shifted() -> None:
    fusion = built(modality_dropout=0.5)
    leading = fusion.projections["text"](features("text")["text"].pooled)
    torch.testing.assert_close(fused(fusion, "text"), leading)
    # Of a batch some have sound: the others are as without.
    given = features("audio", "text")
    present = torch.tensor([[True, True], [False, True], [True, True], [False, True], [True, True]])
    mixed = fusion.fuse(given, present)
    torch.testing.assert_close(mixed[~present[:, 0]], leading[~present[:, 0]])
    torch.testing.assert_close(mixed[present[:, 0]], fused(fusion, "audio", "text")[present[:, 0]])
    noise = {**given, "audio": PooledFeatures(torch.full((5, 3), 1e6))}
    torch.testing.assert_close(fusion.fuse(noise, present)[~present[:, 0]], leading[~present[:, 0]])


def test_without_the_teacher_a_learnt_vector_leads() -> None:
    fusion = built(modality_dropout=0.5)
    with torch.no_grad():
        fusion.missing["text"] += torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = fused(fusion, "audio")
    assert (found - fusion.missing["text"]).norm(dim=1).max() <= 0.1 * 30**0.5 + 1e-5
    with pytest.raises(InputError, match="expected features of audio and text"):
        fused(built(), "audio")


def test_one_modality_leads_alone() -> None:
    fusion = built({"audio": DIMS["audio"]})
    expected = fusion.projections["audio"](features("audio")["audio"].pooled)
    torch.testing.assert_close(fused(fusion, "audio"), expected)


def test_every_weight_has_a_gradient() -> None:
    fusion = built(modality_dropout=0.5).train()
    fused(fusion, "audio", "text").square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


def test_no_displacement_has_a_finite_gradient() -> None:
    fusion = built()
    with torch.no_grad():
        fusion.gate.bias -= 1e6
    fused(fusion, "audio", "text").sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in fusion.parameters())


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"fusion\.bottleneck_dim: expected a multiple of"):
        built(num_heads=3)
    with pytest.raises(InputError, match=r"fusion\.threshold"):
        built(threshold=0.0)
    with pytest.raises(InputError, match=r"fusion\.teacher: expected one of audio, text"):
        built(teacher="video")  # type: ignore[arg-type]
