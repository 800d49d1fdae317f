import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_preparing_is_measured_from_stages_to_a_second_run(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "prepare.py"), "--utterances", "12"]
    done = subprocess.run(
        [*command, "--denoiser", "off"], capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("12 clips, ")
    for name in ("decode", "resample", "write", "all stages"):
        assert any(line.startswith(name) for line in lines), name
    assert "nothing to do: " in lines[-1]
    assert list(tmp_path.iterdir()) == []
