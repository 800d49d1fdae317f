"""What is in which type: weights, sums, logits and losses, in every precision of a trainer."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.plugins import HalfPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmemo.data.batch import AudioFeatures, Batch, Collator, Example
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import BottleneckFusion
from mmemo.models.fusions import CrossAttentionFusion, LateFusion
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from mmemo.models.text_encoders import PretrainedTextEncoder
from mmemo.training.losses import CrossEntropy, EpochLoss, TorchLoss
from mmemo.training.module import EmotionModule

TYPES = {
    "32-true": torch.float32,
    "bf16-mixed": torch.float32,
    "bf16-true": torch.bfloat16,
    "64-true": torch.float64,
}
TINY_WHISPER = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "max_source_positions": 50,
}
TINY_AST = {
    "model_type": "audio-spectrogram-transformer",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}


def examples() -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    return [
        Example(
            str(i),
            i % 3,
            torch.randn(1000 + 300 * i, generator=generator),
            torch.randint(5, 30, (4 + i,), generator=generator),
        )
        for i in range(6)
    ]


def collated(model: EmotionClassifier, given: list[Example]) -> Batch:
    audio = model.audio_encoder
    assert audio is not None
    return Collator(audio.min_samples, audio.fixed_samples)(given)


def fixed(architecture: dict[str, object]) -> PretrainedAudioEncoder:
    return PretrainedAudioEncoder(
        "none", architecture, pretrained=False, padding="fixed", fixed_duration_s=1.0
    )


def build(audio: nn.Module, fusion: type = BottleneckFusion, **options: bool) -> EmotionClassifier:
    text = ScratchTextEncoder(300, width=16, num_layers=1, num_heads=2, dropout=0.0)
    return EmotionClassifier(
        audio,  # type: ignore[arg-type]
        text,
        partial(fusion, bottleneck_dim=8, **options),
        num_classes=3,
        hidden_dim=8,
        dropout=0.0,
    )


class Six(lightning.LightningDataModule):
    """Two batches of three."""

    def __init__(self, classifier: EmotionClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def train_counts(self) -> list[int]:
        return [2, 2, 2]

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(
            examples(),  # type: ignore[arg-type]
            batch_size=3,
            collate_fn=partial(collated, self.classifier),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.train_dataloader()


def trained(classifier: EmotionClassifier, precision: str, folder: Path) -> tuple[float, Tensor]:
    """Loss over an epoch of training and two of validation, and what is predicted then."""
    loss = CrossEntropy("weighted", balance_classes=True)
    module = EmotionModule(
        classifier, 3, loss, partial(torch.optim.AdamW, lr=1e-3, eps=1e-6, fused=True)
    )
    trainer = lightning.Trainer(
        accelerator="cpu", precision=precision, max_epochs=1, gradient_clip_val=1.0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, default_root_dir=folder,
    )  # type: ignore[arg-type]  # fmt: skip
    data = Six(classifier)
    trainer.fit(module, datamodule=data)
    losses = float(trainer.callback_metrics["train/loss"] + trainer.callback_metrics["val/loss"])
    predicted = trainer.predict(module, dataloaders=data.val_dataloader())
    assert {p.dtype for p in module.parameters()} == {TYPES[precision]}
    return losses, torch.cat([probabilities for _, probabilities in predicted])  # type: ignore[misc]


def logmel() -> LogMelEncoder:
    return LogMelEncoder(width=8, dropout=0.0)


@pytest.mark.parametrize("fusion", [BottleneckFusion, CrossAttentionFusion, LateFusion])
def test_every_precision_trains_and_predicts_alike(fusion: type, tmp_path: Path) -> None:
    results = {}
    for precision in TYPES:
        torch.manual_seed(0)
        classifier = build(logmel(), fusion, standardise=True)
        results[precision] = trained(classifier, precision, tmp_path)
    loss, probabilities = results["32-true"]
    for precision, tolerance in (("64-true", 1e-5), ("bf16-mixed", 1e-2), ("bf16-true", 5e-2)):
        found, predicted = results[precision]
        assert found == pytest.approx(loss, abs=tolerance), precision
        torch.testing.assert_close(predicted, probabilities, atol=tolerance, rtol=0)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
@pytest.mark.parametrize("kind", ["wavlm", "whisper", "ast"])
def test_pretrained_encoders_take_float32_sound_whatever_their_weights(
    kind: str, precision: str, tiny_wavlm: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    audio = {
        "wavlm": lambda: PretrainedAudioEncoder(str(tiny_wavlm), pooling="mean_std"),
        "whisper": lambda: fixed(TINY_WHISPER),
        "ast": lambda: fixed(TINY_AST),
    }[kind]()
    classifier = build(audio).eval()
    batch = collated(classifier, examples())
    with torch.no_grad():
        expected = classifier(batch)
        found = classifier.to(TYPES[precision])(batch)
    assert found.dtype == TYPES[precision]
    tolerance = 1e-5 if precision == "64-true" else 2e-2
    torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=0)
    trained(classifier, precision, tmp_path)


@pytest.mark.parametrize(
    ("build_encoder", "trained_part"),
    [
        (logmel, "layers.0.convolution"),
        (partial(fixed, TINY_WHISPER), "backbone.model.conv1"),
        (partial(fixed, TINY_AST), "backbone.model.embeddings.patch_embeddings.projection"),
    ],
    ids=["logmel", "whisper", "ast"],
)
def test_spectra_are_those_of_float32_up_to_the_first_weights(
    build_encoder: Callable[[], nn.Module], trained_part: str
) -> None:
    encoder = build_encoder()
    model = build(encoder)
    audio = collated(model, examples()).audio
    spectra: list[Tensor] = []
    encoder.get_submodule(trained_part).register_forward_pre_hook(
        lambda module, given: spectra.append(given[0])
    )
    encoder(audio)
    with torch.autocast("cpu", torch.bfloat16):
        encoder(audio)
    encoder.to(torch.bfloat16)
    with HalfPrecision("bf16-true").forward_context():
        encoder(audio)
    expected, autocast, rounded = spectra
    assert torch.equal(autocast.float(), expected)
    assert torch.equal(rounded, expected.bfloat16())


def test_features_that_were_kept_are_taken_in_every_type() -> None:
    classifier = build(logmel()).eval()
    batch = collated(classifier, examples())
    kept = replace(batch, audio=AudioFeatures(torch.randn(6, 1, 16)))
    classifier.audio_encoder.from_pooled_layers = lambda pooled: pooled[:, 0]  # type: ignore[union-attr,method-assign]
    for dtype in (torch.bfloat16, torch.float64):
        assert classifier.to(dtype)(kept).dtype == dtype


def test_the_epochs_loss_is_summed_in_float32() -> None:
    """In bfloat16 a sum of ones ends at 256."""
    loss = EpochLoss().to(torch.bfloat16)
    for _ in range(300):
        loss.update(torch.tensor([2.0]), torch.tensor([1.0]))
    assert float(loss.weight) == 300
    assert float(loss.compute()) == 2.0


def test_the_weights_of_classes_keep_their_type() -> None:
    for loss in (
        CrossEntropy("weighted", balance_classes=True),
        TorchLoss("torch", nn.CrossEntropyLoss(reduction="none"), balance_classes=True),
    ):
        loss.use_class_counts([1, 2])
        loss.to(torch.bfloat16)
        # 3 / (2 * 1) and 3 / (2 * 2), of which the logarithm of 2.
        found = loss(torch.zeros(2, 2), torch.tensor([0, 1]))
        torch.testing.assert_close(found, math.log(2) * torch.tensor([1.5, 0.75]))
        loss.use_class_counts([3, 4])
        weights = loss.to(torch.bfloat16).weights(torch.tensor([0, 1]))
        torch.testing.assert_close(weights, torch.tensor([7 / 6, 7 / 8]))
        assert loss(torch.zeros(2, 2).double(), torch.tensor([0, 1])).dtype == torch.float64


def paper_model(tiny_wavlm: Path, tiny_roberta: Path) -> tuple[EmotionClassifier, Batch]:
    torch.manual_seed(0)
    audio, text = PretrainedAudioEncoder(str(tiny_wavlm)), PretrainedTextEncoder(str(tiny_roberta))
    fusion = partial(BottleneckFusion, bottleneck_dim=16)
    classifier = EmotionClassifier(audio, text, fusion, num_classes=3, hidden_dim=16).eval()
    return classifier, Collator(audio.min_samples, None, text.pad_token_id)(examples())


def test_autocast_ends_with_the_encoders_layers(tiny_wavlm: Path, tiny_roberta: Path) -> None:
    classifier, batch = paper_model(tiny_wavlm, tiny_roberta)
    seen: dict[str, set[torch.dtype]] = {}

    def note(name: str) -> None:
        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            seen.setdefault(name, set()).update({given[0].dtype, output.dtype})

        classifier.get_submodule(name).register_forward_hook(hook)

    layer = "audio_encoder.backbone.model.encoder.layers.1"
    heads = ("fusion.projections.audio", "fusion.projections.text", "head.1", "head.3")
    norms = (f"{layer}.layer_norm", f"{layer}.final_layer_norm")
    for name in (*heads, *norms, f"{layer}.attention.q_proj"):
        note(name)
    with torch.autocast("cpu", torch.bfloat16):
        features = classifier.encode(batch)
        logits = classifier(batch)
    assert {encoded.pooled.dtype for encoded in features.values()} == {torch.float32}
    assert logits.dtype == torch.float32
    for name in (*heads, *norms):
        assert seen[name] == {torch.float32}, name
    assert seen[f"{layer}.attention.q_proj"] == {torch.float32, torch.bfloat16}


def test_the_first_loss_in_bfloat16_is_that_of_float32(
    tiny_wavlm: Path, tiny_roberta: Path
) -> None:
    classifier, batch = paper_model(tiny_wavlm, tiny_roberta)

    def loss_and_gradients(enabled: bool) -> tuple[float, Tensor]:
        classifier.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = classifier(batch)
        loss = nn.functional.cross_entropy(logits, batch.target)
        loss.backward()
        trained = [p.grad.flatten() for p in classifier.parameters() if p.grad is not None]
        return float(loss.detach()), torch.cat(trained)

    expected, gradients = loss_and_gradients(enabled=False)
    found, rounded = loss_and_gradients(enabled=True)
    assert found != expected, "autocast is on"
    assert found == pytest.approx(expected, abs=5e-4)
    assert float((rounded - gradients).norm() / gradients.norm()) < 0.03
