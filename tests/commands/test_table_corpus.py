import json
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from tests.commands.conftest import Cli, only_run
from tests.conftest import CLIP_RATE, tone

FORMATS = {"wav": "pcm_s16le", "flac": "flac", "ogg": "libopus", "mp3": "libmp3lame"}
FORMATS |= {"m4a": "aac", "webm": "libopus"}


def write_sound(path: Path, frequency_hz: float) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(FORMATS[path.suffix[1:]], rate=CLIP_RATE, layout="mono")
        samples = (32767 * tone(frequency_hz, 0.5)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = CLIP_RATE
        resampler = av.AudioResampler(stream.format, "mono", CLIP_RATE, stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.fixture
def own_corpus(tmp_path: Path) -> Path:
    """Thirty sounds in six formats, said by six people, with a user's own names."""
    suffixes = list(FORMATS)
    rows = []
    for who in range(6):
        for index, label in enumerate(("happy", "Anger", "neutral", "bored", "Cheerful")):
            path = tmp_path / "sounds" / f"{who}-{index}.{suffixes[(who + index) % 6]}"
            path.parent.mkdir(exist_ok=True)
            # No two alike: the same sound in two splits is a leak.
            write_sound(path, 200.0 + 100 * index + 10 * who)
            rows.append([f"sounds/{path.name}", f"Line {index}.", label, f"person{who}"])
    table = pd.DataFrame(rows, columns=["file", "words", "label", "who"])
    table.to_csv(tmp_path / "own.csv", index=False)
    return tmp_path / "own.csv"


@pytest.fixture
def options(small: list[str], own_corpus: Path) -> list[str]:
    kept = [o for o in small if not o.startswith("corpus")]
    kept += ["corpus=table", f"corpus.csv={own_corpus.name}", "corpus.columns.path=file"]
    kept += ["corpus.columns.transcript=words", "corpus.columns.emotion=label"]
    kept += ["corpus.columns.speaker=who", "+corpus.emotions.cheerful=joy", "labels.name=three"]
    kept += ["~labels.colours", "+labels.colours={joy: red, anger: blue, neutral: grey}"]
    return [*kept, "corpus.num_test_folds=3", "corpus.num_val_folds=2"]


def test_a_users_own_files_are_trained_on(cli: Cli, options: list[str], tmp_path: Path) -> None:
    printed = cli("train", *options).stdout
    run = only_run(tmp_path)
    predictions = pd.read_parquet(run.predictions_file)
    assert sorted(predictions["split"].value_counts()) == [8, 8]
    speakers = predictions.groupby("split")["speaker"].unique()
    assert not set(speakers["val"]) & set(speakers["test"])
    assert set(predictions["target"]) == {"joy", "anger", "neutral"}
    assert predictions["key"].str.startswith("sounds/").all()
    assert "made here, by speaker, seed 0" in run.report_file.read_text()
    assert "N = 8" in printed


def test_cross_validation_tests_every_speaker_once(
    cli: Cli, options: list[str], tmp_path: Path
) -> None:
    folds = ["split=speaker_disjoint", "split.num_test_folds=3", "split.num_val_folds=2"]
    printed = cli(
        "train", "-m", *options, *folds, "split.test_fold=all", "trainer.max_epochs=1"
    ).stdout
    assert "3 folds together, N = 24 in 6 speakers, 95 % of these trained models" in printed
    tested: list[str] = []
    validated: set[str] = set()
    for path in (tmp_path / "outputs" / "train").glob("*/*/predictions.parquet"):
        rows = pd.read_parquet(path)
        validated |= set(rows.loc[rows["split"] == "val", "key"])
        tested += list(rows.loc[rows["split"] == "test", "speaker"].unique())
        assert (rows["unit"] == rows["speaker"]).all()
    assert sorted(tested) == [f"person{i}" for i in range(6)]
    cli("compare", "outputs/train", "comparison.num_resamples=50")
    document = json.loads(next(tmp_path.rglob("comparison.json")).read_text())
    (table,) = document["tables"]
    assert (table["inference"]["unit"], table["inference"]["num_units"]) == ("speaker", 6)
    # A clip may validate in two folds, and is one clip nevertheless.
    assert table["protocol"]["num_utterances"] == {"val": len(validated), "test": 24}
    (group,) = table["groups"]
    pooled = group["test"]["uar"]
    assert f"UAR {pooled['mean']:.3f} [" in printed
    assert pooled["interval_models"] is not None


def test_all_folds_are_as_many_as_there_are_groups(cli: Cli, options: list[str]) -> None:
    splits = "split=leave_one_speaker_out,speaker_disjoint"
    several = [splits, "+sweep=all_folds", "seed=1,2", "--dry-run"]
    listed = cli("train", *options, *several).stdout
    # Six speakers; six folds of speaker_disjoint, as conf/ has it.
    assert "24 cells, 24 to be run" in listed
    for fold in range(6):
        assert f"test_fold_{fold}-split_leave_one_speaker_out-seed1-" in listed
    left_out = "split=leave_one_speaker_out"
    typed = cli("train", "-m", *options, left_out, "split.test_fold=all", "--dry-run").stdout
    assert "6 cells, 6 to be run" in typed
    alone = cli("train", *options, left_out, "split.test_fold=all", expect=1).stderr
    assert "split.test_fold=all: expected a sweep" in alone
    official = ["split=official", "split.test_fold=all", "--dry-run"]
    assert "test_fold" in cli("train", "-m", *options, *official, expect=1).stderr


def test_a_file_in_two_splits_is_refused_before_anything_is_decoded(
    cli: Cli, options: list[str], nothing_prepared: None, own_corpus: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(own_corpus)
    table["split"] = (["train"] * 3 + ["val"] + ["test"]) * 6
    table["label"] = "happy"
    table.loc[table.index % 2 == 1, "label"] = "anger"
    table.loc[:2, "label"] = ["happy", "anger", "neutral"]
    table.loc[4, "file"] = table.loc[0, "file"]
    table.to_csv(own_corpus, index=False)
    done = cli("train", *options, expect=1)
    assert table.loc[0, "file"] in done.stderr
    assert not (tmp_path / "cache" / "prepared").exists() or not list(
        (tmp_path / "cache" / "prepared").glob("*/*.i16")
    )
