from collections.abc import Sequence

import pandas as pd
import pytest
from sklearn.metrics import f1_score

from mmemo.comparison.gain_results import ModalityGain
from mmemo.comparison.modality_gain import NO_DURATIONS, Tables, modality_gain

TARGETS = ["joy", "joy", "joy", "anger", "anger", "anger", "fear", "fear"]
NAMES = {"j": "joy", "a": "anger", "f": "fear"}


def table(preds: str, speakers: Sequence[str] = ("Ada",) * 8) -> pd.DataFrame:
    """Predictions by their first letters; the rows' order is not that of the keys."""
    rows = pd.DataFrame(
        {
            "key": [f"test/dia0_utt{n}" for n in range(8)],
            "speaker": speakers,
            "transcript": ["Hi.", "Oh no!", "a b c", "a b c d e f", *["x " * 30] * 4],
            "duration_s": [0.5, 0.9, 1.0, 1.9, 2.0, 3.0, 8.0, float("nan")],
            "target": TARGETS,
            "pred": [NAMES[letter] for letter in preds],
            **{f"prob_{name}": 0.0 for name in NAMES.values()},
        }
    )
    return rows.sample(frac=1, random_state=sum(map(ord, preds)))


# Right: both 6 and 7 of 8, audio 3 and 4, text 4 and 5.
BOTH = {1: table("jjjaaajj"), 2: table("jjjaaafj")}
AUDIO = {1: table("jjjjjjjj"), 2: table("jjjajjjj")}
TEXT = {1: table("aajaaaaa"), 2: table("ajjaaaaa"), 3: table("aaaaaaaa")}


def gained(both: Tables, audio: Tables | None, text: Tables | None) -> ModalityGain:
    return modality_gain(both, audio, text, {"audio+text": "both"})


def test_gains_by_class_by_hand() -> None:
    gain = gained(BOTH, AUDIO, TEXT)
    assert (gain.seeds, gain.num_utterances) == ((1, 2), 8)
    joy, anger, fear = gain.by["class"]
    assert (joy.value, joy.num, joy.both, joy.audio) == ("joy", 3, 1.0, 1.0)
    assert joy.text == pytest.approx(1 / 2)
    assert joy.gain_over_text.values == pytest.approx([2 / 3, 1 / 3])
    assert joy.gain_over_text.mean == pytest.approx(1 / 2)
    assert joy.gain_over_text.sd == pytest.approx(1 / 18**0.5)
    assert joy.gain_over_audio.mean == 0
    assert (anger.text, anger.audio) == (1.0, pytest.approx(1 / 6))
    assert (fear.both, fear.audio, fear.text) == (0.25, 0, 0)


def test_gains_in_f1_are_of_sklearns() -> None:
    gain = gained(BOTH, AUDIO, TEXT)
    rows = {row.value: row for row in gain.by["class_f1"]}

    def f1(tables: dict[int, pd.DataFrame], name: str) -> list[float]:
        return [
            f1_score(
                tables[seed]["target"],
                tables[seed]["pred"],
                labels=[name],
                average="macro",
                zero_division=0,
            )
            for seed in (1, 2)
        ]

    for name, row in rows.items():
        both, audio = f1(BOTH, name), f1(AUDIO, name)
        assert row.both == pytest.approx(sum(both) / 2)
        expected = [b - a for b, a in zip(both, audio, strict=True)]
        assert row.gain_over_audio.values == pytest.approx(expected)
    # Always joy: precision 3/8, recall 1; the other seed 3/7 and 1.
    assert rows["joy"].audio == pytest.approx((6 / 11 + 6 / 10) / 2)


def test_gains_by_duration_and_length() -> None:
    by = gained(BOTH, AUDIO, TEXT).by
    assert list(by) == ["class", "class_f1", "duration_s", "num_words", "speaker"]
    assert [(row.value, row.num) for row in by["duration_s"]] == [
        ("under 1 s", 2),
        ("1 to under 2 s", 2),
        ("2 to under 4 s", 2),
        ("8 s and more", 1),
    ]
    first, second, *_ = by["duration_s"]
    assert (first.both, first.text) == (1.0, 0.25)
    assert second.gain_over_audio.values == (0.5, 0.0)
    assert [(row.value, row.num) for row in by["num_words"]] == [
        ("under 3 words", 2),
        ("3 to under 6 words", 1),
        ("6 to under 12 words", 1),
        ("24 words and more", 4),
    ]


@pytest.mark.parametrize("without", ["column", "values"])
def test_without_durations_the_rest_stands_and_a_note_says_so(without: str) -> None:
    if without == "column":
        both = {1: BOTH[1].drop(columns="duration_s")}
    else:
        both = {1: BOTH[1].assign(duration_s=float("nan"))}
    gain = gained(both, AUDIO, TEXT)
    assert "duration_s" not in gain.by
    assert gain.by["num_words"]
    assert gain.notes == (NO_DURATIONS,)
    assert gained(BOTH, AUDIO, TEXT).notes == ()


@pytest.mark.parametrize(
    ("speakers", "expected"),
    [
        (
            ["Ross", "Rachel", "Joey", "Monica", "Phoebe", "Chandler", "Gunther", "Gunther"],
            [("Chandler", 1), ("Joey", 1), ("Monica", 1), ("Phoebe", 1), ("Rachel", 1)]
            + [("Ross", 1), ("the rest", 2)],
        ),
        (
            ["g", "f", "e", "d", "c", "b", "a", "a"],
            [("a", 2), ("b", 1), ("c", 1), ("d", 1), ("e", 1), ("f", 1), ("the rest", 1)],
        ),
        (["Ada"] * 4 + ["Dev"] * 4, [("Ada", 4), ("Dev", 4)]),
    ],
    ids=["MELD", "most frequent", "fewer than six"],
)
def test_speakers_are_the_leads_or_who_speaks_most(
    speakers: list[str], expected: list[tuple[str, int]]
) -> None:
    gain = gained({1: table("jjjaaajj", speakers)}, {1: table("jjjjjjjj", speakers)}, None)
    assert [(row.value, row.num) for row in gain.by["speaker"]] == expected


def test_agreement_and_oracle_by_hand() -> None:
    gain = gained(BOTH, AUDIO, TEXT)
    agreement = gain.agreement
    # Seed 1: both right in 1 of 8, audio alone 2, text alone 3, neither 2; seed 2: 3, 1, 2, 2.
    assert agreement.both_right == pytest.approx(4 / 16)
    assert agreement.only_audio_right == pytest.approx(3 / 16)
    assert agreement.only_text_right == pytest.approx(5 / 16)
    assert agreement.neither_right == pytest.approx(4 / 16)
    # Seed 1: audio always joy, so that chance explains it: 0. Seed 2: equal in 3 of 8, by chance
    # (7 * 2 + 1 * 6) / 64.
    assert agreement.kappa == pytest.approx((0 + (3 / 8 - 20 / 64) / (1 - 20 / 64)) / 2)
    # Either is right in 6 of 8; the two of fear are called anger: joy 1, anger 6/8, fear 0.
    assert gain.oracle.accuracy == pytest.approx(6 / 8)
    assert gain.oracle.macro_f1 == pytest.approx((1 + 6 / 8 + 0) / 3)
    assert gain.fused.accuracy == pytest.approx(13 / 16)


def test_one_and_the_same_answer_of_both_has_no_kappa() -> None:
    gain = gained(BOTH, {1: table("jjjjjjjj")}, {1: table("jjjjjjjj")})
    assert gain.agreement and gain.agreement.kappa is None


def test_a_missing_modality_leaves_its_columns_empty() -> None:
    gain = gained(BOTH, None, TEXT)
    (row, *_) = gain.by["class"]
    assert (row.audio, row.gain_over_audio) == (None, None)
    assert (gain.agreement, gain.oracle) == (None, None)
    assert gain.fused.accuracy == pytest.approx(13 / 16)


def test_no_seed_in_common_is_said() -> None:
    gain = gained({1: BOTH[1]}, {2: AUDIO[2]}, None)
    assert (gain.seeds, gain.by, gain.fused) == ((), {}, None)
    assert "no seed in common" in gain.notes[0]


def test_other_utterances_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same 8 utterances and targets, got other ones, 7 in"):
        gained(BOTH, AUDIO, {1: TEXT[1].iloc[1:], 2: TEXT[2]})
