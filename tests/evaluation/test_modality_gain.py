from __future__ import annotations

import pandas as pd
import pytest

from mmemo.evaluation.modality_gain import MELD_LEADS, modality_gain
from tests.evaluation.run_folders import predictions

TARGETS = "aajjnn"
BOTH = {1: predictions("test", TARGETS, "aajjnj"), 2: predictions("test", TARGETS, "aajjnn")}
AUDIO = {1: predictions("test", TARGETS, "aannnn"), 2: predictions("test", TARGETS, "aannnj")}
TEXT = {1: predictions("test", TARGETS, "jjjjnj"), 2: predictions("test", TARGETS, "jjjjjj")}


def row(rows: list[dict], value: str) -> dict:  # type: ignore[type-arg]
    (found,) = [r for r in rows if r["value"] == value]
    return found


def test_gains_by_class_are_means_over_seeds() -> None:
    gain = modality_gain(BOTH, AUDIO, TEXT)
    assert gain["seeds"] == [1, 2]
    anger = row(gain["by"]["class"], "anger")
    assert (anger["num"], anger["both"], anger["audio"], anger["text"]) == (2, 1.0, 1.0, 0.0)
    neutral = row(gain["by"]["class"], "neutral")
    # Both: 1/2, 2/2; audio: 2/2, 1/2; text: 1/2, 0/2.
    assert neutral["gain_over_audio"]["values"] == [-0.5, 0.5]
    assert neutral["gain_over_text"]["mean"] == pytest.approx(0.5)
    assert neutral["gain_over_audio"]["sd"] == pytest.approx(0.5**0.5)


def test_agreement_and_oracle_of_the_unimodal_models() -> None:
    gain = modality_gain(BOTH, AUDIO, TEXT)
    # Seed 1: audio right on 0, 1, 4, 5; text on 2, 3, 4. Seed 2: 0, 1, 4; 2, 3.
    assert gain["agreement"]["both_right"] == pytest.approx((1 + 0) / 12)
    assert gain["agreement"]["only_audio_right"] == pytest.approx((3 + 3) / 12)
    assert gain["agreement"]["only_text_right"] == pytest.approx((2 + 2) / 12)
    assert gain["agreement"]["neither_right"] == pytest.approx((0 + 1) / 12)
    assert gain["oracle"]["accuracy"] == pytest.approx((6 + 5) / 12)
    assert gain["fused"]["accuracy"] == pytest.approx((5 + 6) / 12)


def test_lengths_and_speakers_hold_every_utterance_once() -> None:
    sound = [0.5, 1.0, 1.9, 4.0, 9.0, 3.0]
    timed = {seed: table.assign(duration_s=sound) for seed, table in BOTH.items()}
    gain = modality_gain(timed, None, TEXT)
    durations = {r["value"]: r["num"] for r in gain["by"]["duration_s"]}
    assert durations == {
        "0 to under 1 s": 1,
        "1 to under 2 s": 2,
        "2 to under 4 s": 1,
        "4 to under 8 s": 1,
        "8 s and more": 1,
    }
    # The fixture's transcripts have one to six words.
    words = {r["value"]: r["num"] for r in gain["by"]["num_words"]}
    assert words == {"0 to under 3 words": 2, "3 to under 6 words": 3, "6 to under 12 words": 1}
    assert {r["value"]: r["num"] for r in gain["by"]["speaker"]} == {"Ada": 3, "Ben": 3}
    assert gain["agreement"] is None
    assert gain["by"]["class"][0]["gain_over_audio"] is None


def test_the_six_leads_stand_apart_from_the_rest() -> None:
    speakers = [*MELD_LEADS[:5], "Janice"]
    tables = {1: BOTH[1].assign(speaker=speakers)}
    values = [r["value"] for r in modality_gain(tables, None, {1: TEXT[1]})["by"]["speaker"]]
    assert sorted(values) == sorted(speakers), "not all leads speak: the most frequent"
    more = pd.concat([BOTH[1], BOTH[1].iloc[:1]], ignore_index=True)
    more["key"] = [str(number) for number in range(7)]
    more["speaker"] = [*MELD_LEADS, "Janice"]
    text = more.assign(pred="joy")
    values = [r["value"] for r in modality_gain({1: more}, None, {1: text})["by"]["speaker"]]
    assert values == [*MELD_LEADS, "the rest"]


def test_models_without_a_common_seed_are_not_compared() -> None:
    assert modality_gain({1: BOTH[1]}, {2: AUDIO[2]}, None)["seeds"] == []


def test_rows_in_another_order_are_paired_by_key() -> None:
    shuffled = {seed: table.iloc[::-1] for seed, table in AUDIO.items()}
    assert modality_gain(BOTH, shuffled, TEXT) == modality_gain(BOTH, AUDIO, TEXT)
