from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmemo.audio import added_noise
from mmemo.audio.media import decode, resample
from mmemo.audio.recordings import SPEECH_RATE
from mmemo.corpora.meld_raw import LAYOUT
from mmemo.evaluation.predictions import PROBABILITY_PREFIX, read_predictions
from mmemo.prediction.transcription import SpeechRecogniser
from mmemo.runs.run_folder import RunFolder
from mmemo.stress.answers import AnswerStore, StressAnswers
from mmemo.stress.conditions import Condition
from mmemo.stress.document import METRICS, ConditionResult, StressDocument, read_stress
from mmemo.stress.words import word_error_rate
from tests.commands.conftest import Cli, TrainedRun
from tests.stress.fake_recogniser import LengthRecogniser

pytestmark = pytest.mark.slow

FEW = (
    "num_workers=0",
    "conditions=[noise,words,modality]",
    "~conditions.pink",
    "~conditions.hum",
    "conditions.white.levels=[0]",
    "conditions.babble.levels=[0]",
    "conditions.substitutions.rates=[0.5]",
    "~conditions.deletions",
    "~conditions.insertions",
    "~conditions.all_errors",
)


def by_name(document: StressDocument) -> dict[tuple[str, str, str], ConditionResult]:
    return {one.name: one for one in document.conditions}


def test_a_run_under_stress(trained: TrainedRun, cli: Cli) -> None:
    before = read_predictions(trained.run.predictions_file)
    given = ("stress", f"run={trained.run.path}", *FEW)
    printed = cli(*given)
    # Clean, white noise and babble both ways and clean the other way, words, modalities.
    assert "15 of 15 test utterances under 16 conditions, 0 of them known already: 240" in (
        printed.stdout
    )
    document = read_stress(trained.run.path)
    folder = trained.run.path / "stress"
    assert document.num_decoded == 15
    assert document.largest_difference < 1e-6
    metrics = trained.run.read_metrics().splits["test"]
    assert document.clean["accuracy"] == pytest.approx(metrics.accuracy, abs=1e-6)
    assert document.clean["macro_f1"] == pytest.approx(metrics.macro.f1, abs=1e-6)
    assert document.clean["uar"] == pytest.approx(metrics.uar, abs=1e-6)
    assert document.clean["ece"] == pytest.approx(metrics.ece, abs=1e-6)
    majority = metrics.majority_baseline
    assert document.majority["accuracy"] == pytest.approx(majority.accuracy, abs=1e-6)
    found = by_name(document)
    assert ("white noise", "", "0") in found
    assert ("babble", "with deepfilternet2", "clean") in found
    errors = found["wrong words", "substituted", "50 %"]
    assert errors.word_error_rate == pytest.approx(0.5, abs=0.02)
    assert document.conflict is not None
    # Three of each of five classes: each sound with words of each class.
    assert [cell.num for cell in document.conflict.cells] == [3] * 25
    table = pd.read_csv(folder / "stress.csv")
    assert table["panel"].tolist()[0] == "clean"
    assert len(table) == 1 + len(document.conditions)
    for metric in METRICS:
        values = [document.clean[metric], *(o.scores[metric].value for o in document.conditions)]
        np.testing.assert_allclose(table[metric], values)
    page = (folder / "stress.html").read_text()
    assert page.count("<svg") == 4
    assert "Which modality wins" in page
    assert not list(folder.glob(".clips-*"))
    columns = [c for c in before if c.startswith(PROBABILITY_PREFIX)]
    after = read_predictions(trained.run.predictions_file)
    pd.testing.assert_frame_equal(after[columns], before[columns])

    files = {path: path.stat().st_mtime_ns for path in (folder / "answers").iterdir()}
    assert len(files) == 16
    again = cli(*given)
    assert "16 of them known already: 0 forward passes, 0 sounds to prepare" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert read_stress(trained.run.path) == document

    printed = cli("compare", str(trained.run.path), "comparison.num_resamples=20")
    assert "Under stress, table 1" in printed.stdout
    assert "wrong words: substituted" in printed.stdout


def move_clips(prepared: Path, rows: slice, folder: Path) -> None:
    """Let some test rows of a prepared corpus be of the files of a folder."""
    path = prepared / "manifest.parquet"
    manifest = pd.read_parquet(path)
    test = manifest.index[manifest["split"] == "test"]
    names = manifest.loc[test[rows], "source"].map(lambda source: Path(source).name)
    manifest.loc[test[rows], "source"] = str(folder) + "/" + names
    manifest.to_parquet(path, index=False)


def test_where_clips_are_gone_prepared_sound_is_changed(trained: TrainedRun, cli: Cli) -> None:
    only = [f"~conditions.{name}" for name in ("reverberation", "mp3", "opus", "clipping", "speed")]
    given = ("stress", f"run={trained.run.path}", "conditions=[channel]", "num_workers=0", *only)
    gone = trained.prepared / "gone"
    move_clips(trained.prepared, slice(1), gone)
    cli(*given)
    assert read_stress(trained.run.path).num_decoded == 14
    page = (trained.run.path / "stress" / "stress.html").read_text()
    assert "Of 15 clips 1 are gone: there noise is added to the prepared sound." in page
    # Clips that were written over, at the same size, are other sounds.
    own = trained.tones / LAYOUT["test"].clips
    move_clips(trained.prepared, slice(1, None), own)
    for clip in own.glob("*.mp4"):
        os.utime(clip, (1, 1))
    assert "under 9 conditions, 1 of them known" in cli(*given).stdout
    move_clips(trained.prepared, slice(None), gone)
    # Clean is known; what begins with other sound is not.
    assert "under 9 conditions, 1 of them known" in cli(*given).stdout
    assert read_stress(trained.run.path).num_decoded == 0


WORDS = (
    *("conditions=[words]", "num_workers=0", "~conditions.substitutions", "~conditions.deletions"),
    *("~conditions.insertions", "~conditions.all_errors", "~conditions.other_words"),
)


def recognised(run: RunFolder) -> pd.DataFrame:
    """The kept answers on other words than the annotated ones."""
    tables = map(pd.read_parquet, (run.path / "stress" / "answers").iterdir())
    (found,) = (table for table in tables if "read" in table)
    return found


def test_words_of_a_recogniser_of_ones_own(
    trained: TrainedRun, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[dict[str, Any]] = []
    monkeypatch.setattr(LengthRecogniser, "built", built)
    own = "tests.stress.fake_recogniser.LengthRecogniser"
    given = ("stress", f"run={trained.run.path}", *WORDS, f"+asr={{_target_: {own}, beams: 3}}")
    assert "under 2 conditions, 0 of them known" in cli(*given).stdout
    assert built == [{"beams": 3}]
    # All clips are of 0.3 s, as they were recorded.
    assert recognised(trained.run)["read"].tolist() == ["length 3"] * 15
    (found,) = read_stress(trained.run.path).conditions
    assert found.level == "recognised by LengthRecogniser"
    # "Tone 3." has one of the two words right.
    every = read_predictions(trained.run.predictions_file)
    said = every.loc[every["split"] == "test", "transcript"].tolist()
    assert found.word_error_rate == pytest.approx(word_error_rate(said, ["length 3"] * 15))
    assert "under 2 conditions, 2 of them known" in cli(*given).stdout
    other = [one.replace("beams: 3", "beams: 4") for one in given]
    assert "under 2 conditions, 1 of them known" in cli(*other).stdout


def test_words_of_whisper(
    trained: TrainedRun,
    cli: Cli,
    tiny_recogniser: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import transformers

    asked: list[dict[str, Any]] = []
    whole = transformers.pipeline

    def pipeline(task: str, **settings: Any) -> Any:  # noqa: ANN401
        asked.append({"task": task, **settings})
        return whole(task, **settings)

    monkeypatch.setattr(transformers, "pipeline", pipeline)
    given = (
        *("stress", f"run={trained.run.path}", *WORDS, "num_utterances=3", "accelerator=cpu"),
        *("asr=whisper", f"asr.checkpoint={tiny_recogniser}", "asr.language=en"),
    )
    cli(*given, "asr.batch_size=2")
    (settings,) = asked
    assert settings["task"] == "automatic-speech-recognition"
    assert settings["model"] == str(tiny_recogniser)
    assert settings["device"] == "cpu"
    (found,) = read_stress(trained.run.path).conditions
    assert found.level == f"recognised by {tiny_recogniser.name}"
    kept = recognised(trained.run)
    clips = trained.tones / LAYOUT["test"].clips
    sounds = [decode(clips / f"{Path(key).name}.mp4") for key in kept["key"]]
    speech = [resample(one.waveform, one.sample_rate, SPEECH_RATE) for one in sounds]
    recogniser = SpeechRecogniser(str(tiny_recogniser), language="en", accelerator="cpu")
    expected = [" ".join(word.text for word in said) for said in recogniser(speech)]
    assert kept["read"].tolist() == expected
    assert any(expected)
    # How many are written down together changes nothing.
    assert "2 of them known" in cli(*given, "asr.batch_size=1").stdout


def test_it_goes_on_where_it_was_stopped(
    trained: TrainedRun, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = AnswerStore.write

    def stopped_at_the_third(
        store: AnswerStore, condition: Condition, answers: StressAnswers
    ) -> None:
        write(store, condition, answers)
        if len(list(store.folder.iterdir())) == 3:
            signal.raise_signal(signal.SIGINT)

    given = ("stress", f"run={trained.run.path}", "conditions=[words]", "num_utterances=5")
    with monkeypatch.context() as patch:
        patch.setattr(AnswerStore, "write", stopped_at_the_third)
        printed = cli(*given, expect=128 + signal.SIGINT)
    assert "stopped by SIGINT; what was finished is kept" in printed.stderr
    assert "Traceback" not in printed.stderr
    assert not (trained.run.path / "stress" / "stress.json").exists()
    # Clean, twenty word error rates, and two changes by name.
    assert "5 of 15 test utterances under 23 conditions, 3 of them known" in cli(*given).stdout


def test_what_cannot_be_is_told_at_once(trained: TrainedRun, cli: Cli) -> None:
    run = f"run={trained.run.path}"
    printed = cli("stress", run, "unit=episode", expect=1)
    assert "unit: expected null" in printed.stderr
    printed = cli("stress", run, "conditions=[recordings]", expect=1)
    assert "error: conditions.recordings.perturbation.folder: expected a value" in printed.stderr
    printed = cli("stress", run, "conditions=[]", expect=1)
    assert "error: conditions: expected some that a model of audio and text can" in printed.stderr
    printed = cli("stress", run, "conditions.white.levels=[]", expect=1)
    assert "white noise: expected at least one of levels" in printed.stderr
    printed = cli("stress", run, "conditions.white.denoising=[twice]", expect=1)
    assert "expected denoising of as trained, otherwise, got twice" in printed.stderr
    printed = cli("stress", run, "num_utterances=0", expect=1)
    assert "num_utterances" in printed.stderr
    assert not (trained.run.path / "stress" / "stress.json").exists()


def test_a_folder_of_recordings(trained: TrainedRun, cli: Cli) -> None:
    folder = trained.tones / "train_splits"
    noises = trained.tones / "noises"
    noises.mkdir()
    # A clip that is called as sound.
    shutil.copy(folder / "dia0_utt0.mp4", noises / "noise.m4a")
    run = f"run={trained.run.path}"
    given = (
        *("stress", run, "conditions=[recordings]", "num_workers=0", "denoiser=off"),
        f"conditions.recordings.perturbation.folder={noises}",
        "conditions.recordings.levels=[5,-5]",
    )
    printed = cli(*given)
    assert "under 3 conditions, 0 of them known" in printed.stdout
    assert [one.level for one in read_stress(trained.run.path).conditions] == ["5", "-5"]
    shutil.copy(folder / "dia0_utt1.mp4", noises / "another.m4a")
    # Of another process it would be another one.
    added_noise._sound_files.cache_clear()
    assert "under 3 conditions, 1 of them known" in cli(*given).stdout
