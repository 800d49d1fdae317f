from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.splits import OfficialSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.data.batch import AudioFeatures, AudioInput
from mmemo.data.datamodule import EmotionDataModule
from mmemo.models import feature_cache
from mmemo.models.feature_cache import FeatureCache
from mmemo.models.protocols import Features
from tests.conftest import MeldMaker

CPU = torch.device("cpu")


class Energy(nn.Module):
    """A frozen encoder whose answer is known: weighted energy of the sound."""

    sample_rate = 16_000
    min_samples = 1
    fixed_samples = None
    output_dim = 1
    frozen = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight), requires_grad=False)
        self.num_encoded = 0

    def preprocess(self, waveform: Tensor) -> Tensor:
        return waveform

    def forward(self, audio: AudioInput) -> Features:
        self.num_encoded += len(audio.waveform)
        pooled = self.weight * audio.waveform.square().sum(dim=1, keepdim=True)
        return Features(audio.waveform[..., None], audio.mask, pooled)


def build(root: Path, cache: Path, labels: LabelSet, encoder: Energy) -> EmotionDataModule:
    prepared = Preparer(cache, num_workers=0).prepare(MeldCorpus(root).read(), None)
    return EmotionDataModule(
        prepared, labels, encoder, None, 4, 4, 8.0, num_workers=0, seed=0, split=OfficialSplit()
    )


def test_each_utterance_is_encoded_once_for_all_runs(
    make_meld: MeldMaker, tmp_path: Path, five: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, encoder = make_meld(), Energy(2.0)
    cache = FeatureCache(tmp_path / "features", batch_size=4)
    datamodule = build(root, tmp_path / "p", five, encoder)
    features = cache.audio_features(encoder, "settings", datamodule, CPU)
    assert encoder.num_encoded == len(features) == 15
    example = datamodule.datasets["val"][3]
    assert example.waveform is not None
    expected = 2.0 * example.waveform.square().sum()
    torch.testing.assert_close(features[example.key], expected[None])

    again = cache.audio_features(encoder, "settings", datamodule, CPU)
    torch.testing.assert_close(again, features)
    assert encoder.num_encoded == 15

    datamodule.use_audio_features(features)
    batch = next(iter(datamodule.val_dataloader()))
    assert isinstance(batch.audio, AudioFeatures)
    expected = torch.stack([features[key] for key in batch.keys])
    torch.testing.assert_close(batch.audio.pooled, expected)
    assert datamodule.datasets["val"][3].waveform is None


def test_other_weights_settings_and_labels_are_told_apart(
    make_meld: MeldMaker, tmp_path: Path, five: LabelSet
) -> None:
    root, encoder = make_meld(), Energy(2.0)
    cache = FeatureCache(tmp_path / "features")
    two = LabelSet("two", {"joy": "#000000", "anger": "#111111"})
    cache.audio_features(encoder, "s", build(root, tmp_path / "p", two, encoder), CPU)
    assert encoder.num_encoded == 6
    datamodule = build(root, tmp_path / "p", five, encoder)
    cache.audio_features(encoder, "s", datamodule, CPU)
    assert encoder.num_encoded == 15, "what is known is not encoded again"
    cache.audio_features(encoder, "other", datamodule, CPU)
    assert encoder.num_encoded == 30
    heavier = Energy(3.0)
    cache.audio_features(heavier, "s", datamodule, CPU)
    assert heavier.num_encoded == 15


def test_what_was_encoded_before_a_kill_is_kept(
    make_meld: MeldMaker, tmp_path: Path, five: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Energy(2.0)
    datamodule = build(make_meld(), tmp_path / "p", five, encoder)
    cache = FeatureCache(tmp_path / "features", batch_size=2)
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 2)
    forward = Energy.forward

    def forward_until_killed(self: Energy, audio: AudioInput) -> Features:
        if self.num_encoded == 10:
            raise KeyboardInterrupt
        return forward(self, audio)

    with monkeypatch.context() as patch:
        patch.setattr(Energy, "forward", forward_until_killed)
        with pytest.raises(KeyboardInterrupt):
            cache.audio_features(encoder, "s", datamodule, CPU)
    encoder.num_encoded = 0
    features = cache.audio_features(encoder, "s", datamodule, CPU)
    assert (encoder.num_encoded, len(features)) == (7, 15)
