import pickle
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from mmemo.data.batch import Collator, Example
from mmemo.errors import InputError
from mmemo.models.egemaps_encoder import EgemapsEncoder
from mmemo.models.protocols import Features


def tone_and_noise(duration_s: float, seed: int = 0) -> Tensor:
    time_s = torch.arange(round(duration_s * 16_000)) / 16_000
    noise = torch.randn(len(time_s), generator=torch.Generator().manual_seed(seed))
    return 0.3 * torch.sin(2 * torch.pi * 200 * time_s) + 0.03 * noise


@pytest.fixture(scope="module")
def encoder() -> EgemapsEncoder:
    return EgemapsEncoder()


def encode(encoder: EgemapsEncoder, *waveforms: Tensor) -> Features:
    collate = Collator(encoder.min_samples, encoder.fixed_samples)
    examples = [Example(str(i), 0, encoder.preprocess(w), None) for i, w in enumerate(waveforms)]
    audio = collate(examples).audio
    return encoder(audio)


def test_it_is_opensmiles_answer_whatever_the_batch(encoder: EgemapsEncoder) -> None:
    opensmile = pytest.importorskip("opensmile")
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    waveforms = [tone_and_noise(1.0), tone_and_noise(0.4, seed=1)]
    features = encode(encoder, *waveforms)
    expected = [smile.process_signal(w.numpy(), 16_000).to_numpy()[0] for w in waveforms]
    torch.testing.assert_close(
        features.pooled, torch.from_numpy(np.stack(expected)).float(), atol=1e-5, rtol=1e-6
    )
    assert features.pooled.shape == (2, encoder.output_dim) == (2, 88)
    assert torch.equal(features.frames, features.pooled[:, None])
    assert features.mask.tolist() == [[True], [True]]
    # A tone of 200 Hz lies 34.55 semitones above 27.5 Hz, which pitch is counted from.
    pitch = features.pooled[0, smile.feature_names.index("F0semitoneFrom27.5Hz_sma3nz_amean")]
    torch.testing.assert_close(pitch.item(), 12 * np.log2(200 / 27.5), atol=0.1, rtol=0)


def test_louder_sound_has_other_features(encoder: EgemapsEncoder) -> None:
    names = encoder.smile.feature_names
    level = names.index("equivalentSoundLevel_dBp")
    quiet, loud = encode(encoder, 0.1 * tone_and_noise(0.5), tone_and_noise(0.5)).pooled[:, level]
    torch.testing.assert_close(loud - quiet, torch.tensor(20.0), atol=0.1, rtol=0)


@pytest.mark.parametrize("num_samples", [1, 500, 959, 960])
def test_very_short_and_silent_sound_has_features(
    encoder: EgemapsEncoder, num_samples: int
) -> None:
    short = tone_and_noise(1.0)[:num_samples]
    features = encode(encoder, short, torch.zeros(num_samples), tone_and_noise(0.5))
    assert torch.isfinite(features.pooled).all()
    torch.testing.assert_close(features.pooled[:1], encode(encoder, short).pooled)


def test_loader_processes_can_be_given_it(encoder: EgemapsEncoder) -> None:
    sound = tone_and_noise(0.2)
    copy = pickle.loads(pickle.dumps(encoder))
    torch.testing.assert_close(encode(copy, sound).pooled, encode(encoder, sound).pooled)


def test_without_opensmile_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    with pytest.raises(InputError, match=r"pip install 'mmemo\[egemaps\]'"):
        EgemapsEncoder()
