import wave
from pathlib import Path

from tests.corpora.demo_layouts import Take, _write_sounds


def test_takes_are_spoken_into_files_of_their_own(tmp_path: Path) -> None:
    takes = [
        Take("wav/03a01Wa.wav", "de+m3", "anger", "Das will sie am Mittwoch abgeben."),
        Take("wav/08a01Ta.wav", "de+f2", "sadness", "Das will sie am Mittwoch abgeben."),
    ]
    durations_s = _write_sounds(tmp_path / "once", takes, 16_000, seed=3)
    again_s = _write_sounds(tmp_path / "twice", takes, 16_000, seed=3)
    assert again_s == durations_s
    assert 0.5 < durations_s[0] < durations_s[1] < 8, "anger is spoken faster than sadness"
    for take, duration_s in zip(takes, durations_s, strict=True):
        with wave.open(str(tmp_path / "once" / take.path)) as file:
            assert (file.getframerate(), file.getnchannels()) == (16_000, 1)
            assert file.getnframes() / 16_000 == duration_s
        content = (tmp_path / "once" / take.path).read_bytes()
        assert content == (tmp_path / "twice" / take.path).read_bytes()
