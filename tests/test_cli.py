import subprocess
import sys
from pathlib import Path

import pytest

from mmemo import __version__
from mmemo.cli import COMMANDS
from mmemo.commands.launch import config_dir

HEAVY = ("torch", "lightning", "transformers", "pandas", "av")


def run_cli(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mmemo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from mmemo.cli import main; sys.argv = ['mmemo', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        f"print('imported:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("imported: []\n")
    assert "mmemo" in done.stdout
    assert not list(tmp_path.iterdir()), "help writes nothing"


def test_help_of_a_command_shows_its_options(tmp_path: Path) -> None:
    text = run_cli("train", "--help", cwd=tmp_path).stdout
    assert "audio_encoder: data2vec_audio_base, egemaps, hubert_base, logmel_cnn, none, " in text
    assert "max_epochs: 15" in text


def test_version_and_unknown_command() -> None:
    assert run_cli("--version").stdout == f"mmemo {__version__}\n"
    done = run_cli("trian")
    assert done.returncode == 2
    assert "got 'trian'" in done.stdout


def test_every_command_has_its_config() -> None:
    assert {path.stem for path in config_dir().glob("*.yaml")} == {*COMMANDS, "base"}


def test_a_misspelt_override_is_hydras_error(tmp_path: Path) -> None:
    done = run_cli("train", "experiment=demo", "optimizer.learning_rate=1", cwd=tmp_path)
    assert done.returncode == 1
    assert "Key 'learning_rate' is not in struct" in done.stderr


def test_a_missing_value_is_named(tmp_path: Path) -> None:
    options = ("corpus=table", f"cache_dir={tmp_path}", "denoiser=off")
    done = run_cli("prepare", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert "corpus.csv: expected a value, got none; give it with corpus.csv=" in done.stderr
    assert "Traceback" not in done.stderr
