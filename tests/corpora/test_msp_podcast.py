import csv
import json
import logging
from pathlib import Path

import pytest

from mmemo.corpora.msp_podcast import MspPodcastCorpus
from mmemo.errors import InputError

COLUMNS = (
    *("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom"),
    *("SpkrID", "Gender", "Split_Set"),
)
TURNS = (
    ("MSP-PODCAST_0001_0008.wav", "N", "97", "Train"),
    ("MSP-PODCAST_0001_0019.wav", "H", "97", "Train"),
    ("MSP-PODCAST_0002_0033.wav", "X", "Unknown", "Train"),
    ("MSP-PODCAST_0002_0034.wav", "C", "Unknown", "Train"),
    ("MSP-PODCAST_0003_0001.wav", "S", "127", "Development"),
    ("MSP-PODCAST_4515_0062_0003.wav", "U", "8", "Test1"),
    ("MSP-PODCAST_4515_0063.wav", "A", "8", "Test2"),
)


def write(root: Path, turns: tuple[tuple[str, str, str, str], ...] = TURNS) -> Path:
    (root / "Labels").mkdir(parents=True, exist_ok=True)
    with (root / "Labels" / "labels_consensus.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(
            [name, label, "4.2", "4.8", "5.0", speaker, "Male", partition]
            for name, label, speaker, partition in turns
        )
    return root


def test_partitions_labels_speakers_and_podcasts(tmp_path: Path) -> None:
    annotations = MspPodcastCorpus(write(tmp_path)).read()
    rows = [
        (u.key[12:-4], u.split, u.emotion, u.speaker, u.session) for u in annotations.utterances
    ]
    assert rows == [
        ("0001_0008", "train", "neutral", "97", "0001"),
        ("0001_0019", "train", "joy", "97", "0001"),
        ("0002_0034", "train", "contempt", "", "0002"),
        ("0003_0001", "val", "sadness", "127", "0003"),
        ("4515_0062_0003", "test", "surprise", "8", "4515"),
    ]
    assert len({u.dialogue_id for u in annotations.utterances}) == 5, "turns are no dialogues"
    skips = [(s.key[12:-4], s.split, s.reason, s.detail) for s in annotations.skips]
    assert skips == [
        ("0002_0033", "train", "raters disagree", ""),
        ("4515_0063", "test", "test partition not chosen", "Test2"),
    ]
    first = annotations.utterances[0]
    assert first.media_path == str(tmp_path / "Audios" / "MSP-PODCAST_0001_0008.wav")
    assert annotations.skips[0].path.endswith("labels_consensus.csv, row 4")
    assert annotations.split_origin == "its own"


def test_other_test_partitions_are_a_variant(tmp_path: Path) -> None:
    root = write(tmp_path)
    both = MspPodcastCorpus(root, test_partitions=["Test1", "Test2"]).read()
    assert [u.emotion for u in both.utterances if u.split == "test"] == ["surprise", "anger"]
    assert both.digest() != MspPodcastCorpus(root).read().digest()
    with pytest.raises(InputError, match=r"found none for test; choose another corpus\.test_part"):
        MspPodcastCorpus(root, test_partitions=["Test3"]).read()


def test_transcripts_where_there_are_some(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path)
    (root / "Transcripts").mkdir()
    (root / "Transcripts" / "MSP-PODCAST_0001_0008.txt").write_text("Well, \n it is.\n")
    with caplog.at_level(logging.WARNING):
        annotations = MspPodcastCorpus(root).read()
    texts = [u.transcript for u in annotations.utterances]
    assert annotations.no_transcripts == ""
    assert texts == ["Well, it is.", "", "", "", ""]
    assert [record.message for record in caplog.records] == [
        "corpus msp_podcast: 4 of 5 labelled turns have no transcript, as MSP-PODCAST_0001_0019.wav"
    ]
    caplog.clear()
    without = MspPodcastCorpus(root, transcripts=False).read()
    assert {u.transcript for u in without.utterances} == {""}
    assert not caplog.records
    assert "found corpus.transcripts=false; unpack and read them" in without.no_transcripts


def test_older_releases(tmp_path: Path) -> None:
    """The file's name with a c, a JSON beside it, Validation for Development."""
    labels = {
        name: {"EmoClass": label, "SpkrID": speaker, "Gender": "Male", "EmoAct": 4.2}
        | {"Split_Set": "Validation" if partition == "Development" else partition}
        for name, label, speaker, partition in TURNS
    }
    (tmp_path / "Labels").mkdir()
    path = tmp_path / "Labels" / "labels_concensus.json"
    path.write_text(json.dumps(labels))
    (tmp_path / "Audio").mkdir()
    corpus = MspPodcastCorpus(tmp_path)
    found = corpus.read()
    assert corpus.has_clips
    assert [u.split for u in found.utterances] == ["train", "train", "train", "val", "test"]
    assert Path(found.utterances[0].media_path).parent == tmp_path / "Audio"
    del labels["MSP-PODCAST_0003_0001.wav"]["SpkrID"]
    path.write_text(json.dumps(labels))
    with pytest.raises(InputError, match=r"MSP-PODCAST_0003_0001\.wav\.SpkrID: Field required"):
        corpus.read()


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (("a.wav", "Q", "1", "Train"), r"row 9: expected EmoClass to be one of A, C, .*got 'Q'"),
        (("a.wav", "A", "1", "Dev"), r"row 9: expected Split_Set to be one of .*, got 'Dev'"),
        (TURNS[0], r"row 9: expected each file once, got MSP-PODCAST_0001_0008\.wav twice"),
    ],
)
def test_damaged_labels(tmp_path: Path, turn: tuple[str, str, str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MspPodcastCorpus(write(tmp_path, (*TURNS, turn))).read()


def test_a_wrong_folder_or_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected Labels/labels_consensus\.csv below"):
        MspPodcastCorpus(tmp_path).check()
    with pytest.raises(InputError, match=r"corpus\.test_partitions: expected some of Test1, Test2"):
        MspPodcastCorpus(tmp_path, test_partitions=["test1"])
