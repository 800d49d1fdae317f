import hashlib
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from mmemo.audio.media import MediaError, decode
from mmemo.corpora.demo_script import Line, Prosody
from mmemo.corpora.demo_sound import ORDINARY_LEVEL_RMS, make_noise, mix
from mmemo.corpora.spoken_demo import SpokenDemoCorpus
from mmemo.errors import InputError


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> SpokenDemoCorpus:
    folder = tmp_path_factory.mktemp("demo")
    corpus = SpokenDemoCorpus(folder, num_utterances=30, seed=5, num_workers=1)
    corpus.read()
    return corpus


def tree_digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_same_seed_gives_the_same_files(demo: SpokenDemoCorpus, tmp_path: Path) -> None:
    again = SpokenDemoCorpus(tmp_path, num_utterances=30, seed=5, num_workers=2)
    again.read()
    assert tree_digest(again.root) == tree_digest(demo.root)


def test_clips_are_video_with_sound_in_several_layouts(demo: SpokenDemoCorpus) -> None:
    layouts = set()
    truth = pd.read_csv(demo.root / "truth.csv").set_index("key")
    unreadable = []
    for utterance in demo.read().utterances:
        if not Path(utterance.media_path).exists():
            unreadable.append(utterance.key)
            continue
        try:
            sound = decode(Path(utterance.media_path))
        except MediaError:
            unreadable.append(utterance.key)
            continue
        with av.open(utterance.media_path) as container:
            assert container.streams.video[0].codec_context.name == "mpeg4"
            assert container.streams.audio[0].codec_context.name == "aac"
        assert sound.sample_rate == 48_000
        assert sound.channel_layout == truth.loc[utterance.key, "layout"]
        assert 0.5 < len(sound.waveform) / 48_000 < 6
        assert float(np.abs(sound.waveform).max()) > 0.01
        layouts.add(sound.channel_layout)
    assert layouts == {"mono", "stereo", "5.1"}
    assert len(unreadable) == 2, "one clip is cut off and one is missing, as in MELD"
    assert unreadable[1].startswith("val/")


def test_too_small_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least 30"):
        SpokenDemoCorpus(tmp_path, num_utterances=10)


def line(layout: str, snr_db: float) -> Line:
    prosody = Prosody(50, 50, 170, 0)
    return Line("train", 0, 0, "Ada", "joy", "x", "both", "x", prosody, "hum", snr_db, layout)


@pytest.mark.parametrize("kind", ["hum", "babble", "claps"])
def test_noise_has_unit_level(kind: str) -> None:
    rng = np.random.default_rng(0)
    voices = [rng.standard_normal(9000).astype(np.float32) for _ in range(3)]
    noise = make_noise(kind, 48_000, voices, rng)
    assert noise.shape == (48_000,)
    assert np.sqrt(np.mean(noise.astype(np.float64) ** 2)) == pytest.approx(1.0, rel=1e-4)


def test_mix_sets_the_signal_to_noise_ratio() -> None:
    silence = np.zeros(48_000, dtype=np.float32)
    mixed = mix(line("mono", 10.0), silence, [], seed=1)
    level_db = 20 * np.log10(np.sqrt(np.mean(mixed.astype(np.float64) ** 2)) / ORDINARY_LEVEL_RMS)
    assert level_db == pytest.approx(-10.0, abs=0.01)


def test_the_voice_of_a_surround_clip_stands_in_the_centre() -> None:
    voice = np.full(48_000, 0.1, dtype=np.float32)
    mixed = mix(line("5.1", 60.0), voice, [], seed=1)
    assert mixed.shape == (6, 48_000 + 2 * 4_800)
    assert np.abs(mixed[2, 4_800:-4_800] - 0.1).max() < 1e-6
    assert np.abs(mixed[[0, 1, 3, 4, 5]]).max() < 0.01
