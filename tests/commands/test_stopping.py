"""Ctrl-C, and its kin, wherever they fall."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import DictConfig

from mmemo.sweep import cell
from mmemo.training.stop_signals import Stopped, stopped_at_once
from tests.audio.test_kill_and_continue import parent, running
from tests.commands.conftest import Cli
from tests.commands.test_sweep import SEEDS, FakeTraining, training
from tests.conftest import MeldMaker

__all__ = ["training"]

NOTHING_RAISES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Cleanup:
    """What comes while an object is destroyed, where Python drops every exception."""

    def __init__(self, signum: int) -> None:
        self.signum = signum

    def __del__(self) -> None:
        signal.raise_signal(self.signum)


@NOTHING_RAISES
def test_a_signal_in_a_destructor_is_obeyed_later() -> None:
    reached = []
    with pytest.raises(Stopped) as caught, stopped_at_once():
        waste = Cleanup(signal.SIGTERM)
        del waste
        reached.append(True)
    assert (caught.value.code, reached) == (128 + signal.SIGTERM, [True])


@NOTHING_RAISES
@pytest.mark.parametrize("after", [1, 3])
def test_a_signal_between_two_cells_stops_the_sweep(
    cli: Cli, training: FakeTraining, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    def free_memory() -> None:
        if len(training.began) == after:
            waste = Cleanup(signal.SIGINT)
            del waste

    monkeypatch.setattr(cell, "_free_memory", free_memory)
    printed = cli("train", *SEEDS, expect=128 + signal.SIGINT)
    assert training.began == ["8/1", "8/2", "8/3"][:after]
    assert "stopped by SIGINT" in printed.stderr
    monkeypatch.undo()
    monkeypatch.setattr("mmemo.commands.train.run", training)
    cli("train", *SEEDS)
    assert training.began == ["8/1", "8/2", "8/3"], "what was finished is kept"


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        ("prepare", ["corpus=meld", "corpus.root=/nowhere"]),
        ("audit", ["corpus=meld", "corpus.root=/nowhere"]),
        ("evaluate", ["run=/nowhere"]),
        ("explain", ["run=/nowhere"]),
        ("compare", ["/nowhere"]),
    ],
)
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_every_command_stops_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str, settings: list[str], signum: int
) -> None:
    def run(cfg: DictConfig) -> None:
        signal.raise_signal(signum)

    monkeypatch.setattr(importlib.import_module(f"mmemo.commands.{command}"), "run", run)
    monkeypatch.setattr("mmemo.commands.early_checks.check_early", lambda *_: None)
    printed = cli(command, *settings, expect=128 + signum)
    name = signal.Signals(signum).name
    assert printed.stderr.strip() == f"mmemo: stopped by {name}; what was finished is kept"
    assert signal.getsignal(signum) in (signal.default_int_handler, signal.SIG_DFL)


def start(*arguments: str) -> subprocess.Popen[str]:
    """In a process group of its own, which a terminal's Ctrl-C reaches as a whole."""
    command = [sys.executable, "-m", "mmemo", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_ends_the_workers_too(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld(per_split=60, duration_s=1.5)
    cache = tmp_path / "cache"
    settings = ["corpus=meld", f"corpus.root={root}", f"cache_dir={cache}", "denoiser=off"]
    process = start("prepare", *settings, "preparer.num_workers=2", f"output_dir={tmp_path}")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(path.read_bytes().count(b"\n") > 3 for path in cache.glob("*/*/audio.jsonl")):
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "mmemo: stopped by SIGINT; what was finished is kept"


@pytest.mark.slow
def test_workers_of_the_demo_corpus_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "make.py"
    script.write_text(
        "import sys\n"
        "from mmemo.corpora.spoken_demo import SpokenDemoCorpus\n"
        "if __name__ == '__main__':\n"
        "    SpokenDemoCorpus(sys.argv[1], num_utterances=3000, num_workers=2).read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "demo")], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    workers: list[int] = []
    while time.monotonic() < deadline and not workers:
        time.sleep(0.2)
        names = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
        commands = {name: command_of(name) for name in names if parent(name) == process.pid}
        workers = [int(name) for name, command in commands.items() if "spawn_main" in command]
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    while time.monotonic() < deadline and any(running(worker) for worker in workers):
        time.sleep(0.05)
    assert not any(running(worker) for worker in workers)


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
