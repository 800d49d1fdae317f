"""W&B is online where that works, and no failure of its reaches the run."""

import http.server
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from mmemo.training.wandb_logger import TolerantWandbLogger, WandbIdentity, WandbLabels

KEY = "a" * 40
LABELS = WandbLabels("run", None, "job", ("official",))


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is logged in, nothing is set, and no session is left of another test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)
    wandb.teardown()
    yield
    wandb.teardown()


def begun(folder: Path, timeout_s: float = 5.0) -> tuple[TolerantWandbLogger, float]:
    """A logger whose run was opened, and the seconds that took."""
    logger = TolerantWandbLogger(folder, "project", None, 0, False, timeout_s, 5.0)
    start = time.monotonic()
    logger.begin(WandbIdentity("abcd1234", "project", None), LABELS, {}, [])
    return logger, time.monotonic() - start


def assert_offline(logger: TolerantWandbLogger, folder: Path) -> None:
    assert logger.run is not None
    assert logger.run.offline
    assert logger.version == "abcd1234"
    assert not logger.end(0)
    assert list(folder.glob("wandb/offline-run-*-abcd1234/*.wandb"))


def test_offline_without_a_key_and_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger, _ = begun(tmp_path)
    assert_offline(logger, tmp_path)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_offline_in_seconds_where_no_server_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    (tmp_path / "netrc").write_text(f"machine {url[7:]} login user password {KEY}\n")
    logger, duration_s = begun(tmp_path, timeout_s=60.0)
    assert duration_s < 10
    assert_offline(logger, tmp_path)
    assert capfd.readouterr().err == f"W&B: offline, no answer from {url}\n"


def test_offline_where_the_server_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        logger, duration_s = begun(tmp_path, timeout_s=1.0)
    assert duration_s < 8
    assert_offline(logger, tmp_path)


def test_offline_where_the_server_opens_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    try:
        logger, duration_s = begun(tmp_path, timeout_s=2.0)
    finally:
        server.shutdown()
        server.server_close()
    assert duration_s < 10
    assert_offline(logger, tmp_path)
    assert f"W&B: offline, {url} opened no run" in capfd.readouterr().err


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_mode_of_the_environment_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], mode: str
) -> None:
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    logger, _ = begun(tmp_path)
    if mode == "offline":
        assert_offline(logger, tmp_path)
    else:
        logger.log_metrics({"val/loss": 1.0}, 0)
        assert (logger.run, logger.url, logger.files) == (None, None, None)
        assert not logger.end(0)
        assert not (tmp_path / "wandb").exists()
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_the_run_goes_on_where_wandb_dies(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logger, _ = begun(tmp_path)
    me = str(os.getpid())
    # Unlimited width (ww): a long path would be cut before the program's name.
    listing = ["ps", "-ww", "-o", "pid=,args=", "--ppid", me]
    children = subprocess.run(listing, capture_output=True)
    lines = children.stdout.decode().splitlines()
    (service,) = [int(line.split()[0]) for line in lines if "wandb-core" in line]
    os.kill(service, signal.SIGKILL)
    time.sleep(0.3)
    for step in range(3):
        logger.log_metrics({"val/loss": 1.0}, step)
    assert not logger.end(0)
    said = capfd.readouterr().err
    assert said.count("W&B: nothing more is logged") == 1
    assert said.endswith("; the run goes on\n")

    again = TolerantWandbLogger(tmp_path / "next", "project", None, 0, False, 5.0, 5.0)
    (tmp_path / "next").mkdir()
    again.begin(again.new_identity(), LABELS, {}, [])
    assert again.run is not None, "the next run of the process is logged again"
    assert not again.end(0)


def test_an_agent_of_a_wandb_sweep_names_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = TolerantWandbLogger("run", "project", "team", 0, False, 5.0, 5.0)
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    assert logger.new_identity().id != "chosen"
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    assert logger.new_identity() == WandbIdentity("chosen", "project", "team")
