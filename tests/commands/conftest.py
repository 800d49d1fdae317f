from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imsave

from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from mmemo.reporting import figures
from mmemo.runs.run_folder import RunFolder
from mmemo.training import processes
from tests.commands.command_line import call, typed
from tests.commands.followers import ForkedFollower
from tests.conftest import FIVE, meld_row, write_csv
from tests.forking import Forked, Forking

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
        # It stays there, as a shell does.
        monkeypatch.chdir(tmp_path)
        code = call(tmp_path, *arguments)
        printed = Printed(*capfd.readouterr())
        assert code == expect, printed.stderr
        return printed

    return run


@pytest.fixture
def fresh_cli(tmp_path: Path) -> Cli:
    """The same in a new interpreter, as a user does it."""

    def run(*arguments: str, expect: int = 0) -> Printed:
        command = [sys.executable, "-m", "mmemo", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        assert done.returncode == expect, done.stderr
        return Printed(done.stdout, done.stderr)

    return run


Start = Callable[..., Forked]


@pytest.fixture
def start_cli(tmp_path: Path, forking: Forking) -> Start:
    """Starts a command line in a process of its own, which has imported everything already."""
    return lambda *arguments: forking.start(typed, *arguments, folder=tmp_path)


@pytest.fixture
def forked_cli(start_cli: Start) -> Cli:
    """Runs a command line in such a process, which it may end or leave changed."""

    def run(*arguments: str, expect: int = 0) -> Printed:
        process = start_cli(*arguments)
        code = process.ended()
        printed = Printed(process.stdout.read_text(), process.stderr.read_text())
        assert code == expect, printed.stderr
        return printed

    return run


@pytest.fixture
def fork_followers(forking: Forking, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, the other processes of a run are forked as well."""
    stands_for = SimpleNamespace(Popen=partial(ForkedFollower, forking))
    return lambda: monkeypatch.setattr(processes, "subprocess", stands_for)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report's figures are made but not drawn, which takes as long as a small training."""

    def save(figure: Figure, *paths: Path) -> None:
        for path in paths:
            imsave(path, np.zeros((1, 1)))

    monkeypatch.setattr(figures, "save_figure", save)


@dataclass(frozen=True)
class PreparedTones:
    """A MELD tree of tones, and the folder of its prepared corpus without denoising."""

    clips: Path
    prepared: Path


@pytest.fixture(scope="session")
def tones_for_all(
    tmp_path_factory: pytest.TempPathFactory, meld_maker: Callable[..., None]
) -> PreparedTones:
    """What ``tones`` and ``small`` are copies of; a test that changes it would change others."""
    folder = tmp_path_factory.mktemp("tones")
    root = folder / "tones"
    meld_maker(root, 15, 0.3, True)
    texts = {0: HOSTILE}
    rows = [meld_row(0, i, FIVE[i % 5], texts.get(i, f"Tone {i % 5}.")) for i in range(15)]
    write_csv(root / "test_sent_emo.csv", rows)
    (root / "train_splits" / "dia0_utt3.mp4").write_bytes(b"broken")
    prepared = folder / "prepared"
    Preparer(prepared, num_workers=0).prepare(MeldCorpus(root).read(), None)
    return PreparedTones(root, prepared)


@pytest.fixture
def tones(tones_for_all: PreparedTones, tmp_path: Path) -> Path:
    """A MELD tree of tones; one test transcript is hostile, one clip is broken."""
    return shutil.copytree(tones_for_all.clips, tmp_path / "tones")


def small_run(folder: Path) -> list[str]:
    """Overrides of a run on a folder's ``tones`` that takes a moment."""
    return [
        "corpus=meld",
        f"corpus.root={folder / 'tones'}",
        f"cache_dir={folder / 'cache'}",
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


@pytest.fixture
def small(tones: Path, tones_for_all: PreparedTones, tmp_path: Path) -> list[str]:
    """Overrides of a run on the tones, which are prepared, that takes a moment."""
    shutil.copytree(tones_for_all.prepared, tmp_path / "cache" / "prepared")
    return small_run(tmp_path)


@pytest.fixture
def nothing_prepared(small: list[str], tmp_path: Path) -> None:
    """The clips of ``small`` are not decoded yet."""
    shutil.rmtree(tmp_path / "cache")


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with all that it was made of.

    Args:
        run: Its folder.
        overrides: What it was trained with.
        tones: Its clips and annotations.
        prepared: Its prepared corpus.
    """

    run: RunFolder
    overrides: list[str]
    tones: Path
    prepared: Path


@pytest.fixture(scope="session")
def trained_for_all(
    tmp_path_factory: pytest.TempPathFactory, tones_for_all: PreparedTones
) -> tuple[Path, Path]:
    """Where a small run was trained, and what lay there afterwards."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(tones_for_all.clips, folder / "tones")
    shutil.copytree(tones_for_all.prepared, folder / "cache" / "prepared")
    assert call(folder, "train", *small_run(folder)) == 0
    return folder, folder.rename(folder.with_name("trained_before"))


@pytest.fixture
def trained(trained_for_all: tuple[Path, Path]) -> TrainedRun:
    """A run of ``small`` that was trained once for all tests, put back as it was.

    It is where it was trained, as a run is continued there alone.
    """
    folder, kept = trained_for_all
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder)
    (prepared,) = (folder / "cache" / "prepared").glob("meld-*s")
    return TrainedRun(only_run(folder), small_run(folder), folder / "tones", prepared)


def only_run(folder: Path, name: str = "train") -> RunFolder:
    (info,) = (folder / "outputs" / name).glob("*/run.json")
    return RunFolder.open(info.parent)
