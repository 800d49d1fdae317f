"""The checks of clips on the real lengths and layouts of MELD's sound, against plain counting."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from mmemo.audit.clip_checks import ClipChecks, check_clips
from mmemo.audit.findings import audit_table
from mmemo.corpora.meld import MeldCorpus

Fact = dict[str, str]

SPLIT_NAMES = {"dev": "val"}


@pytest.fixture(scope="module")
def facts(shared_data: Path) -> dict[str, Fact]:
    with (shared_data / "meld" / "meld_clip_facts.csv").open(newline="") as file:
        rows = [
            f | {"split": SPLIT_NAMES.get(f["split"], f["split"])} for f in csv.DictReader(file)
        ]
        return {f"{f['split']}/dia{f['dialogue_id']}_utt{f['utterance_id']}": f for f in rows}


@pytest.fixture(scope="module")
def checks(shared_data: Path, facts: dict[str, Fact]) -> ClipChecks:
    frame = MeldCorpus(None, shared_data / "meld").read().frame()
    found = [facts[key] for key in frame["key"]]
    has_sound = [bool(f["file_audio_s"]) for f in found]
    frame["status"] = ["kept" if known else "skipped" for known in has_sound]
    frame["reason"] = ["" if known else "no audio stream" for known in has_sound]
    frame["source_duration_s"] = [float(f["file_audio_s"] or "nan") for f in found]
    frame["num_samples"], frame["crc32"] = 1, range(len(frame))
    layouts = {"1": "stereo", "0": "5.1", "": ""}
    frame["channel_layout"] = [layouts[f["file_audio_is_stereo"]] for f in found]
    return check_clips(audit_table(frame, "emotion"), 16_000, [])


def test_the_layout_follows_the_season(checks: ClipChecks, facts: dict[str, Fact]) -> None:
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for fact in facts.values():
        if fact["file_audio_s"]:
            layout = "stereo" if fact["file_audio_is_stereo"] == "1" else "5.1"
            expected[fact["season"]][layout] += 1
    assert checks.layouts == expected
    assert checks.layouts["8"] == {"stereo": 1588}
    assert sum(layouts.get("stereo", 0) for layouts in checks.layouts.values()) == 1588 + 2 + 7


def test_sound_is_compared_with_the_spans(checks: ClipChecks, facts: dict[str, Fact]) -> None:
    excess_s = {
        key: float(f["file_audio_s"]) - float(f["csv_span_s"])
        for key, f in facts.items()
        if f["file_audio_s"]
    }
    for spans in checks.spans:
        mine = [s for key, s in excess_s.items() if key.startswith(f"{spans.split}/")]
        assert spans.num_compared == len(mine)
        assert spans.num_longer == sum(s > 0.5 for s in mine)
        assert spans.num_shorter == sum(s < -0.5 for s in mine)
    assert {row.key for row in checks.span_differences} == {
        key for key, s in excess_s.items() if abs(s) > 0.5
    }
    assert [s.num_longer for s in checks.spans] == [2, 0, 113]
    assert checks.states["val"] == {"kept": 1108, "no audio stream": 1}


def test_short_and_long_sound(checks: ClipChecks, facts: dict[str, Fact]) -> None:
    for summary in checks.durations.splits:
        mine = [
            float(f["file_audio_s"] or 1) for f in facts.values() if f["split"] == summary.split
        ]
        assert summary.num_short == sum(s < 0.3 for s in mine)
        assert summary.num_long == sum(s > 30 for s in mine)
    assert sum(s.num_short for s in checks.durations.splits) == 237
