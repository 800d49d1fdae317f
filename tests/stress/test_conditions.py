from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmemo.audio.added_noise import BackgroundNoise
from mmemo.audio.coding import Codec
from mmemo.audio.perturbations import Gain
from mmemo.audio.synthetic_noise import WhiteNoise
from mmemo.errors import InputError
from mmemo.extras import MissingPackageError
from mmemo.stress.conditions import CLEAN_CONDITION, Condition
from mmemo.stress.series import (
    Contradiction,
    NamedSounds,
    NamedWords,
    OneModality,
    RecognisedWords,
    RecogniserName,
    Series,
    SoundSeries,
    WordErrorSeries,
    chosen_conditions,
    usable_series,
)
from mmemo.stress.words import PlainWords

GAIN = SoundSeries(
    "gain",
    "gain, dB",
    Gain,
    ("min_gain_db", "max_gain_db"),
    (-10, 10),
    "",
    ("as trained", "otherwise"),
)
EVERY: list[Series] = [
    GAIN,
    NamedSounds("named", {"a": Gain(3.0, 3.0)}),
    WordErrorSeries("words", "left out", ("deletion",), (0.1, 0.25)),
    NamedWords("other", {"plain": PlainWords()}),
    RecognisedWords("other", "recognised by"),
    OneModality("one"),
    Contradiction("both"),
]
CLASSES = ("anger", "joy")
TINY = RecogniserName("tiny", "tiny v1")


def names(conditions: list[Condition]) -> list[str]:
    return [one.name for one in conditions]


def test_a_model_of_both_modalities_is_tried_under_all() -> None:
    found = chosen_conditions(EVERY, ("audio", "text"), CLASSES, TINY, True)
    assert found[0] is CLEAN_CONDITION
    assert names(found[1:]) == [
        *("gain, -10", "gain, 10", "gain, clean", "gain, -10", "gain, 10", "named, a"),
        *(
            "words, left out, 10 %",
            "words, left out, 25 %",
            "other, plain",
            "other, recognised by tiny",
        ),
        *("one, sound alone", "one, words alone", "both, words of anger", "both, words of joy"),
    ]
    assert [one.words_of for one in found[-2:]] == ["anger", "joy"]
    assert found[10].recogniser == "tiny v1"
    assert found[1].sound == Gain(-10, -10)


def test_what_needs_a_modality_that_a_model_lacks_is_not_tried() -> None:
    heard = chosen_conditions(EVERY, ("audio",), CLASSES, None, False)
    assert names(heard[1:]) == ["gain, -10", "gain, 10", "named, a"]
    read = chosen_conditions(EVERY, ("text",), CLASSES, None, True)
    assert names(read[1:]) == ["words, left out, 10 %", "words, left out, 25 %", "other, plain"]
    with pytest.raises(InputError, match="a model of audio can be tried under, got none"):
        chosen_conditions(EVERY[2:], ("audio",), CLASSES, None, False)


@pytest.mark.parametrize(
    ("series", "modalities"),
    [(EVERY, ("text",)), (EVERY, ("audio",)), ([GAIN, OneModality("one")], ("audio", "text"))],
)
def test_a_recogniser_that_no_condition_asks_is_refused(
    series: list[Series], modalities: tuple[str, ...]
) -> None:
    assert len(chosen_conditions(series, modalities, CLASSES, None, True)) > 1
    with pytest.raises(InputError, match=r"asr: expected .*conditions=\[words\].* leave asr out"):
        chosen_conditions(series, modalities, CLASSES, TINY, True)


def test_clean_sound_that_is_denoised_otherwise_is_the_same_in_every_panel() -> None:
    other = SoundSeries("pink", "", Gain, ("min_gain_db", "max_gain_db"), (1,), "", ("otherwise",))
    one, two = GAIN.conditions()[2], other.conditions()[0]
    assert one.identity() == two.identity() != CLEAN_CONDITION.identity()


def test_an_identity_changes_with_every_setting(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"1")
    noise = BackgroundNoise(tmp_path, 1.0, 1.0)
    given = [
        Condition("a", sound=Gain(1.0, 1.0)),
        Condition("a", sound=Gain(2.0, 2.0)),
        Condition("b", sound=Gain(1.0, 1.0)),
        Condition("a", sound=Gain(1.0, 1.0), denoising="otherwise"),
        Condition("a", sound=Codec(["mp3"], 8.0, 8.0)),
        Condition("a", sound=Codec(["opus"], 8.0, 8.0)),
        Condition("a", sound=noise),
        Condition("a", without="audio"),
        Condition("a", words_of="joy"),
        Condition("a", recogniser="tiny"),
    ]
    assert len({one.identity() for one in given}) == len(given)
    assert given[0].identity() == Condition("a", sound=Gain(1.0, 1.0)).identity()


def test_a_recording_that_was_written_over_is_another_noise(tmp_path: Path) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(b"1")
    condition = Condition("a", sound=BackgroundNoise(tmp_path, 1.0, 1.0))
    before = condition.identity()
    assert condition.identity() == before
    recording.write_bytes(b"2")
    os.utime(recording, ns=(0, 1))
    assert condition.identity() != before


class Unusable:
    """A perturbation whose package is not there."""

    probability = 1.0

    def check(self) -> None:
        raise MissingPackageError("expected the package x; pip install 'mmemo[x]'")

    def __call__(self, *given: object) -> None:
        raise AssertionError


class Wrong(Unusable):
    """A perturbation that would fail for another reason."""

    def check(self) -> None:
        raise InputError("expected a folder")


def test_series_whose_package_is_missing_are_left_out_and_told() -> None:
    left = NamedSounds("rooms", {"hall": Unusable()})  # type: ignore[dict-item]
    found, why = usable_series([GAIN, left])
    assert found == [GAIN]
    assert why == ["conditions, rooms: expected the package x; pip install 'mmemo[x]'"]
    with pytest.raises(InputError, match="conditions, rooms: expected a folder"):
        usable_series([NamedSounds("rooms", {"hall": Wrong()})])  # type: ignore[dict-item]


def test_levels_that_a_perturbation_refuses_are_refused_by_the_panel() -> None:
    gain = SoundSeries("loud", "dB", Gain, ("min_gain_db",), (100,))
    with pytest.raises(InputError, match=r"conditions, loud: .*expected min_gain_db of at most"):
        usable_series([gain])


def test_levels_of_noise_go_down_to_the_worst_in_whatever_order_they_are_given() -> None:
    """Curves and what denoising is worth "down to the worst one" are told in this order."""
    given = {"panel": "noise", "axis": "SNR, dB", "perturbation": WhiteNoise}
    noise = SoundSeries(**given, parameters=("min_snr_db", "max_snr_db"), levels=(-5, 20.0, 0))
    assert [one.level for one in noise.conditions()] == ["20", "0", "-5"]
    gain = SoundSeries("gain", "dB", Gain, ("min_gain_db", "max_gain_db"), (10, -10))
    assert [one.level for one in gain.conditions()] == ["10", "-10"]
