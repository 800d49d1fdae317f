import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmemo.audio.prepared import PreparedCorpus
from tests.commands.conftest import HOSTILE, Cli, PreparedTones
from tests.conftest import MeldMaker, meld_row, write_csv


def only_audit(tmp_path: Path) -> tuple[dict[str, Any], str]:
    """What the one audit wrote: audit.json and the page."""
    (folder,) = (tmp_path / "outputs" / "audit").iterdir()
    document = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    return document, (folder / "audit.html").read_text(encoding="utf-8")


@pytest.fixture
def prepared(tones_for_all: PreparedTones, tmp_path: Path) -> Path:
    shutil.copytree(tones_for_all.prepared, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").glob("meld-*-undenoised-16000-30s")
    return folder


def test_annotations_alone_are_enough(cli: Cli, make_meld: MeldMaker, tmp_path: Path) -> None:
    annotations = make_meld(clips=False)
    write_csv(
        annotations / "test_sent_emo.csv",
        [
            meld_row(0, 0, "joy", HOSTILE) | {"Speaker": "<b>$Eve$ $", "EndTime": "00:00:01,600"},
            meld_row(0, 2, "fear", "sentence 0 of ANGER"),
            meld_row(1, 0, "", "No emotion."),
        ],
    )
    printed = cli("audit", "corpus=meld", f"corpus.annotations={annotations.name}").stdout
    document, page = only_audit(tmp_path)
    assert document["protocol"]["source"] == str(annotations)
    assert document["protocol"]["classes"] == ["anger", "joy", "neutral", "sadness", "surprise"]
    assert [split["num_rows"] for split in document["splits"]] == [5, 5, 2]
    assert document["num_unusable"] == {"train": 0, "val": 0, "test": 1}
    assert document["gaps"][2]["dialogues"] == [{"dialogue_id": 0, "missing_utterance_ids": [1]}]
    assert document["clips"] is None
    # "Sentence 0 of anger." stands in train and in val with another label.
    normalised = [s for s in document["shared_transcripts"] if s["scope"] == "all"][3:]
    assert [(s["num_shared"], s["num_other_label"]) for s in normalised] == [(5, 0), (1, 1), (1, 1)]
    assert "9989 in train" in printed
    assert "1 (50.0 %)" in printed
    for name in ("audit.json", "audit.html"):
        assert f"/{name}\n" in printed
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") == 3
    assert "$Eve$ $" in page
    assert "checksums" not in page
    # Its 20 letters in 0.1 s.
    assert [row["letters_per_s"] for row in document["spans"]["too_fast"]] == [200.0]


def test_a_prepared_corpus_is_audited_with_its_clips(
    cli: Cli, prepared: Path, tmp_path: Path
) -> None:
    printed = cli("audit", f"prepared={prepared.relative_to(tmp_path)}", "labels=seven").stdout
    document, page = only_audit(tmp_path)
    assert document["protocol"]["source"] == str(prepared)
    clips = document["clips"]
    assert clips["states"] == {
        "train": {"kept": 14, "corrupt container": 1},
        "val": {"kept": 15},
        "test": {"kept": 15},
    }
    assert [split["num_rows"] for split in document["splits"]] == [15, 15, 15]
    assert clips["layouts"] == {"1": {"mono": 44}}
    assert clips["damaged"] == []
    # Each clip has a tone of its own.
    assert clips["num_identical_groups"] == 0
    assert clips["num_identical_across_splits"] == 0
    assert clips["identical"] == []
    assert "corrupt container" in printed
    assert "damaged: 0 of the kept clips" in printed
    assert "all checksums agree" in page
    assert "<script>" not in page


def test_a_flipped_byte_is_told_with_its_key(cli: Cli, prepared: Path, tmp_path: Path) -> None:
    row = PreparedCorpus(prepared).kept.iloc[5]
    audio = bytearray((prepared / "audio.i16").read_bytes())
    audio[2 * int(row["offset"]) + 7] ^= 1
    (prepared / "audio.i16").write_bytes(audio)
    done = cli("audit", f"prepared={prepared}", expect=1)
    assert f"others for 1 utterances ({row['key']}); remove the folder" in done.stderr
    assert "Traceback" not in done.stderr
    document, page = only_audit(tmp_path)
    assert document["clips"]["damaged"] == [row["key"]]
    assert "The samples of 1 utterances are not those that were written" in page


def test_samples_that_are_missing_are_told(cli: Cli, prepared: Path) -> None:
    audio = prepared / "audio.i16"
    audio.write_bytes(audio.read_bytes()[:-2])
    last = PreparedCorpus(prepared).kept.iloc[-1]["key"]
    assert last in cli("audit", f"prepared={prepared}", expect=1).stderr


def test_neither_clips_nor_annotations_is_one_message(cli: Cli, tmp_path: Path) -> None:
    done = cli("audit", expect=1)
    assert done.stderr.startswith("mmemo: error: corpus.root: expected the folder of MELD.Raw, or")
    done = cli("audit", "prepared=nowhere", expect=1)
    assert f"{tmp_path / 'nowhere'}: expected a prepared corpus" in done.stderr
    assert not list((tmp_path / "outputs").glob("audit/*"))


def test_annotations_are_audited_without_torch(
    fresh_cli: Cli, make_meld: MeldMaker, tmp_path: Path
) -> None:
    annotations = make_meld(clips=False)
    (tmp_path / "torch.py").write_text("raise ImportError('torch is not needed')")
    fresh_cli("audit", f"corpus.annotations={annotations}")
