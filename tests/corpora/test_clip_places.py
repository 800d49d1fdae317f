"""Clips that a table names by their bare names, and utterances that are stretches of one."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mmemo.audio.preparation import Preparer
from mmemo.corpora.clip_places import ClipPlaces
from mmemo.corpora.leaks import check_disjoint
from mmemo.corpora.splits import OfficialSplit
from mmemo.corpora.table import TableCorpus
from mmemo.errors import InputError

RATE = 16_000


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def places(root: Path, *names: str) -> list[str]:
    found, _ = ClipPlaces("own.csv", root).find(names)
    return [str(Path(place).relative_to(root)) for place in found]


def test_bare_names_are_found_below_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.wav", "s1/deep/b.flac", "c.wav", "s2/c.wav", "s1/b.txt", "s1/d.wav")
    touch(tmp_path, "s1/d.TextGrid")
    # What is there as it is named is meant; what is nowhere would lie at the root.
    assert places(tmp_path, "a.wav", "b", "c.wav", "e.wav") == [
        "s1/a.wav",
        "s1/deep/b.flac",
        "c.wav",
        "e.wav",
    ]
    assert places(tmp_path, "s1/d", "d", "s2/a.wav") == ["s1/d.wav", "s1/d.wav", "s2/a.wav"]


def test_names_that_stand_for_two_files_are_refused_with_both(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.wav", "s2/a.wav", "s1/b.wav", "s1/b.mp3")
    both = rf"one clip called a\.wav below .*, found 2: {tmp_path}/s1/a\.wav and {tmp_path}/s2/a"
    with pytest.raises(InputError, match=both):
        places(tmp_path, "a.wav")
    for name in ("a", "b", "s1/b"):
        with pytest.raises(InputError, match=f"expected one clip called {name} below"):
            places(tmp_path, name)


def test_no_clip_at_all_is_told_before_all_are_called_missing(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("path,emotion,split\na.wav,joy,train\nb.wav,joy,val\n")
    corpus = TableCorpus(tmp_path / "own.csv")
    assert not corpus.has_clips
    with pytest.raises(InputError, match=r"found none of 2 \(the first would be .*/a\.wav\); name"):
        corpus.read().clips.check()
    touch(tmp_path, "b.wav")
    assert TableCorpus(tmp_path / "own.csv").has_clips


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Six seconds: in each a tone of its own level, the number of the second in hundredths."""
    levels = np.repeat(np.arange(1, 7) / 100, RATE).astype(np.float32)
    signs = np.where(np.arange(len(levels)) % 2 == 0, 1.0, -1.0).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", levels * signs, RATE, subtype="FLOAT")
    return tmp_path / "long.wav"


def test_start_and_end_cut_one_file_into_utterances(tmp_path: Path, recording: Path) -> None:
    (tmp_path / "own.csv").write_text(
        "file;label;begin;end;split\n"
        "long;joy;0;1;train\n"
        "long;anger;1,0;2,5;val\n"
        "long;joy;0:05;;test\n"
        "long;joy;3;2;test\n"
        "long;joy;5.5;6.05;train\n"
        "long;joy;5;9;train\n"
        "long;joy;7;8;train\n"
        "long;joy;soon;8;train\n"
    )
    annotations = TableCorpus(tmp_path / "own.csv").read()
    times = [(u.clip_start_s, u.clip_end_s) for u in annotations.utterances]
    assert times[:3] == [(0.0, 1.0), (1.0, 2.5), (5.0, None)]
    assert [(s.reason, s.detail) for s in annotations.skips] == [
        ("end before start", "3 to 2 s"),
        ("no time", "start 'soon'"),
    ]
    prepared = Preparer(tmp_path / "p", num_workers=0).prepare(annotations, None)
    rows = prepared.manifest
    kept = rows[rows["status"] == "kept"]
    assert kept["num_samples"].tolist() == [16_000, 24_000, 16_000, 8_000]
    assert kept["source_duration_s"].tolist() == [1.0, 1.5, 1.0, 0.5]
    loudest = [
        float(prepared.read(row.audio_file, row.offset, row.num_samples).abs().max())
        for row in kept.itertuples()
    ]
    assert loudest == pytest.approx([0.01, 0.03, 0.06, 0.06], abs=1e-4)
    skipped = rows[rows["reason"] == "outside the recording"]
    assert [detail.partition(": ")[2] for detail in skipped["detail"]] == [
        "5 to 9 s of 6.00 s",
        "7 to 8 s of 6.00 s",
    ]


def test_a_file_of_utterances_stays_in_one_made_split(tmp_path: Path) -> None:
    lines = [f"{i // 4}.wav,{('joy', 'anger')[i % 2]},{i % 4},{i % 4 + 1}" for i in range(80)]
    (tmp_path / "own.csv").write_text("\n".join(["path,emotion,start,end", *lines]))
    corpus = TableCorpus(tmp_path / "own.csv", num_test_folds=3, num_val_folds=3)
    annotations = corpus.read()
    assert annotations.split_origin == "made here, by path, seed 0"
    of_file: dict[str, set[str]] = {}
    for utterance in annotations.utterances:
        of_file.setdefault(utterance.media_path, set()).add(utterance.split)
    assert all(len(splits) == 1 for splits in of_file.values())


@pytest.mark.parametrize(
    ("start", "end", "is_leak"), [("2", "3", False), ("1.5", "3", True), ("", "0.5", True)]
)
def test_stretches_of_one_file_leak_where_they_overlap(
    tmp_path: Path, recording: Path, start: str, end: str, is_leak: bool
) -> None:
    (tmp_path / "own.csv").write_text(
        f"path,emotion,start,end,split\nlong,joy,0,2,train\nlong,anger,{start},{end},test\n"
    )
    rows = OfficialSplit().assign(TableCorpus(tmp_path / "own.csv").read().frame(), "emotion")
    if not is_leak:
        check_disjoint(rows, OfficialSplit())
        return
    with pytest.raises(InputError, match=r"long.* is in train \(long\), test \(long \(row 3\)\)"):
        check_disjoint(rows, OfficialSplit())


def test_other_times_are_another_corpus(tmp_path: Path, recording: Path) -> None:
    digests = set()
    for end in ("2", "3"):
        (tmp_path / "own.csv").write_text(f"path,emotion,start,end,split\nlong,joy,0,{end},train\n")
        annotations = TableCorpus(tmp_path / "own.csv").read()
        assert math.isclose(annotations.utterances[0].clip_end_s or 0, float(end))
        digests.add(annotations.digest())
    assert len(digests) == 2
