from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.mean_estimates import permutation_p
from mmemo.explanation.checks import Check, ChecksDocument, CheckSettings
from mmemo.explanation.claim_measures import (
    evenness,
    excess_in_zones,
    near_points,
    negative_frames,
    on_voiced_frames,
    sign_changes,
    sound_over_words,
)
from mmemo.explanation.claims import Claim, check_claims, verdict
from mmemo.explanation.explanation import Attribution
from mmemo.explanation.frames import (
    estimated_word_times,
    share_in_zones,
    shares_by_tenth,
    voiced_frames,
)
from mmemo.explanation.members import SetMember
from mmemo.explanation.summary import (
    modality_means,
    read_summary,
    summarise,
    write_set_summary,
    zone_shares,
)
from mmemo.explanation.word_influence import influential_words, plain_word
from tests.explanation.made_explanations import FRAME, PAPER, RATE, made


def test_shares_cut_frames_in_proportion() -> None:
    edges = np.array([0.0, 320.0, 640.0, 800.0])
    tenths = shares_by_tenth(np.array([2.0, -1.0, 1.0]), edges)
    expected = np.array([0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.5, 0.5]) / 4
    np.testing.assert_allclose(tenths, expected)
    assert shares_by_tenth(np.zeros(3), edges) is None
    # At 8 kHz, sample 160 of the sound is sample 320 of the paper.
    assert share_in_zones(np.array([2.0, -1.0, 1.0]), edges, 8_000, [(0, 320)]) == 0.25


def test_zones_count_against_the_clips_length() -> None:
    frames = [1.0] * 50 + [3.0] * 50  # 32,000 samples
    member = SetMember.of(made(frames=frames))
    assert excess_in_zones("integrated_gradients", [(0, 16_000)]).of(member) == pytest.approx(-0.25)
    # A clip that ends inside the zone tells nothing about it.
    assert excess_in_zones("integrated_gradients", [(0, 50_000)]).of(member) is None
    rows = {row.start: row for row in zone_shares("anger", [member])}
    assert rows[0].length_share == pytest.approx(10 / 32)
    assert rows[0].mean == pytest.approx(31.25 / 200)
    assert rows[30_000].num_reaching == 1 and rows[40_000].num_reaching == 0
    assert rows[120_000].stop == 128_000


def test_measures_of_a_sound_by_hand() -> None:
    member = SetMember.of(made(frames=[1.0, -1.0, 0.0, -1.0, 2.0]))
    assert sign_changes("integrated_gradients").of(member) == pytest.approx(2 / 0.1)
    even = SetMember.of(made(frames=[1.0] * 10))
    assert evenness("integrated_gradients").of(even) == pytest.approx(1.0)
    occluded = Attribution(np.array([-1.0, -1.0, 3.0, -1.0]), None)
    assert negative_frames("occlusion").of(SetMember.of(made(occlusion=occluded))) == 0.75
    # Frames of 320: the ones with a middle within 2,500 of sample 5,000 are 8 to 22.
    frames = [0.0] * 40
    frames[8:23] = [1.0] * 15
    near = near_points("integrated_gradients", [5_000]).of(SetMember.of(made(frames=frames)))
    assert near == pytest.approx((1 - 15 / 40) / (15 / 40))


def test_a_tone_is_voiced_and_noise_and_silence_are_not() -> None:
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 120 * np.arange(RATE) / RATE)
    sound = np.concatenate([tone, 0.5 * rng.standard_normal(RATE), np.zeros(RATE)])
    voiced = voiced_frames(sound.astype(np.float32), RATE)
    assert voiced.shape == (150,)
    assert voiced[1:48].all() and voiced[52:].mean() < 0.1
    member = SetMember.of(made(frames=[1.0] * 50 + [0.0] * 100, sound=sound.astype(np.float32)))
    found = on_voiced_frames("integrated_gradients").of(member)
    assert found == pytest.approx(voiced[:50].mean() - voiced.mean())


def test_word_times_share_what_is_heard() -> None:
    sound = np.zeros(10 * FRAME, dtype=np.float32)
    sound[2 * FRAME : 7 * FRAME] = 0.5
    words = ["a", "bcd"]  # two and three letters with the space behind
    times = estimated_word_times(words, sound, RATE)
    np.testing.assert_allclose(times, [(0.04, 0.08), (0.08, 0.14)])
    assert estimated_word_times([], sound, RATE) == []


def test_words_without_case_and_punctuation() -> None:
    assert [plain_word(text) for text in ("No,", "“Great!”", "Don’t", "--")] == [
        "no",
        "great",
        "don't",
        "",
    ]
    members = [
        SetMember.of(made(transcript="No, great", words=[1.0, 2.0])),
        SetMember.of(made(transcript="no play", words=[3.0, 9.0])),
    ]
    (row,) = influential_words("anger", members, "integrated_gradients", min_count=2)
    assert (row.word, row.count, row.mean) == ("no", 2, 2.0)
    first = influential_words("anger", members, "integrated_gradients", min_count=1)
    assert [row.word for row in first] == ["play", "great", "no"]


def test_modalities_by_hand() -> None:
    members = [SetMember.of(made()), SetMember.of(made(shapley={"audio": 3.0, "text": 0.0}))]
    rows = {(r.measure, r.modality): r for r in modality_means("anger", members)}
    assert rows["shapley", "audio"].mean == 2.0 and rows["shapley", "audio"].num == 2
    assert rows["gradients_sum", "audio"].mean == pytest.approx(1.5)
    assert rows["gradients_share", "text"].mean == pytest.approx(1.75 / 5.25)
    unimodal = SetMember.of(made(frames=None, shapley={"text": 2.0}))
    assert sound_over_words().of(unimodal) is None
    names = {(r.measure, r.modality) for r in modality_means("anger", [unimodal])}
    assert names == {("shapley", "text"), ("gradients_sum", "text")}


def test_verdicts() -> None:
    assert verdict(0.1, 0.01, "above") == "holds"
    assert verdict(0.1, 0.01, "below") == "the opposite holds"
    assert verdict(0.1, 0.06, "above") == "not shown"
    assert verdict(0.1, None, "above") == verdict(None, None, "above") == "too few utterances"


def members_of(target: str, audio: Sequence[float], dialogues: int = 100) -> list[SetMember]:
    return [
        SetMember.of(
            made(key=f"{target}{place}", target=target, shapley={"audio": value, "text": 0.5}),
            f"dialogue {place % dialogues}",
        )
        for place, value in enumerate(audio)
    ]


def test_a_claim_over_a_set() -> None:
    members = members_of("anger", [2.0 + 0.01 * i for i in range(10)])
    members += members_of("joy", [1.0] * 10)
    claims = {(c.class_name, c.sentence): c for c in check_claims(members, PAPER.claims)}
    anger = claims["anger", "sound matters more than words"]
    assert anger.mean == pytest.approx(1.545) and anger.num == 10 and anger.verdict == "holds"
    # All ten on one side, and alike: by the sign test.
    joy = claims["joy", "words matter more than sound"]
    assert joy.p == 2 / 2**10
    assert joy.holm_p is not None and joy.holm_p > joy.p
    assert joy.verdict == "the opposite holds"
    assert not any(name == "sadness" for name, _ in claims)


def test_the_mean_of_other_classes_varies_too() -> None:
    random = np.random.default_rng(0)
    anger, joy = random.normal(0.4, 1.0, 12), random.normal(0.0, 1.0, 14)
    claims = [
        Claim("Fig. 0", "anger", "more", sound_over_words(), "above", None),
        Claim("Fig. 0", "joy", "more than half", sound_over_words(), "above", 0.5),
    ]
    members = members_of("anger", anger)
    members += [replace(member, unit=member.explanation.key) for member in members_of("joy", joy)]
    found, other = check_claims(members, claims)
    expected = stats.ttest_ind(anger, joy, equal_var=False)
    names = [f"a{place:02}" for place in range(12)], [f"j{place:02}" for place in range(14)]
    by_permutation = permutation_p(list(anger), names[0], list(joy), names[1])
    assert found.p == pytest.approx(by_permutation, abs=0.01)
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.reference == pytest.approx(joy.mean() - 0.5)
    assert (found.num, found.num_units) == (12, 12)
    one_sample = stats.ttest_1samp(joy - 0.5, 0.5)
    assert other.p == pytest.approx(one_sample.pvalue)
    assert other.difference == pytest.approx(joy.mean() - 1.0)
    smaller, larger = sorted([found.p, other.p])
    adjusted = sorted([found.holm_p or 0, other.holm_p or 0])
    assert adjusted == pytest.approx([2 * smaller, max(2 * smaller, larger)])


def test_utterances_of_few_dialogues_are_too_few() -> None:
    members = members_of("anger", [2.0 + 0.01 * i for i in range(30)], dialogues=9)
    claims = {(c.class_name, c.sentence): c for c in check_claims(members, PAPER.claims)}
    anger = claims["anger", "sound matters more than words"]
    assert (anger.num, anger.num_units, anger.verdict) == (30, 9, "too few utterances")
    assert anger.low is not None and anger.p is None


def test_files_of_a_summary(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found none; run `mmemo explain`"):
        write_set_summary(tmp_path)
    for number in range(2):
        folder = tmp_path / "set" / str(number)
        made(key=f"test/dia0_utt{number}").save(folder)
        row = Check("occlusion", "text", "n", float(number), 0.0, None, "v")
        settings = CheckSettings({}, False, ())
        checks = ChecksDocument(f"test/dia0_utt{number}", (row,), {}, {}, settings)
        write_document(folder / "checks.json", checks)
    summary = write_set_summary(tmp_path, min_word_count=2, claims=PAPER.claims)
    assert summary.num_by_class == {"anger": 2} and summary.num_correct == 0
    assert summary.checks[0].mean == 0.5
    assert (summary.unit, summary.num_units, summary.min_units) == ("utterance", 2, 5)
    assert read_summary(tmp_path) == summary
    words = pd.read_csv(tmp_path / "summary_words.csv")
    assert list(words["word"]) == ["again", "no", "not"] and set(words["count"]) == {2}


def test_a_set_of_one_output_alone() -> None:
    members = [SetMember.of(made()), SetMember.of(replace(made(), output="logit"))]
    with pytest.raises(InputError, match="one model output, got log_odds, logit"):
        summarise(members, [])
