"""The audit of MELD's three real CSVs against a count of its own, with nothing shared.

The count uses the csv module, plain loops and scikit-learn's metrics.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.metrics import accuracy_score, f1_score

from mmemo.audit.findings import Audit, audit_corpus, audit_table
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.facts import Difference
from mmemo.corpora.utterance import LabelSet
from mmemo.folders import config_dir
from tests.conftest import FIVE

FILES = {"train": "train_sent_emo.csv", "val": "dev_sent_emo.csv", "test": "test_sent_emo.csv"}
PAIRS = [("val", "train"), ("test", "train"), ("test", "val")]
SEVEN = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")

Row = dict[str, str]
Rows = dict[str, list[Row]]


def meld(shared_data: Path) -> Annotations:
    """By its file of conf/corpus, which holds what its authors published."""
    config = OmegaConf.load(config_dir() / "corpus" / "meld.yaml")
    config.annotations = str(shared_data / "meld")
    annotations: Annotations = instantiate(config, _convert_="all").read()
    return annotations


@pytest.fixture(scope="module")
def audit(shared_data: Path) -> Audit:
    annotations = meld(shared_data)
    labels = LabelSet("five", dict.fromkeys(FIVE, "#000000"))
    table = audit_table(annotations.frame(), labels.column)
    repaired, facts = annotations.num_repaired, annotations.facts
    return audit_corpus("meld", "here", table, labels, {}, repaired, facts=facts)


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> Rows:
    read = {}
    for split, name in FILES.items():
        with (shared_data / "meld" / name).open(newline="", encoding="utf-8") as file:
            read[split] = list(csv.DictReader(file))
    return read


def of_scope(rows: Rows, scope: str) -> Rows:
    if scope == "all":
        return rows
    return {split: [r for r in found if r["Emotion"] in FIVE] for split, found in rows.items()}


def normalised(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s]|_", "", folded)).strip()


def seconds(text: str) -> float:
    time = datetime.strptime(text, "%H:%M:%S,%f")
    return time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6


def test_rows_dialogues_speakers_classes(audit: Audit, rows: Rows) -> None:
    for counts in audit.splits:
        mine = rows[counts.split]
        assert counts.num_rows == len(mine)
        assert counts.num_dialogues == len({r["Dialogue_ID"] for r in mine})
        assert counts.speakers == Counter(r["Speaker"].strip() for r in mine)
        assert counts.num_speakers == len(counts.speakers)
        assert counts.labels == Counter(r["Emotion"] for r in mine)
        assert counts.num_in_label_set == sum(r["Emotion"] in FIVE for r in mine)
    assert [s.num_rows for s in audit.splits] == [9989, 1109, 2610]
    assert [s.num_in_label_set for s in audit.splits] == [9450, 1047, 2492]
    assert [s.num_speakers for s in audit.splits] == [260, 47, 100]
    assert audit.official_differences == (Difference("train", "dialogues", 1038, 1039),)


def test_sentiment_counts_are_the_published_ones(shared_data: Path) -> None:
    annotations = meld(shared_data)
    labels = LabelSet("three", dict.fromkeys(("negative", "positive"), "#000000"), "sentiment")
    table = audit_table(annotations.frame(), labels.column)
    found = audit_corpus("meld", "here", table, labels, {}, facts=annotations.facts)
    assert found.official_differences == (Difference("train", "dialogues", 1038, 1039),)


def test_gaps(audit: Audit, rows: Rows) -> None:
    for gaps in audit.gaps:
        ids: dict[int, list[int]] = defaultdict(list)
        for row in rows[gaps.split]:
            ids[int(row["Dialogue_ID"])].append(int(row["Utterance_ID"]))
        missing = {d: [u for u in range(max(us)) if u not in us] for d, us in ids.items()}
        found = {gap.dialogue_id: list(gap.missing_utterance_ids) for gap in gaps.dialogues}
        assert found == {d: us for d, us in missing.items() if us}
        assert gaps.num_missing_utterances == sum(map(len, missing.values()))
        assert list(gaps.missing_dialogue_ids) == [d for d in range(max(ids)) if d not in ids]
    assert audit.gaps[0].missing_dialogue_ids == (60,)


def test_collisions(audit: Audit, rows: Rows) -> None:
    keys = {s: {(r["Dialogue_ID"], r["Utterance_ID"]) for r in rows[s]} for s in rows}
    everywhere = keys["train"] & keys["val"] & keys["test"]
    assert audit.collisions.by_splits == {
        "train, val, test": len(everywhere),
        "train, val": len((keys["train"] & keys["val"]) - everywhere),
        "train, test": len((keys["train"] & keys["test"]) - everywhere),
        "val, test": len((keys["val"] & keys["test"]) - everywhere),
    }
    occurrences = Counter(key for found in keys.values() for key in found)
    several = [n for n in occurrences.values() if n > 1]
    assert (audit.collisions.num_keys, audit.collisions.num_rows) == (len(several), sum(several))


def test_shared_transcripts(audit: Audit, rows: Rows) -> None:
    assert len(audit.shared_transcripts) == 2 * 2 * 3
    for shared in audit.shared_transcripts:
        change = normalised if shared.normalised else str.strip
        scoped = of_scope(rows, shared.scope)
        mine = [(change(r["Utterance"]), r["Emotion"]) for r in scoped[shared.split]]
        theirs = [(change(r["Utterance"]), r["Emotion"]) for r in scoped[shared.other]]
        texts, pairs = {text for text, _ in theirs}, set(theirs)
        assert shared.num_rows == len(mine)
        assert shared.num_shared == sum(text in texts for text, _ in mine)
        assert shared.num_texts == len({text for text, _ in mine} & texts)
        assert shared.num_same_label == sum(pair in pairs for pair in mine)
        assert shared.num_other_label == shared.num_shared - shared.num_same_label
        labels = defaultdict(set)
        for text, label in theirs:
            labels[text].add(label)
        assert shared.num_mixed == sum(bool(labels[text] - {label}) for text, label in mine)
    (paper,) = (
        s
        for s in audit.shared_transcripts
        if (s.split, s.other, s.scope, s.normalised) == ("test", "train", "five", True)
    )
    assert (paper.num_shared, round(100 * paper.num_shared / paper.num_rows, 1)) == (387, 15.5)
    counted = sum(s.num_shared for s in audit.shared_transcripts if s.scope == "all")
    exact = sum(
        s.num_shared for s in audit.shared_transcripts if s.scope == "all" and not s.normalised
    )
    assert len(audit.shared_rows) == counted - exact


def test_shared_speakers_and_episodes(audit: Audit, rows: Rows) -> None:
    columns = {"speakers": ("Speaker",), "episodes": ("Season", "Episode")}
    for found in (audit.shared_speakers, audit.shared_episodes):
        assert [(s.split, s.other) for s in found] == PAIRS
        for shared in found:
            names = columns[shared.what]
            mine = [tuple(r[n].strip() for n in names) for r in rows[shared.split]]
            theirs = {tuple(r[n].strip() for n in names) for r in rows[shared.other]}
            assert (shared.num_values, shared.num_rows) == (len(set(mine)), len(mine))
            assert shared.num_shared_values == len(set(mine) & theirs)
            assert shared.num_shared_rows == sum(value in theirs for value in mine)
            assert len(shared.unshared) == len(set(mine) - theirs)
    test_speakers, test_episodes = audit.shared_speakers[1], audit.shared_episodes[1]
    assert round(100 * test_speakers.num_shared_rows / test_speakers.num_rows, 1) == 95.8
    assert (test_episodes.num_shared_values, test_episodes.num_values) == (142, 143)


def test_scenes(audit: Audit, rows: Rows) -> None:
    for scenes in audit.shared_scenes:
        by_episode = defaultdict(list)
        for row in rows[scenes.other]:
            start, end = seconds(row["StartTime"]), seconds(row["EndTime"])
            if 0 < end - start <= 30:
                by_episode[row["Season"], row["Episode"]].append((start, end, row))
        expected: Counter[tuple[str, str]] = Counter()
        equal: Counter[tuple[str, str]] = Counter()
        for row in rows[scenes.split]:
            start, end = seconds(row["StartTime"]), seconds(row["EndTime"])
            if not 0 < end - start <= 30:
                continue
            for other_start, other_end, other in by_episode[row["Season"], row["Episode"]]:
                if min(end, other_end) > max(start, other_start):
                    pair = (
                        f"{scenes.split}/dia{row['Dialogue_ID']}",
                        f"{scenes.other}/dia{other['Dialogue_ID']}",
                    )
                    expected[pair] += 1
                    equal[pair] += normalised(row["Utterance"]) == normalised(other["Utterance"])
        found = {(p.dialogue, p.other_dialogue): p for p in scenes.pairs}
        assert {pair: p.num_overlapping for pair, p in found.items()} == expected
        assert {pair: p.num_equal for pair, p in found.items()} == equal
    assert [s.num_pairs for s in audit.shared_scenes] == [7, 19, 0]
    assert [s.num_confirmed for s in audit.shared_scenes] == [0, 2, 0]


def test_the_known_scene_is_found_with_its_differing_labels(audit: Audit, rows: Rows) -> None:
    first = audit.shared_scenes[1].pairs[0]
    assert (first.dialogue, first.other_dialogue) == ("test/dia85", "train/dia12")
    test = [r for r in rows["test"] if r["Dialogue_ID"] == "85"]
    train = [r for r in rows["train"] if r["Dialogue_ID"] == "12"]
    alike = [
        a["Emotion"] != b["Emotion"]
        for a in test
        for b in train
        if normalised(a["Utterance"]) in normalised(b["Utterance"])
        and seconds(a["StartTime"]) < seconds(b["EndTime"])
        and seconds(b["StartTime"]) < seconds(a["EndTime"])
    ]
    assert (first.num_alike, first.num_alike_other_label) == (len(alike), sum(alike)) == (5, 3)


def test_spans_and_speech_rates(audit: Audit, rows: Rows) -> None:
    for summary in audit.spans.splits:
        spans = [seconds(r["EndTime"]) - seconds(r["StartTime"]) for r in rows[summary.split]]
        assert (summary.num_rows, summary.num_without) == (len(spans), 0)
        assert summary.num_not_positive == sum(span <= 0 for span in spans)
        assert summary.num_short == sum(0 < span < 0.3 for span in spans)
        assert summary.num_long == sum(span > 30 for span in spans)
        assert summary.hours == pytest.approx(sum(spans) / 3600)
        assert summary.quantiles_s["1.0"] == pytest.approx(max(spans))
        rates = [
            len(re.findall(r"[^\W_]", row["Utterance"])) / span
            for row, span in zip(rows[summary.split], spans, strict=True)
            if span > 0
        ]
        assert audit.spans.num_too_fast[summary.split] == sum(rate > 40 for rate in rates)
    assert [row.key for row in audit.spans.not_positive] == ["test/dia155_utt3"]
    assert [(row.key, round(row.duration_s)) for row in audit.spans.long] == [
        ("test/dia38_utt4", 305),
        ("test/dia220_utt0", 235),
        ("train/dia309_utt0", 41),
    ]


def test_baselines(audit: Audit, rows: Rows) -> None:
    assert len(audit.baselines) == 2 * 2 * 3
    for score in audit.baselines:
        scoped = of_scope(rows, score.scope)
        classes = SEVEN if score.scope == "all" else FIVE
        train = Counter(r["Emotion"] for r in scoped["train"])
        by_text: dict[str, Counter[str]] = defaultdict(Counter)
        if score.baseline == "text lookup":
            for row in scoped["train"]:
                by_text[normalised(row["Utterance"])][row["Emotion"]] += 1
        target, answers, num_found = [], [], 0
        for row in scoped[score.split]:
            seen = by_text.get(normalised(row["Utterance"]))
            num_found += seen is not None
            best = max(seen, key=lambda c: (seen[c], train[c])) if seen else "neutral"
            target.append(row["Emotion"])
            answers.append(best)
        assert (score.num_rows, score.num_found) == (len(target), num_found)
        assert score.accuracy == pytest.approx(accuracy_score(target, answers))
        for average, value in (("weighted", score.weighted_f1), ("macro", score.macro_f1)):
            expected = f1_score(target, answers, labels=classes, average=average, zero_division=0)
            assert value == pytest.approx(expected)
    majority = {(s.scope, s.split): s for s in audit.baselines if s.baseline == "majority"}
    assert round(majority["all", "test"].accuracy, 3) == 0.481
    assert round(majority["all", "test"].weighted_f1, 3) == 0.313
    assert round(majority["five", "test"].accuracy, 3) == 0.504
