import torch

from mmemo.models.fusion import BottleneckFusion, FrameStandardisation, Standardisation
from mmemo.models.fusions import CrossAttentionFusion, GatedFusion, LateFusion
from mmemo.models.protocols import FeatureDims, Features, PooledFeatures

BATCH = torch.tensor([[1.0, 1000.0], [3.0, 3000.0]])
EXPECTED = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])


def test_standardising_takes_mean_and_spread_of_training_out() -> None:
    standardisation = Standardisation(2)
    for _ in range(200):
        torch.testing.assert_close(standardisation(BATCH), EXPECTED, atol=1e-4, rtol=0)
    single = standardisation(BATCH[:1])
    evaluated = standardisation.eval()(BATCH)
    torch.testing.assert_close(single[0], evaluated[0], msg="a batch of one uses what was learnt")
    # The running variance is the unbiased one: 2 for (1, 3).
    torch.testing.assert_close(evaluated, EXPECTED / 2**0.5, atol=1e-4, rtol=0)


def test_frames_are_standardised_over_the_real_ones() -> None:
    frames = torch.stack([BATCH, torch.full((2, 2), 9999.0)])
    mask = torch.tensor([[True, True], [False, False]])
    standardisation = FrameStandardisation(2)
    standardised = standardisation(frames, mask)
    torch.testing.assert_close(standardised[0], EXPECTED, atol=1e-4, rtol=0)
    assert not standardised[1].any()
    standardisation(frames, torch.zeros_like(mask))
    torch.testing.assert_close(standardisation.running_mean, 0.1 * torch.tensor([2.0, 2000.0]))


def test_fusions_of_pooled_vectors_standardise_them_first() -> None:
    torch.manual_seed(0)
    for build in (BottleneckFusion, GatedFusion, LateFusion):
        dims = {"audio": FeatureDims(2, 1)}
        fusion = build(dims, bottleneck_dim=2, standardise=True)
        plain = build(dims, bottleneck_dim=2)
        linear = {n.replace(".1.", "."): p for n, p in fusion.named_parameters()}
        plain.load_state_dict(linear)
        fused = fusion({"audio": PooledFeatures(BATCH)})
        expected = plain({"audio": PooledFeatures(EXPECTED)})
        torch.testing.assert_close(fused, expected, atol=1e-3, rtol=0)


def test_attention_standardises_frames_first() -> None:
    torch.manual_seed(0)
    dims = {"audio": FeatureDims(2, 2)}
    fusion = CrossAttentionFusion(dims, bottleneck_dim=4, standardise=True)
    plain = CrossAttentionFusion(dims, bottleneck_dim=4)
    plain.load_state_dict(dict(fusion.named_parameters()))
    mask = torch.ones(1, 2, dtype=torch.bool)
    fused = fusion({"audio": Features(BATCH[None], mask, BATCH)})
    expected = plain({"audio": Features(EXPECTED[None], mask, BATCH)})
    torch.testing.assert_close(fused, expected, atol=1e-3, rtol=0)
