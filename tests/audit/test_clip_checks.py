from typing import Any

import pandas as pd

from mmemo.audit.clip_checks import (
    IdenticalClips,
    SpanComparison,
    SpanDifference,
    check_clips,
)
from tests.audit.hand_made import table

RATE = 100


def clips(**changed: list[Any]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {
        "season": [1, 1, 2, 2, 2],
        "start_s": [0, 0, 0, 0, 0],
        "end_s": [1, 1, 1, None, 1],
        "status": ["kept", "kept", "kept", "kept", "skipped"],
        "reason": ["", "", "", "", "missing clip"],
        "num_samples": [100, 160, 40, 100, 0],
        "crc32": [7, 7, 8, 7, 0],
        "channel_layout": ["5.1", "5.1", "stereo", "5.1", ""],
    }
    return table(
        ("train", 0, 0, "joy", "a"),
        ("train", 0, 1, "joy", "b"),
        ("val", 0, 0, "joy", "c"),
        ("test", 0, 0, "anger", "d"),
        ("test", 0, 1, "joy", "e"),
        **columns | changed,
    )


def test_clips_are_checked_by_their_table() -> None:
    found = check_clips(clips(), RATE, ["val/dia0_utt0"])
    assert found.states == {
        "train": {"kept": 2},
        "val": {"kept": 1},
        "test": {"kept": 1, "missing clip": 1},
    }
    assert found.spans == (
        SpanComparison("train", 2, 1, 0),
        SpanComparison("val", 1, 0, 1),
        SpanComparison("test", 0, 0, 0),
    )
    # 1.6 and 0.4 s where the annotation says 1 s; both differ by 0.6 s.
    assert found.span_differences == (
        SpanDifference("train/dia0_utt1", 1.6, 1.0),
        SpanDifference("val/dia0_utt0", 0.4, 1.0),
    )
    # 7 is the checksum of three clips, but one of them is longer.
    assert found.identical == (
        IdenticalClips(("train/dia0_utt0", "test/dia0_utt0"), ("joy", "anger"), True),
    )
    assert (found.num_identical_groups, found.num_identical_across_splits) == (1, 1)
    assert (found.layouts_by, found.layouts) == (
        "season",
        {"1": {"5.1": 2}, "2": {"stereo": 1, "5.1": 1}},
    )
    assert (found.num_damaged, found.damaged) == (1, ("val/dia0_utt0",))
    assert [split.num_rows for split in found.durations.splits] == [2, 1, 1]


def test_the_length_before_a_cut_counts_where_it_is_known() -> None:
    found = check_clips(clips(source_duration_s=[1.0, 1.0, 1.0, 2.0, None]), RATE, [])
    assert found.span_differences == ()
    assert found.durations.splits[2].quantiles_s["1.0"] == 2.0


def test_without_seasons_layouts_are_told_by_split() -> None:
    found = check_clips(clips(season=[None] * 5), RATE, [])
    assert found.layouts_by == "split"
    assert found.layouts == {"train": {"5.1": 2}, "val": {"stereo": 1}, "test": {"5.1": 1}}
