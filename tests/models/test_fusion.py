import torch

from mmemo.models.fusion import BottleneckFusion


def test_standardising_takes_mean_and_spread_of_training_out() -> None:
    torch.manual_seed(0)
    fusion = BottleneckFusion({"audio": 2}, bottleneck_dim=2, standardise=True)
    projection = fusion.projections["audio"][1]
    with torch.no_grad():
        projection.weight.copy_(torch.eye(2))
        projection.bias.zero_()
    batch = torch.tensor([[1.0, 1000.0], [3.0, 3000.0]])
    expected = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    torch.testing.assert_close(fusion({"audio": batch}), expected, atol=1e-4, rtol=0)
    for _ in range(200):
        fusion({"audio": batch})
    single = fusion({"audio": batch[:1]})
    evaluated = fusion.eval()({"audio": batch})
    torch.testing.assert_close(single[0], evaluated[0], msg="a batch of one uses what was learnt")
    # The running variance is the unbiased one: 2 for (1, 3).
    torch.testing.assert_close(evaluated, expected / 2**0.5, atol=1e-4, rtol=0)


def test_without_standardising_it_is_one_linear_layer() -> None:
    fusion = BottleneckFusion({"audio": 3, "text": 2}, bottleneck_dim=4)
    audio, text = torch.randn(5, 3), torch.randn(5, 2)
    fused = fusion({"audio": audio, "text": text})
    assert fused.shape == (5, fusion.output_dim) == (5, 8)
    torch.testing.assert_close(fused[:, 4:], fusion.projections["text"](text))
