import json
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.metrics import f1_score

from mmemo.corpora.splits import GroupDisjointSplit, OfficialSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.settings_check import _warn_of_absent, _warn_of_rare
from tests.commands.conftest import HOSTILE, LEAST_LOGGER, Cli, Start, TrainedRun, only_run


def weights(run: RunFolder, name: str | None = None) -> dict[str, torch.Tensor]:
    path = run.path / (name or run.read_info().checkpoint)
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def assert_same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.slow
def test_train_leaves_a_complete_run(fresh_cli: Cli, small: list[str], tmp_path: Path) -> None:
    small.remove(LEAST_LOGGER)
    printed = fresh_cli("train", *small).stdout
    run = only_run(tmp_path)
    (tracked,) = run.path.glob("wandb/offline-run-*")
    assert printed.endswith(f"W&B: not uploaded yet; to do that: wandb sync {tracked}\n")
    figures = (run.confusion_file, run.curves_file, run.reliability_file)
    for path in (run.table_file, *figures, run.report_file):
        assert path.is_file()
        assert str(path) in printed
    assert run.read_info().status == "finished"
    choices = run.read_info().choices
    assert (choices["audio_encoder"], choices["text_encoder"]) == ("logmel_cnn", "scratch")
    versions = [json.loads(f.read_text())["version"] for f in (run.info_file, run.data_file)]
    assert versions == [1, 1]
    data = json.loads(run.data_file.read_text())
    assert data["counts"]["train"]["rows"] == 15
    assert data["counts"]["train"]["kept"] == 14
    assert data["counts"]["train"]["corrupt container"] == 1
    assert data["skipped"][0]["key"] == "train/dia0_utt3"
    config = OmegaConf.load(run.config_file)
    assert config.run_dir == str(run.path), "the config is resolved"

    table = pd.read_parquet(run.predictions_file)
    document = json.loads(run.metrics_file.read_text())
    protocol = document["protocol"]
    assert protocol["selection"] == "checkpoint with the min val/loss"
    assert protocol["num_utterances"] == {"train": 14, "val": 15, "test": 15}
    for split in ("val", "test"):
        part = table[table["split"] == split]
        expected = f1_score(part["target"], part["pred"], average="macro", zero_division=0)
        assert document["splits"][split]["macro"]["f1"] == pytest.approx(expected, abs=1e-6)
    assert table["duration_s"].between(0.2, 30).all()
    (error,) = document["calibration"]["ece"]["values"]
    assert error == pytest.approx(document["splits"]["test"]["ece"], abs=1e-6)
    history = pd.read_csv(run.history_file)
    assert history["epoch"].tolist() == [0, 1]
    best = int(history["val/loss"].idxmin())
    assert protocol["checkpoint_epoch"] == best
    assert run.read_info().best_score == pytest.approx(history["val/loss"].min())
    assert run.read_info().checkpoint == f"checkpoints/best-{best:02d}.ckpt"

    page = run.report_file.read_text()
    assert HOSTILE not in page
    assert "dia0_utt3.mp4" in page


def test_evaluate_gives_the_same_again(cli: Cli, trained: TrainedRun, tmp_path: Path) -> None:
    run = trained.run
    names = ("predictions.parquet", "metrics.json", "metrics_table.csv")
    before = {name: (run.path / name).read_bytes() for name in names}
    for name in names:
        (run.path / name).unlink()
    run.report_file.unlink()
    moved = RunFolder(tmp_path / "moved run")
    run.path.rename(moved.path)
    printed = cli("evaluate", f"run='{moved.path}'").stdout
    assert {name: (moved.path / name).read_bytes() for name in names} == before
    assert str(moved.report_file) in printed


@pytest.mark.slow
def test_same_seed_gives_the_same_weights(
    cli: Cli, fresh_cli: Cli, trained: TrainedRun, small: list[str], tmp_path: Path
) -> None:
    """Also in another process, where Python hashes otherwise."""
    fresh_cli("train", *small, "name=a", "seed=7")
    cli("train", *small, "name=b", "seed=8")
    a, b = (weights(only_run(tmp_path, name)) for name in "ab")
    assert_same_weights(a, weights(trained.run))
    assert any(not torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_resumed_after_a_kill_equals_undisturbed(
    cli: Cli, start_cli: Start, small: list[str], tmp_path: Path
) -> None:
    long = [*small, "trainer.max_epochs=30", "callbacks.early_stopping.patience=100"]
    cli("train", *long, "name=whole")
    process = start_cli("train", *long, "name=killed")
    deadline = time.monotonic() + 120
    history: list[Path] = []
    while time.monotonic() < deadline:
        history = list((tmp_path / "outputs" / "killed").glob("*/history.csv"))
        if history and history[0].read_text().count("\n") >= 4:
            break
        time.sleep(0.005)
    process.kill()
    killed = RunFolder.open(history[0].parent)
    assert killed.read_info().status == "running"
    assert not killed.metrics_file.exists()
    at_kill = len(pd.read_csv(killed.history_file))
    assert 3 <= at_kill < 30, "killed in the middle"

    refused = cli("evaluate", f"run={killed.path}", expect=1)
    assert f"continue it with mmemo train resume={killed.path}" in refused.stderr
    cli("train", f"resume={killed.path}")
    whole = only_run(tmp_path, "whole")
    assert killed.read_info().status == "finished"
    pd.testing.assert_frame_equal(
        pd.read_csv(killed.history_file), pd.read_csv(whole.history_file), check_exact=True
    )
    assert killed.read_info().checkpoint == whole.read_info().checkpoint
    assert_same_weights(weights(killed), weights(whole))
    last = "checkpoints/last.ckpt"
    assert_same_weights(weights(killed, last), weights(whole, last))
    assert killed.predictions_file.read_bytes() == whole.predictions_file.read_bytes()

    again = cli("train", f"resume={killed.path}", expect=1)
    assert "expected a run that was interrupted, it is finished" in again.stderr


def test_resume_refuses_other_settings(cli: Cli, trained: TrainedRun) -> None:
    done = cli("train", f"resume={trained.run.path}", "optimizer.lr=1", expect=1)
    said = "no change but to trainer.* and callbacks.early_stopping.*, got optimizer.lr=1"
    assert said in done.stderr


@pytest.mark.parametrize("left_out", ["audio_encoder", "text_encoder"])
def test_unimodal_baselines_take_the_same_path(
    cli: Cli, small: list[str], tmp_path: Path, left_out: str
) -> None:
    kept = [o for o in small if not o.startswith(left_out)]
    cli("train", *kept, f"{left_out}=none")
    run = only_run(tmp_path)
    assert json.loads(run.metrics_file.read_text())["protocol"][left_out] == "none"
    assert not any(f"classifier.{left_out}" in name for name in weights(run))


def test_pretrained_encoders_end_to_end(
    cli: Cli, small: list[str], tmp_path: Path, tiny_wavlm: Path, tiny_roberta: Path
) -> None:
    kept = [o for o in small if not o.startswith(("audio_encoder", "text_encoder"))]
    cli(
        "train",
        *kept,
        f"audio_encoder.checkpoint={tiny_wavlm}",
        f"text_encoder.checkpoint={tiny_roberta}",
        "data.max_duration_s=0.5",
        "text_cleaning=paper",
    )
    run = only_run(tmp_path)
    before = run.predictions_file.read_bytes()
    hidden = tiny_wavlm.with_name("hidden")
    tiny_wavlm.rename(hidden)
    try:
        cli("evaluate", f"run={run.path}")
    finally:
        hidden.rename(tiny_wavlm)
    assert run.predictions_file.read_bytes() == before, "a run needs no checkpoint but its own"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("audio_encoder.checkpoint={tmp}", "audio_encoder.checkpoint: expected a checkpoint in"),
        ("preparer.folder={tmp}/file/p", "preparer.folder: expected a folder that can be written"),
        ("output_dir={tmp}/file", "output_dir: expected a folder that can be written to"),
        ("hydra.run.dir={tmp}/file/run", "hydra.run.dir: expected a folder that can be written to"),
        ("corpus.root={tmp}/nowhere", "expected the folder of MELD.Raw at {tmp}/nowhere"),
        ("preparer.sample_rate=8000", "expected the audio encoder's 16000 Hz, got 8000 Hz"),
        ("data.batch_size=0", "data.batch_size: expected at least 1, got 0"),
        ("data.batch_size=1.5", "data.batch_size: expected a whole number, got 1.5"),
        ("data.max_duration_s=nan", "data.max_duration_s: expected more than 0, got nan"),
        ("seed=-1", "seed: expected at least 0, got -1"),
        ("trainer.max_epochs=-1", "trainer.max_epochs: expected at least 1, got -1"),
        ("trainer.max_epochs=0", "trainer.max_epochs: expected at least 1, got 0"),
        ("classifier.hidden_dim=0", "classifier.hidden_dim: expected at least 1, got 0"),
        ("labels.colours.joy=joyful", "labels 'five': expected a colour such as"),
        ("scheduler.warmup_ratio=3", "scheduler.warmup_ratio: expected a share"),
        (
            "~labels.colours +labels.colours={{fear:red,disgust:blue}}",
            "found none of fear, disgust (emotion there: anger, joy",
        ),
        ("trainer=slurm", "trainer.num_nodes: expected 1 where Slurm does not start"),
    ],
)
def test_a_fault_shows_before_any_clip_is_decoded(
    cli: Cli, small: list[str], nothing_prepared: None, tmp_path: Path, change: str, said: str
) -> None:
    (tmp_path / "file").write_text("")
    if change.startswith("audio_encoder.checkpoint"):
        small = [o for o in small if not o.startswith("audio_encoder")]
    done = cli("train", *small, *change.format(tmp=tmp_path).split(" "), expect=1)
    assert said.format(tmp=tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("cache/prepared/*/audio.i16"))


def test_a_class_that_a_split_lacks_is_told(
    five: LabelSet, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = {"train": ["joy", "anger"], "val": five.classes, "test": ["joy"]}
    pairs = [(split, emotion) for split, emotions in splits.items() for emotion in emotions]
    rows = pd.DataFrame(pairs, columns=["split", "emotion"])
    for split in splits:
        _warn_of_absent(rows, five, split)
    told = "mmemo: the split '{}' has no utterance of {}: {}"
    assert capsys.readouterr().err.splitlines() == [
        told.format("train", "neutral, sadness, surprise", "none can be learnt"),
        told.format("test", "anger, neutral, sadness, surprise", "their scores are of nothing"),
    ]


def test_classes_that_are_rarer_than_the_folds_are_told_with_their_counts(
    five: LabelSet, capsys: pytest.CaptureFixture[str]
) -> None:
    split = GroupDisjointSplit("by_session", ["session"], 4, 2, test_fold=0, seed=0)
    rows = pd.DataFrame({"emotion": [*five.classes] * 4})
    _warn_of_rare(rows, five, split)
    _warn_of_rare(rows[7:], five, OfficialSplit())
    assert capsys.readouterr().err == ""
    # Of neutral, sadness and surprise there are four.
    _warn_of_rare(rows[2:], five, split)
    assert capsys.readouterr().err == (
        "mmemo: rarer than the 4 folds of split=by_session, so that some test without them: "
        "anger (3), joy (3); over all folds each utterance is tested once all the same\n"
    )


def test_a_damaged_checkpoint_is_named(cli: Cli, trained: TrainedRun) -> None:
    checkpoint = trained.run.path / trained.run.read_info().checkpoint
    checkpoint.write_bytes(b"damaged")
    done = cli("evaluate", f"run={trained.run.path}", expect=1)
    assert f"{checkpoint}: expected the checkpoint of this run" in done.stderr


def test_evaluation_needs_neither_clips_nor_annotations(
    cli: Cli, trained: TrainedRun, tmp_path: Path
) -> None:
    run, folder = trained.run, trained.prepared
    before = run.predictions_file.read_bytes()
    shutil.rmtree(trained.tones)
    folder.rename(tmp_path / "moved")
    done = cli("evaluate", f"run={run.path}", expect=1)
    assert f"{folder}: expected a prepared corpus" in done.stderr
    cli("evaluate", f"run={run.path}", f"prepared={tmp_path / 'moved'}")
    assert run.predictions_file.read_bytes() == before


def test_data_that_changed_are_not_evaluated(cli: Cli, trained: TrainedRun) -> None:
    run = trained.run
    clips = trained.tones / "train_splits"
    (clips / "dia0_utt3.mp4").write_bytes((clips / "dia0_utt4.mp4").read_bytes())
    parts = ("corpus", "cache", "denoiser", "preparer")
    prepare = [o for o in trained.overrides if o.startswith(parts)]
    assert "45 of 45 rows kept" in cli("prepare", *prepare).stdout
    done = cli("evaluate", f"run={run.path}", expect=1)
    assert "expected the data that the run was trained on" in done.stderr
    run.write_info(status="interrupted")
    done = cli("train", f"resume={run.path}", expect=1)
    assert "expected the data that the run was trained on" in done.stderr


def test_a_run_killed_after_early_stopping_trains_no_further(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    stopping = ["trainer.max_epochs=30", "callbacks.early_stopping.patience=1"]
    cli("train", *small, *stopping, "callbacks.early_stopping.min_delta=0.5")
    run = only_run(tmp_path)
    history = run.history_file.read_bytes()
    assert len(pd.read_csv(run.history_file)) == 2, "stopped for lack of improvement"
    run.write_info(status="running", checkpoint=None)
    cli("train", f"resume={run.path}")
    assert run.history_file.read_bytes() == history
    assert run.read_info().status == "finished"


def test_a_damaged_state_is_named_before_anything_is_done(cli: Cli, trained: TrainedRun) -> None:
    run = trained.run
    run.write_info(status="running")
    run.last_checkpoint.write_bytes(b"damaged")
    done = cli("train", f"resume={run.path}", expect=1)
    assert f"{run.last_checkpoint}: expected the state of an interrupted run" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refused_run_leaves_the_other_as_it_was(cli: Cli, trained: TrainedRun) -> None:
    run = trained.run
    names = ("composed.yaml", "config.yaml", "run.json")
    before = {name: (run.path / name).read_bytes() for name in names}
    done = cli("train", *trained.overrides, "seed=9", f"hydra.run.dir={run.path}", expect=1)
    assert "it already holds one; continue that one with mmemo train resume=" in done.stderr
    assert {name: (run.path / name).read_bytes() for name in names} == before


def test_relative_paths_mean_the_same_later(
    cli: Cli, small: list[str], tmp_path: Path, tones: Path
) -> None:
    relative = [o.replace(f"{tmp_path}/", "") for o in small]
    cli("train", *relative)
    run = only_run(tmp_path)
    config = OmegaConf.load(run.composed_config_file)
    assert config.corpus.root == str(tones)
    assert config.cache_dir == str(tmp_path / "cache")


def test_a_sweep_gives_each_seed_a_run_of_its_own(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    text_only = [o for o in small if not o.startswith(("audio_encoder", "seed"))]
    cli("train", "-m", *text_only, "audio_encoder=none", "seed=1,2")
    infos = sorted((tmp_path / "outputs" / "train").glob("*/*/run.json"))
    assert [path.parent.name.partition("-")[0] for path in infos] == ["seed1", "seed2"]
    runs = [RunFolder.open(path.parent) for path in infos]
    assert [run.read_info().status for run in runs] == ["finished"] * 2
    assert [json.loads(r.metrics_file.read_text())["protocol"]["seed"] for r in runs] == [1, 2]
