from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from mmemo.cli import main
from mmemo.evaluation.runs import RunFolder
from tests.conftest import MeldMaker, meld_row, write_csv

LEAST_LOGGER = "logger=csv"
"""Without it a run has the default one, which takes a second more."""

HOSTILE = "<script>alert('x')</script> & co"


@dataclass(frozen=True)
class Printed:
    stdout: str
    stderr: str


Cli = Callable[..., Printed]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command line in the test's folder and in this process, which spares the imports."""

    def run(*arguments: str, expect: int = 0) -> Printed:
        capfd.readouterr()
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["mmemo", *arguments])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        finally:
            GlobalHydra.instance().clear()
        printed = Printed(*capfd.readouterr())
        assert code == expect, printed.stderr
        return printed

    return run


@pytest.fixture
def fresh_cli(tmp_path: Path) -> Cli:
    """The same in a process of its own, as a user does it."""

    def run(*arguments: str, expect: int = 0) -> Printed:
        command = [sys.executable, "-m", "mmemo", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert done.returncode == expect, done.stderr
        return Printed(done.stdout, done.stderr)

    return run


@pytest.fixture
def tones(make_meld: MeldMaker) -> Path:
    """A MELD tree of tones; one test transcript is hostile, one clip is broken."""
    root = make_meld("tones", per_split=15)
    texts = {0: HOSTILE}
    emotions = ("anger", "joy", "neutral", "sadness", "surprise")
    rows = [meld_row(0, i, emotions[i % 5], texts.get(i, f"Tone {i % 5}.")) for i in range(15)]
    write_csv(root / "test_sent_emo.csv", rows)
    (root / "train_splits" / "dia0_utt3.mp4").write_bytes(b"broken")
    return root


@pytest.fixture
def small(tones: Path, tmp_path: Path) -> list[str]:
    """Overrides of a run on the tones that takes a moment."""
    return [
        "corpus=meld",
        f"corpus.root={tones}",
        f"cache_dir={tmp_path / 'cache'}",
        "denoiser=off",
        "preparer.num_workers=0",
        "audio_encoder=logmel_cnn",
        "audio_encoder.width=8",
        "text_encoder=scratch",
        "text_encoder.width=16",
        "text_encoder.num_layers=1",
        "fusion.bottleneck_dim=8",
        "classifier.hidden_dim=8",
        "optimizer.lr=0.003",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
        "seed=7",
        LEAST_LOGGER,
    ]


def only_run(tmp_path: Path, name: str = "train") -> RunFolder:
    (info,) = (tmp_path / "outputs" / name).glob("*/run.json")
    return RunFolder.open(info.parent)
