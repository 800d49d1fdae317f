"""Runs under split protocols and label sets other than the default."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.meld_raw import LAYOUT
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, only_run
from tests.conftest import FIVE, Row, meld_row, write_csv

STAMP = "oversampled_before_split (LEAKY)"


class SharingCorpus(MeldCorpus):
    """MELD with one clip that two splits name."""

    def read(self) -> Annotations:
        annotations = super().read()
        first, *others, last = annotations.utterances
        last = replace(last, media_path=first.media_path)
        return replace(annotations, utterances=(first, *others, last))


def annotate(root: Path, row: Callable[[int], Row]) -> None:
    for layout in LAYOUT.values():
        write_csv(root / layout.annotations, [row(index) for index in range(15)])


@pytest.fixture
def uneven(tones: Path) -> Path:
    """One utterance each of four classes and, the broken clip aside, ten of neutral."""
    rare = {0: "anger", 1: "joy", 5: "sadness", 14: "surprise"}
    annotate(tones, lambda index: meld_row(0, index, rare.get(index, "neutral")))
    return tones


def test_a_leaky_run_says_so_everywhere(
    cli: Cli, small: list[str], tmp_path: Path, uneven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []
    save = Figure.savefig

    def keep(self: Figure, place: object, **kwargs: object) -> None:
        drawn.append([text.get_text() for text in self.findobj(match=_is_text)])
        save(self, place, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    printed = cli("train", *small, "split=oversampled_before_split").stdout
    run = only_run(tmp_path)
    assert run.path.name.endswith("-seed7-LEAKY")

    # Each of five classes has ten rows; the nine copies of a rare class' only row are all leaks,
    # and neutral has none: two rows of each class are tested, one validates.
    data = json.loads(run.data_file.read_text())
    assert data["classes"]["train"] == dict.fromkeys(FIVE, 7)
    assert data["classes"]["test"] == dict.fromkeys(FIVE, 2)
    assert data["split"]["leak_shares"] == {"val": 0.8, "test": 0.8}
    assert data["split"]["num_kept_unused"] == 30
    assert data["counts"]["all"] == {"rows": 45, "kept": 44, "corrupt container": 1}

    protocol = json.loads(run.metrics_file.read_text())["protocol"]
    assert protocol["split"] == "oversampled_before_split"
    assert protocol["leaky"] is True
    assert protocol["leak_shares"] == {"val": 0.8, "test": 0.8}
    assert protocol["split_settings"]["test_share"] == 0.2
    warning = "LEAKY: 80.0 % of the 5 rows of val and 80.0 % of the 10 rows of test have a copy in"
    assert warning in printed
    assert f"Test split ({STAMP}, N = 10; the corpus' split: its own)" in printed

    tables = [pd.read_csv(run.table_file), pd.read_csv(run.history_file)]
    tables.append(pd.read_parquet(run.predictions_file))
    for table in tables:
        assert set(table["split_protocol"]) == {STAMP}
    assert (run.path / "logs-LEAKY" / "version_0" / "metrics.csv").is_file()
    assert not (run.path / "logs").exists()
    assert run.read_info().split_protocol == STAMP
    page = run.report_file.read_text()
    assert f'<p class="leaky">{warning}' in page
    assert f"split {STAMP}" in page
    assert len(drawn) == 8, "confusion matrix, curves, calibration, risk: as files and in the page"
    for texts in drawn:
        assert "LEAKY" in texts
        assert any(STAMP in text for text in texts)


def _is_text(artist: object) -> bool:
    return hasattr(artist, "get_text")


def test_a_leaky_run_in_a_sweep_is_named_so_too(
    cli: Cli, small: list[str], tmp_path: Path, uneven: Path
) -> None:
    cli("train", "-m", *small, "split=oversampled_before_split,official", "trainer.max_epochs=1")
    infos = sorted((tmp_path / "outputs" / "train").glob("*/*/run.json"))
    marks = [re.sub("seed7-[0-9a-f]{8}", "", path.parent.name) for path in infos]
    assert marks == ["split_official-", "split_oversampled_before_split--LEAKY"]


def test_a_leaky_run_cannot_hide_its_name(
    cli: Cli, small: list[str], tmp_path: Path, uneven: Path
) -> None:
    leaky = [*small, "split=oversampled_before_split"]
    done = cli("train", *leaky, f"hydra.run.dir={tmp_path / 'best'}", expect=1)
    assert f"{tmp_path / 'best'}: expected LEAKY in the name of a run with split=" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "best" / "run.json").exists()

    cli("train", *leaky)
    run = only_run(tmp_path)
    run.write_info(status="interrupted")
    run.table_file.unlink()
    assert "LEAKY: 80.0 %" in cli("train", f"resume={run.path}").stdout
    assert set(pd.read_csv(run.table_file)["split_protocol"]) == {STAMP}
    hidden = RunFolder(tmp_path / "best run")
    run.path.rename(hidden.path)
    done = cli("evaluate", f"run={hidden.path}", expect=1)
    assert "name it best run-LEAKY" in done.stderr


def test_a_clip_in_two_splits_is_refused(
    cli: Cli, small: list[str], nothing_prepared: None, tmp_path: Path
) -> None:
    sharing = "corpus._target_=tests.commands.test_protocols.SharingCorpus"
    done = cli("train", *small, sharing, expect=1)
    assert "split=official: expected each source utterance in one split only" in done.stderr
    assert "train_splits/dia0_utt0.mp4 is in train (train/dia0_utt0), test (test/dia0_" in (
        done.stderr
    )
    assert not list(tmp_path.glob("cache/prepared/*/audio.i16")), "before any clip is decoded"


def test_groups_are_kept_apart(cli: Cli, small: list[str], tmp_path: Path, tones: Path) -> None:
    annotate(
        tones, lambda i: meld_row(0, i, FIVE[i % 5]) | {"Episode": str(i // 5), "Speaker": "Ada"}
    )
    split = ["split=episode_disjoint", "split.num_test_folds=3", "split.num_val_folds=2"]
    cli("train", *small, *split)
    run = only_run(tmp_path)
    table = pd.read_parquet(run.predictions_file)
    episode = table["utterance_id"] // 5
    assert episode.groupby(table["split"]).nunique().to_dict() == {"val": 1, "test": 1}
    assert episode[table["split"] == "test"].iloc[0] != episode[table["split"] == "val"].iloc[0]
    assert set(table["corpus_split"]) == {"train", "val", "test"}
    assert set(table["split_protocol"]) == {"episode_disjoint"}
    metrics = json.loads(run.metrics_file.read_text())
    protocol = metrics["protocol"]
    assert protocol["leak_shares"] == {"val": 0.0, "test": 0.0}
    assert protocol["split_settings"]["num_test_folds"] == 3
    # What the split keeps together is named in each row, and is too little for an interval.
    assert protocol["unit"] == "episode"
    assert table["unit"].nunique() == episode.nunique()
    assert metrics["intervals"]["num_units"] == 1
    assert set(metrics["intervals"]["test"].values()) == {None}
    assert "No interval and no bootstrap p of 1 episode" in run.report_file.read_text()
    assert "LEAKY" not in run.report_file.read_text()

    before = run.predictions_file.read_bytes()
    cli("evaluate", f"run={run.path}")
    assert run.predictions_file.read_bytes() == before
    data = json.loads(run.data_file.read_text())
    data["split"]["digest"] = "another version's"
    with run.sealed(run.data_file):
        run.data_file.write_text(json.dumps(data))
    done = cli("evaluate", f"run={run.path}", expect=1)
    assert "expected the split that the run was trained on (split=episode_disjoint)" in done.stderr

    done = cli("train", *small, "split=speaker_disjoint", expect=1)
    assert "expected at least 6 groups of one speaker, one for each fold, got 1" in done.stderr


def test_everything_follows_the_label_set(
    cli: Cli, small: list[str], tmp_path: Path, tones: Path
) -> None:
    sentiments = ("negative", "positive", "neutral", "neutral", "positive")
    annotate(tones, lambda i: meld_row(0, i, FIVE[i % 5]) | {"Sentiment": sentiments[i % 5]})
    cli("train", *small, "labels=sentiment", "loss=weighted")
    run = only_run(tmp_path)
    classes = ["negative", "neutral", "positive"]
    protocol = json.loads(run.metrics_file.read_text())["protocol"]
    assert (protocol["labels"], protocol["classes"]) == ("sentiment", classes)
    assert protocol["loss"] == "weighted"
    assert protocol["loss_settings"] == {"balance_classes": True, "label_smoothing": 0.0}
    data = json.loads(run.data_file.read_text())
    assert data["classes"]["train"] == {"negative": 3, "neutral": 5, "positive": 6}
    assert list(data["colours"]) == classes
    table = pd.read_parquet(run.predictions_file)
    assert [c for c in table.columns if c.startswith("prob_")] == [f"prob_{c}" for c in classes]
    test = table[table["split"] == "test"]
    assert test["target"].tolist() == [sentiments[i % 5] for i in range(15)]
    rows = pd.read_csv(run.table_file)
    assert rows.loc[rows["split"] == "test", "row"].tolist()[:3] == classes


def test_an_absent_class_cannot_be_weighed(
    cli: Cli, small: list[str], nothing_prepared: None, tmp_path: Path, tones: Path
) -> None:
    rows = [meld_row(0, i, "joy" if i % 5 == 4 else FIVE[i % 5]) for i in range(15)]
    write_csv(tones / LAYOUT["train"].annotations, rows)
    done = cli("train", *small, "loss=weighted", expect=1)
    assert "loss=weighted: expected training utterances of every class" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("cache/prepared/*/audio.i16")), "before any clip is decoded"
