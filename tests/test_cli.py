import subprocess
import sys
from pathlib import Path

import pytest

from mmemo import __version__
from mmemo.cli import COMMANDS
from mmemo.commands.launch import config_dir
from tests.commands.command_line import call

HEAVY = ("torch", "lightning", "transformers", "pandas", "av")
HELPS = ["--help", *(f"{name} --help" for name in COMMANDS)]
SHOW_HELPS = f"""
import sys
from hydra.core.global_hydra import GlobalHydra
from mmemo.cli import main

for typed in {HELPS!r}:
    sys.argv = ["mmemo", *typed.split()]
    try:
        main()
    except SystemExit as end:
        assert not end.code
    GlobalHydra.instance().clear()
    print("imported:", [name for name in {HEAVY!r} if name in sys.modules], end="\\f")
"""


@pytest.fixture(scope="module")
def helps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each help shows, all of one process; together they import what the first one does."""
    folder = tmp_path_factory.mktemp("help")
    command = [sys.executable, "-c", SHOW_HELPS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not list(folder.iterdir()), "help writes nothing"
    *shown, rest = done.stdout.split("\f")
    assert rest == ""
    return dict(zip(HELPS, shown, strict=True))


@pytest.mark.parametrize("typed", HELPS)
def test_help_imports_nothing_heavy(typed: str, helps: dict[str, str]) -> None:
    assert helps[typed].endswith("imported: []")
    assert "mmemo" in helps[typed]


def test_help_of_a_command_shows_its_options(helps: dict[str, str]) -> None:
    text = helps["train --help"]
    assert "audio_encoder: co_attention, data2vec_audio_base, egemaps, hubert_base, " in text
    assert "max_epochs: 15" in text


def test_version_and_unknown_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "mmemo", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == f"mmemo {__version__}\n"
    assert call(tmp_path, "trian") == 2
    assert "got 'trian'" in capsys.readouterr().out


def test_every_command_has_its_config() -> None:
    assert {path.stem for path in config_dir().glob("*.yaml")} == {
        *COMMANDS,
        "base",
        "cache",
        "explainer",
    }


def test_a_misspelt_override_is_hydras_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(tmp_path, "train", "experiment=demo", "optimizer.learning_rate=1") == 1
    assert "Key 'learning_rate' is not in struct" in capfd.readouterr().err


def test_a_missing_value_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("corpus=table", f"cache_dir={tmp_path}", "denoiser=off")
    assert call(tmp_path, "prepare", *options) == 1
    printed = capfd.readouterr().err
    assert "corpus.csv: expected a value, got none; give it with corpus.csv=" in printed
    assert "Traceback" not in printed
