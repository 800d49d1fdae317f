"""A folder whose names tell everything, by patterns and tables made for the purpose."""

from __future__ import annotations

import logging
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mmemo.audio.journal import Record
from mmemo.audio.prepared import COLUMNS
from mmemo.corpora.file_names import TAKEN, FileNames
from mmemo.corpora.files import FilesCorpus
from mmemo.corpora.utterance import Skip, Utterance
from mmemo.errors import InputError

PATTERN = r"(?P<speaker>[a-z]+)/(?P<emotion>[A-Za-z]+)_(?P<sentence>s\d)(?:_(?P<take>\d))?"
CODES = {"emotion": {"hap": "joy", "ang": "anger", "Sad": "sadness"}}
DERIVED = {"transcript": {"sentence": {"s1": "Hello.", "s2": "Good bye."}}, "prompt": "{sentence}!"}


def made(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def corpus(root: Path, **changes: Any) -> FilesCorpus:  # noqa: ANN401 (of any parameter)
    settings = {"pattern": PATTERN, "codes": CODES, "derived": DERIVED}
    return FilesCorpus(root, **settings | {"num_test_folds": 3, "num_val_folds": 2} | changes)


def speakers(root: Path) -> Path:
    names = [f"{who}/{code}_s1" for who in "abc" for code in CODES["emotion"]]
    return made(root, *(f"{name}_{take}.wav" for name in names for take in (1, 2)))


def test_names_become_rows(tmp_path: Path) -> None:
    made(speakers(tmp_path), "x/y/a/hap_s2.MP3")
    annotations = corpus(tmp_path).read()
    rows = {u.key: u for u in annotations.utterances}
    assert len(rows) == 3 * 3 * 2 + 1
    split = rows["a/hap_s2"].split
    assert rows["a/hap_s2"] == Utterance(
        corpus="files",
        key="a/hap_s2",
        split=split,
        dialogue_id=rows["a/hap_s2"].dialogue_id,
        utterance_id=0,
        speaker="a",
        transcript="Good bye.",
        emotion="joy",
        media_path=str(tmp_path / "x/y/a/hap_s2.MP3"),
        traits=(("sentence", "s2"), ("prompt", "s2!")),
    )
    assert rows["c/Sad_s1_2"].traits == (("sentence", "s1"), ("take", "2"), ("prompt", "s1!"))
    assert len({u.dialogue_id for u in annotations.utterances}) == len(rows)
    frame = annotations.frame()
    assert frame.groupby("speaker")["split"].nunique().tolist() == [1, 1, 1]
    assert set(frame["split"]) == {"train", "val", "test"}
    assert frame["take"].isna().sum() == 1
    assert annotations.split_origin == "made here, by speaker, seed 0"


def test_a_split_of_its_own_dialogues_and_orders(tmp_path: Path) -> None:
    made(tmp_path, "train/d1/2_hap.wav", "train/d1/1_ang.wav", "DEV/d1/1_hap.wav", "t/d2/7_hap.wav")
    annotations = corpus(
        tmp_path,
        pattern=r"(?P<split>\w+)/(?P<dialogue>d\d)/(?P<order>\d)_(?P<emotion>\w+)",
        codes=CODES | {"split": {"train": "train", "dev": "val", "t": "test"}},
        derived={},
    ).read()
    found = {u.key: (u.split, u.dialogue_id, u.utterance_id) for u in annotations.utterances}
    assert found == {
        "DEV/d1/1_hap": ("val", 0, 1),
        "t/d2/7_hap": ("test", 1, 7),
        "train/d1/1_ang": ("train", 0, 1),
        "train/d1/2_hap": ("train", 0, 2),
    }
    assert annotations.has_own_split


def test_what_is_left_out_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(speakers(tmp_path), "a/intro.wav", "b/bored_s1.wav", "b/Bored_s2.wav", "c/hap_s3.wav")
    made(tmp_path, "notes.txt", ".hidden/a/hap_s2.wav", "__MACOSX/a/hap_s2.wav", "a/._hap_s2.wav")
    with caplog.at_level(logging.WARNING):
        annotations = corpus(tmp_path).read()
    root = str(tmp_path)
    assert annotations.skips == (
        Skip("a/intro.wav", "none", "name of another pattern", "", f"{root}/a/intro.wav"),
        Skip("b/Bored_s2.wav", "none", "unknown code", "emotion 'Bored'", f"{root}/b/Bored_s2.wav"),
        Skip("b/bored_s1.wav", "none", "unknown code", "emotion 'bored'", f"{root}/b/bored_s1.wav"),
    )
    assert caplog.messages == [
        "corpus files: 1 of 22 files have names that the pattern does not match and are left out "
        "(a/intro.wav)",
        "corpus files: 2 files have unknown codes and are left out (emotion 'Bored': 1, "
        "emotion 'bored': 1)",
        "corpus files: 1 files have no transcript",
    ]
    assert len(annotations.utterances) == 19


def test_an_emotion_of_its_usual_name_needs_no_code(tmp_path: Path) -> None:
    made(speakers(tmp_path), "a/Fear_s1.wav")
    by_key = {u.key: u.emotion for u in corpus(tmp_path).read().utterances}
    assert by_key["a/Fear_s1"] == "fear"


def test_names_without_transcripts_say_so(tmp_path: Path) -> None:
    speakers(tmp_path)
    assert corpus(tmp_path).read().no_transcripts == ""
    told = corpus(tmp_path, derived={}).read().no_transcripts
    assert told.startswith("corpus files: expected transcripts, the names of its files tell none")
    assert "text_encoder=none" in told


def test_files_to_keep(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made(speakers(tmp_path), "a/bored_s1_7.wav")
    annotations = corpus(tmp_path, keep={"take": "2"}).read()
    assert {dict(u.traits)["take"] for u in annotations.utterances} == {"2"}
    assert annotations.skips == ()
    assert caplog.messages == [
        "corpus files: 10 files are none of those to keep and are left out (take '1': 9, "
        "take '7': 1)"
    ]


def test_copies_are_taken_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    speakers(tmp_path / "all")
    once = corpus(tmp_path / "all").read()
    speakers(tmp_path / "all" / "again")
    made(tmp_path / "all", "a/hap_s1_1.mp3", "a/hap_s1_2.flac")
    (tmp_path / "all" / "a" / "hap_s1_1.mp3").write_bytes(b"other")
    twice = corpus(tmp_path / "all").read()
    assert twice.digest() != corpus(tmp_path).read().digest()
    assert [u.key for u in twice.utterances] == [u.key for u in once.utterances]
    places = {u.key: u.media_path for u in twice.utterances}
    assert places["a/hap_s1_1"] == str(tmp_path / "all/a/hap_s1_1.wav")
    assert places["a/hap_s1_2"] == str(tmp_path / "all/a/hap_s1_2.flac")
    assert caplog.messages[0] == (
        "corpus files: 20 files stand there again by name and are taken once (a/hap_s1_2.flac, "
        "not a/hap_s1_2.wav); 1 of them differ in size"
    )


def test_a_linked_folder_is_followed_once(tmp_path: Path) -> None:
    speakers(tmp_path / "there")
    root = made(tmp_path / "here", "d/hap_s1.wav")
    (root / "linked").symlink_to(tmp_path / "there")
    (root / "d" / "loop").symlink_to(root)
    counts = corpus(root).read().frame()["speaker"].value_counts()
    assert dict(counts) == {"a": 6, "b": 6, "c": 6, "d": 1}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pattern": "(?P<emotion"}, "corpus.pattern: expected a regular expression"),
        ({"pattern": r"(?P<speaker>\w+)"}, "expected the group emotion.*found speaker"),
        ({"codes": {"mood": {"a": "joy"}}}, r"codes.mood: expected a group .*got 'mood'"),
        ({"codes": {"emotion": {1: "joy"}}}, "codes.emotion: expected codes as text, got 1"),
        ({"keep": {"modality": ["03"]}}, r"keep.modality: expected a group"),
        ({"derived": {"place": "in {room}"}}, r"derived.place \(room\): expected a group"),
        ({"derived": {"place": {"room": {"a": "b"}}}}, r"derived.place \(room\): expected a group"),
        ({"derived": {"x": {"take": {}, "speaker": {}}}}, "derived.x: expected the table of one"),
        ({"pattern": r"(?P<source>\w+)_(?P<emotion>\w+)"}, "other names than source"),
        ({"num_test_folds": 4}, "a split by speaker that can be made .*at least 4 groups"),
        ({"split_by": ["room"]}, "split_by: expected columns that names tell .*got room"),
        ({"pattern": r"(?P<emotion>\d+)"}, "none of the 18 files .* such as a/Sad_s1_1.wav"),
        ({"keep": {"take": "9"}}, r"can be used, such as a/Sad_s1_1.wav \(none of corpus.keep\)"),
        ({"codes": {"emotion": {"x": "y"}}}, r"unknown code: emotion 'Sad'"),
        (
            {"pattern": PATTERN.replace("speaker", "split")},
            "a/Sad_s1_1.wav: expected a split out of train, val, test, got 'a'",
        ),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    derived = {} if "pattern" in changes else DERIVED
    with pytest.raises(InputError, match=problem):
        corpus(speakers(tmp_path), **{"derived": derived} | changes).read()


def test_a_folder_without_media_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected files of sound or video below .*, found none"):
        corpus(made(tmp_path, "readme.txt")).read()
    with pytest.raises(InputError, match="expected a folder at .*nowhere, found nothing"):
        corpus(tmp_path / "nowhere").check()


def test_codes_are_taken_as_written_before_case_is_ignored() -> None:
    table = {"a": "anger", "A": "fear", "Hap": "joy"}
    names = FileNames(r"(?P<emotion>\w+)", {"emotion": table})
    told = {code: names.parse(code) for code in ("a", "A", "hAP", "neutral", "b")}
    values = {code: parts.values.get("emotion") for code, parts in told.items() if parts}
    assert values == {"a": "anger", "A": "fear", "hAP": "joy", "neutral": "neutral", "b": None}


def test_no_group_may_hide_a_column_of_the_manifest() -> None:
    assert {f.name for f in fields(Record)} <= TAKEN
    own = {"emotion", "speaker", "transcript", "split"}
    assert set(COLUMNS) - own <= TAKEN
