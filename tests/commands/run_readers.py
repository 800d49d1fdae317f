"""Every command that reads a run, up to where it would compute something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mmemo.commands import evaluate, explain, launch, predict, train
from mmemo.comparison.runs import find_runs, read_runs
from mmemo.explanation.runner import ExplanationRunner
from mmemo.folders import config_dir
from mmemo.prediction.ensemble import Ensemble
from mmemo.runs.input_errors import input_error
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.saved_config import read_saved_config
from tests.conftest import write_meld


class ReachedError(Exception):
    """All that a command reads of a run was read."""


Reader = Callable[[Path], None]


def composed(command: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(command, list(overrides))


def stopped_readers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Reader]:
    """By name each of these commands on a run folder; it raises ``ReachedError`` at its end."""

    def reached(*_: object, **__: object) -> None:
        raise ReachedError

    monkeypatch.setattr(evaluate, "evaluate", reached)
    monkeypatch.setattr(ExplanationRunner, "explain", reached)
    monkeypatch.setattr(train, "_fit", reached)
    monkeypatch.setattr(Ensemble, "answer", reached)
    cfgs = {name: composed(name, "run=RUN") for name in ("evaluate", "explain", "predict")}
    cfgs["predict"].text = "Hello."
    cfgs["predict"].input = str(Path(__file__).parents[1] / "audio/deepfilternet2_reference.flac")

    def command(name: str) -> Reader:
        def of(path: Path) -> None:
            cfg = cfgs[name].copy()
            cfg.run = str(path)
            {"evaluate": evaluate, "explain": explain, "predict": predict}[name].run(cfg)  # type: ignore[attr-defined]

        return of

    def resume(path: Path) -> None:
        launch._resumed(config_dir(), "train", [f"resume={path}"])
        cfg = OmegaConf.create(read_saved_config(RunFolder.open(path)).composed)
        cfg.resume = str(path)
        train.run(cfg)

    def compare(path: Path) -> None:
        results, left_out = read_runs(find_runs([path.parent]))
        assert len(results) + len(left_out) >= 1
        raise ReachedError

    commands = {name: command(name) for name in cfgs}
    return {**commands, "resume": resume, "compare": compare}


def train_once(root: Path) -> RunFolder:
    """A small run, without Hydra's job, which a test of the command has."""
    clips = root / "tones"
    write_meld(clips, 5, 0.3, True)
    run_dir = root / "runs" / "mine"
    run_dir.mkdir(parents=True)
    cfg = composed(
        "train",
        "corpus=meld",
        f"corpus.root={clips}",
        f"cache_dir={root / 'cache'}",
        "denoiser=off",
        "preparer.num_workers=0",
        "audio_encoder=logmel_cnn",
        "audio_encoder.width=8",
        "text_encoder=scratch",
        "text_encoder.width=16",
        "text_encoder.num_layers=1",
        "text_encoder.vocab_size=300",
        "fusion.bottleneck_dim=8",
        "classifier.hidden_dim=8",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "logger=none",
    )
    cfg.run_dir = str(run_dir)
    train.run(cfg)
    return RunFolder.open(run_dir)


def outcome(reader: Reader, path: Path) -> str:
    """What a command says of a run: nothing, or the user's error. Anything else is a failure."""
    try:
        reader(path)
    except ReachedError:
        return ""
    except Exception as error:
        problem = input_error(error)
        if problem is None:
            raise
        assert "Traceback" not in str(problem)
        return str(problem)
    raise AssertionError("the command was to be stopped")
