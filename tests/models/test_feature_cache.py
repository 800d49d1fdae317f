from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmemo.audio.perturbations import Gain
from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.splits import OfficialSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.data.batch import AudioFeatures, AudioInput, TextFeatures, TextInput
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.frontends import Tokens
from mmemo.models import feature_cache
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.feature_cache import FeatureCache
from mmemo.models.fusion import BottleneckFusion
from mmemo.models.protocols import Features
from tests.conftest import MeldMaker

CPU = torch.device("cpu")


class Energy(nn.Module):
    """A frozen encoder whose answer is known: weighted energy of the sound."""

    sample_rate = 16_000
    min_samples = 1
    fixed_samples = None
    output_dim = frame_dim = 1
    frozen = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight), requires_grad=False)
        self.num_encoded = 0

    def preprocess(self, waveform: Tensor) -> Tensor:
        return waveform

    def pooled_layers(self, audio: AudioInput) -> Tensor:
        self.num_encoded += len(audio.waveform)
        energy = audio.waveform.square().sum(dim=1)
        return self.weight * torch.stack([energy, 2 * energy], dim=1)[..., None]

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        return pooled[:, 0] - pooled[:, 1]

    def forward(self, audio: AudioInput) -> Features:
        pooled = self.from_pooled_layers(self.pooled_layers(audio))
        return Features(audio.waveform[..., None], audio.mask, pooled)


class Letters(nn.Module):
    """A frozen text encoder whose answer is known: weighted sums of the ids, of its own and all."""

    pad_token_id = 0
    output_dim = frame_dim = 1
    frozen = True

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight), requires_grad=False)
        self.logits = nn.Parameter(torch.tensor([0.5, -0.25]))
        self.num_encoded = 0

    def fit(self, transcripts: Sequence[str]) -> None:
        pass

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        start = sum(map(len, before))
        span = (start, start + len(transcript)) if before or after else None
        return Tokens([ord(letter) for letter in "".join([*before, transcript, *after])], span)

    def pooled_layers(self, text: TextInput) -> Tensor:
        self.num_encoded += len(text.input_ids)
        sums = [(text.input_ids * mask).sum(dim=1) for mask in (text.pooled_mask, text.mask)]
        return self.weight * torch.stack(sums, dim=1)[..., None]

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        return (pooled * self.logits[:, None]).sum(dim=1)

    def forward(self, text: TextInput) -> Features:
        pooled = self.from_pooled_layers(self.pooled_layers(text))
        return Features(text.input_ids[..., None].float(), text.mask, pooled)


def build(
    root: Path,
    cache: Path,
    labels: LabelSet,
    encoder: Energy | None,
    text: Letters | None = None,
    **options: object,
) -> EmotionDataModule:
    prepared = Preparer(cache, num_workers=0).prepare(MeldCorpus(root).read(), None)
    return EmotionDataModule(
        prepared,
        labels,
        encoder,
        text,
        eval_batch_size=4,
        max_duration_s=8.0,
        num_workers=0,
        seed=0,
        split=OfficialSplit(),
        **{"batch_size": 4, **options},  # type: ignore[arg-type]
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
    torch.testing.assert_close(features[example.key], torch.tensor([[expected], [2 * expected]]))

    again = cache.audio_features(encoder, "settings", datamodule, CPU)
    torch.testing.assert_close(again, features)
    assert encoder.num_encoded == 15

    datamodule.use_audio_features(features)
    batch = next(iter(datamodule.val_dataloader()))
    assert isinstance(batch.audio, AudioFeatures)
    expected = torch.stack([features[key] for key in batch.keys])
    torch.testing.assert_close(batch.audio.pooled, expected)
    assert datamodule.datasets["val"][3].waveform is None


def test_what_is_not_answered_in_a_dialogue_is_encoded_too(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    two = LabelSet("two", {"joy": "#000000", "anger": "#111111"})
    encoder, cache = Energy(2.0), FeatureCache(tmp_path / "features", batch_size=4)
    datamodule = build(
        make_meld(), tmp_path / "p", two, encoder, dialogue_batches=True, batch_size=1
    )
    dataset = datamodule.datasets["val"]
    assert len(dataset) > len(dataset.rows) > 0
    sounds = [dataset[place] for place in range(len(dataset))]
    datamodule.use_audio_features(cache.audio_features(encoder, "settings", datamodule, CPU))
    for place, example in enumerate(sounds):
        assert example.waveform is not None
        energy = example.waveform.square().sum()
        expected = torch.stack([2 * energy, 4 * energy])[:, None]
        torch.testing.assert_close(dataset[place].audio_features, expected)
        assert dataset[place].is_answered == (place < len(dataset.rows))


def test_what_augmentation_changes_is_not_kept(
    make_meld: MeldMaker, tmp_path: Path, five: LabelSet
) -> None:
    encoder, cache = Energy(2.0), FeatureCache(tmp_path / "features", batch_size=4)
    louder = {"gain": Gain(20.0, 20.0, probability=1.0)}
    datamodule = build(make_meld(), tmp_path / "p", five, encoder, augmentation=louder)
    features = cache.audio_features(encoder, "settings", datamodule, CPU)
    assert {key.partition("/")[0] for key in features} == {"val", "test"}
    datamodule.use_audio_features(features)
    assert isinstance(next(iter(datamodule.val_dataloader())).audio, AudioFeatures)
    batch = next(iter(datamodule.train_dataloader()))
    assert isinstance(batch.audio, AudioInput)
    plain = datamodule.datasets["train"]
    for key, waveform, mask in zip(batch.keys, batch.audio.waveform, batch.audio.mask, strict=True):
        expected = plain[plain.keys.index(key)].waveform
        assert expected is not None
        torch.testing.assert_close(waveform[mask], 10 * expected)


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
    encode = Energy.pooled_layers

    def encode_until_killed(self: Energy, audio: AudioInput) -> Tensor:
        if self.num_encoded == 10:
            raise KeyboardInterrupt
        return encode(self, audio)

    with monkeypatch.context() as patch:
        patch.setattr(Energy, "pooled_layers", encode_until_killed)
        with pytest.raises(KeyboardInterrupt):
            cache.audio_features(encoder, "s", datamodule, CPU)
    encoder.num_encoded = 0
    features = cache.audio_features(encoder, "s", datamodule, CPU)
    assert (encoder.num_encoded, len(features)) == (7, 15)


def test_text_is_encoded_once_for_equal_tokens(
    make_meld: MeldMaker, tmp_path: Path, five: LabelSet
) -> None:
    root, encoder = make_meld(), Letters(2.0)
    cache = FeatureCache(tmp_path / "features", batch_size=4)
    datamodule = build(root, tmp_path / "p", five, None, encoder)
    features = cache.text_features(encoder, "s", datamodule, CPU)
    assert len(features) == 15
    assert encoder.num_encoded == 5, "all splits have the same sentences"
    code_points = sum(map(ord, "Sentence 3 of sadness."))
    expected = torch.tensor([[2.0 * code_points]] * 2)
    for split in ("train", "val", "test"):
        torch.testing.assert_close(features[f"{split}/dia0_utt3"], expected)

    with torch.no_grad():
        encoder.logits += 1
    cache.text_features(encoder, "s", datamodule, CPU)
    assert encoder.num_encoded == 5, "the weighting of layers comes after what is kept"
    in_context = build(root, tmp_path / "p", five, None, encoder, context_utterances=1)
    beside = cache.text_features(encoder, "s", in_context, CPU)
    assert encoder.num_encoded == 9, "the first of a dialogue has no context: it is known"
    context = 2.0 * sum(map(ord, "Sentence 2 of neutral."))
    torch.testing.assert_close(
        beside["val/dia0_utt3"], torch.stack([expected[0], expected[1] + context])
    )
    assert torch.equal(beside["val/dia0_utt0"], features["val/dia0_utt0"])
    cache.text_features(Letters(3.0), "s", datamodule, CPU)
    assert len(list((tmp_path / "features").glob("*/"))) == 2

    datamodule.use_text_features(features)
    batch = next(iter(datamodule.val_dataloader()))
    assert isinstance(batch.text, TextFeatures)
    assert batch.audio is None
    torch.testing.assert_close(batch.text.pooled, torch.stack([features[k] for k in batch.keys]))


def test_kept_features_give_the_answers_of_the_encoders(
    make_meld: MeldMaker, tmp_path: Path, five: LabelSet
) -> None:
    text, audio = Letters(2.0), Energy(2.0)
    datamodule = build(make_meld(), tmp_path / "p", five, audio, text, context_utterances=1)
    cache = FeatureCache(tmp_path / "features")
    fusion = partial(BottleneckFusion, bottleneck_dim=4)
    classifier = EmotionClassifier(audio, text, fusion, num_classes=5).eval()
    plain = list(datamodule.test_dataloader())
    datamodule.use_audio_features(cache.audio_features(audio, "s", datamodule, CPU))
    datamodule.use_text_features(cache.text_features(text, "s", datamodule, CPU))
    for given, kept in zip(plain, datamodule.test_dataloader(), strict=True):
        assert given.keys == kept.keys
        assert isinstance(kept.audio, AudioFeatures)
        assert isinstance(kept.text, TextFeatures)
        torch.testing.assert_close(classifier(kept), classifier(given))
    batch = next(iter(datamodule.train_dataloader()))
    classifier(batch).sum().backward()
    assert text.logits.grad is not None


def test_a_damaged_part_is_named_set_aside_and_computed_again(
    make_meld: MeldMaker,
    tmp_path: Path,
    five: LabelSet,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 1)
    root, encoder = make_meld(), Energy(2.0)
    cache = FeatureCache(tmp_path / "features", batch_size=5)
    datamodule = build(root, tmp_path / "p", five, encoder)
    features = cache.audio_features(encoder, "settings", datamodule, CPU)
    first, second, third = sorted((tmp_path / "features").glob("*/*.npz"))
    whole = second.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(np.load(second)["features"].tobytes())] ^= 1
    for damage in (b"", whole[: len(whole) // 2], bytes(flipped), b"no archive"):
        second.write_bytes(damage)
        encoder.num_encoded = 0
        again = cache.audio_features(encoder, "settings", datamodule, CPU)
        assert encoder.num_encoded == 5
        torch.testing.assert_close(again, features, rtol=0, atol=0)
        assert f"{second}: expected kept features, it is damaged" in caplog.text
        assert second.with_name(f"{second.name}.damaged").read_bytes() == damage
        # What is computed again takes no other part's place.
        kept = sorted((tmp_path / "features").glob("*/*.npz"))
        assert [path.name for path in kept] == [first.name, third.name, "000003.npz"]
        kept[-1].rename(second)
        caplog.clear()
