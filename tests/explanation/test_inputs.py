"""One utterance as its run's loader gives it."""

from pathlib import Path

import pytest
import torch

from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.splits import OfficialSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.explanation.baselines import NoiseWaveform, PadText, draw_baselines
from mmemo.explanation.inputs import utterance_input
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from tests.conftest import MeldMaker

KEY = "test/dia0_utt3"


@pytest.fixture
def text_encoder() -> ScratchTextEncoder:
    return ScratchTextEncoder(vocab_size=270, width=8, num_heads=2)


@pytest.fixture
def datamodule(
    make_meld: MeldMaker,
    tmp_path: Path,
    five: LabelSet,
    tiny_wavlm: Path,
    text_encoder: ScratchTextEncoder,
) -> EmotionDataModule:
    prepared = Preparer(tmp_path / "p", num_workers=0).prepare(MeldCorpus(make_meld()).read(), None)
    datamodule = EmotionDataModule(
        prepared,
        five,
        PretrainedAudioEncoder(str(tiny_wavlm)),
        text_encoder,
        batch_size=4,
        eval_batch_size=4,
        max_duration_s=0.1,
        num_workers=0,
        seed=3,
        split=OfficialSplit(),
    )
    text_encoder.fit(datamodule.datasets["train"].transcripts)
    return datamodule


def test_sound_before_and_behind_the_encoders_own_scale(
    datamodule: EmotionDataModule, text_encoder: ScratchTextEncoder
) -> None:
    given = utterance_input(datamodule, KEY, text_encoder)
    assert given.sound is not None
    assert given.waveform is not None
    assert given.sound.shape == (1600,)  # the run cuts at 0.1 s
    assert given.waveform.shape == (1, 1600)
    scaled = (given.sound - given.sound.mean()) / given.sound.std(correction=0)
    torch.testing.assert_close(given.waveform[0], scaled, atol=1e-4, rtol=0)
    assert given.true == datamodule.labels.index("sadness")
    assert given.transcript == "Sentence 3 of sadness."
    assert [word.text for word in given.words] == ["Sentence", "3", "of", "sadness."]
    assert given.text is not None
    ids = given.text.input_ids[0].tolist()
    assert ids == text_encoder.tokenize(given.transcript).ids
    assert given.token_words.sum(dim=1).tolist() == [0] + [1] * (len(ids) - 1)
    assert given.token_words.any(dim=0).tolist() == [True] * 4


def test_kept_features_are_passed_by(
    datamodule: EmotionDataModule, text_encoder: ScratchTextEncoder
) -> None:
    expected = utterance_input(datamodule, KEY, text_encoder)
    rows = datamodule.rows
    datamodule.use_audio_features(dict.fromkeys(rows["source_key"], torch.zeros(1, 2)))
    datamodule.use_text_features(dict.fromkeys(rows["key"], torch.zeros(1, 2)))
    given = utterance_input(datamodule, KEY, text_encoder)
    assert given.waveform is not None
    assert expected.waveform is not None
    assert torch.equal(given.waveform, expected.waveform)
    assert given.words == expected.words
    assert datamodule.datasets["test"][0].audio_features is not None


def test_an_unknown_key(datamodule: EmotionDataModule) -> None:
    with pytest.raises(InputError, match="such as test/dia0_utt0, got test/dia9_utt9"):
        utterance_input(datamodule, "test/dia9_utt9", None)


def test_draws_depend_on_seed_and_key_alone(
    datamodule: EmotionDataModule, text_encoder: ScratchTextEncoder
) -> None:
    def draws(key: str, seed: int) -> torch.Tensor:
        given = utterance_input(datamodule, key, text_encoder)
        found = draw_baselines(given, text_encoder, NoiseWaveform(), PadText(), seed).waveforms
        assert found is not None
        return found

    first = draws(KEY, 1)
    torch.rand(3)
    assert first.shape == (2, 1600)
    assert torch.equal(first, draws(KEY, 1))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, draws(KEY, 2))
    assert not torch.equal(first, draws("test/dia0_utt2", 1))
