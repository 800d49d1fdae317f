import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.forking import Forking, run_script

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.slow

Benchmark = Callable[..., list[str]]


@pytest.fixture
def benchmark(forking: Forking, tmp_path: Path) -> Benchmark:
    """Runs a benchmark in a folder, where it leaves nothing; returns the lines that it prints."""

    def run(name: str, *arguments: str) -> list[str]:
        folder = tmp_path / "empty"
        folder.mkdir()
        process = forking.start(run_script, BENCHMARKS / name, *arguments, folder=folder)
        assert process.ended() == 0, process.stderr.read_text()
        assert list(folder.iterdir()) == [process.stdout.parent]
        return process.stdout.read_text().splitlines()

    return run


def test_no_benchmark_stands_in_for_a_module_of_the_standard_library() -> None:
    """They are run as scripts, so that their folder comes first on the path."""
    names = {path.stem for path in BENCHMARKS.glob("*.py")} & sys.stdlib_module_names
    imported = "; ".join(f"import {name}; print({name}.__file__)" for name in sorted(names))
    code = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); {imported}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(BENCHMARKS) not in done.stdout


def test_preparing_is_measured_from_stages_to_a_second_run(benchmark: Benchmark) -> None:
    sizes = ("--utterances", "12", "--repeats", "1")
    lines = benchmark("prepare.py", *sizes, "--denoiser", "off")
    assert lines[0].startswith("12 clips, ")
    for name in ("decode", "resample", "write", "all stages"):
        assert any(line.startswith(name) for line in lines), name
    assert "nothing to do: " in lines[-1]


def test_a_large_table_is_prepared_and_then_left_alone(benchmark: Benchmark) -> None:
    first, again = benchmark("large_table.py", "--rows", "100")
    assert first.startswith("100 rows, prepared: ")
    assert again.startswith("100 rows, nothing to do: ")


def test_training_is_measured_against_the_recipe_and_the_unpadded_reference(
    benchmark: Benchmark,
) -> None:
    title, _, *rows = benchmark("training.py", "--small", "--no-memory", "--steps", "2")
    assert title == "2 steps of 8 utterances, one thread"
    table = {row[:14].strip(): [float(value) for value in row[14:].split()] for row in rows}
    assert table["recipe"][1] == 1.0
    assert table["float32"][2] < 1e-4, "the loss is that of every utterance alone"
    assert table["bfloat16"][2] < 2e-2
    assert table["cached"][1] > table["float32"][1]


def test_bfloat16_is_held_against_transformers_own_models_without_padding(
    benchmark: Benchmark,
) -> None:
    title, _, *rows = benchmark("precision.py", "--small", "--seeds", "1", "--steps", "2")
    assert title == "2 steps of 8 utterances, seeds: 1"
    ways, parts = rows[:7], rows[9:]
    table = {row[:29].strip(): [float(value) for value in row[29:].split()] for row in ways}
    assert max(table["mmemo, float32"][:3]) < 1e-5, "the same model, the same steps"
    for name in ("transformers, bfloat16", "mmemo, bfloat16"):
        first_losses, gradient, _, _ = table[name]
        assert 0 < first_losses < 5e-3
        assert 0 < gradient < 0.2
    errors = {row[:36].strip(): [float(value) for value in row[36:].split()] for row in parts}
    _, throughout, own = errors["output: logits"]
    assert own < throughout, "the head is in float32"
    _, throughout, own = errors["gradient: speech model, norms"]
    assert own < throughout, "so are the residuals"


def test_predicting_is_measured_beside_evaluating(benchmark: Benchmark) -> None:
    title, *rows = benchmark("predicting.py", "--utterances", "60", "--repeats", "1")
    assert re.match(r"\d+ clips, \d+ s of sound", title)
    speed = {row[:20].strip(): float(row[20:].split()[0]) for row in rows if "clips/s" in row}
    assert set(speed) == {
        "evaluate, prepared",
        "predict, prepared",
        "prepare alone",
        "predict, files",
    }
    assert min(speed.values()) > 0


def test_comparing_is_measured_as_a_whole_process(benchmark: Benchmark) -> None:
    sizes = ("--groups", "3", "--share", "0.02", "--repeats", "1")
    title, seconds = benchmark("comparison.py", *sizes)
    assert title == "10 runs, 52 test predictions each"
    tables_s, wall_s, cpu_s = (float(value) for value in re.findall(r"[\d.]+", seconds))
    assert cpu_s > 0
    assert 0 < tables_s < wall_s < 120


def test_explaining_is_measured_against_a_plain_captum_call(benchmark: Benchmark) -> None:
    sizes = ("--small", "--steps", "4", "--seconds", "0.5")
    title, _, *rows = benchmark("explanation.py", *sizes)
    assert title == "0.5 s of sound, 4 steps, float32, one thread"
    table = {row[:22].strip(): [float(value) for value in row[22:].split()] for row in rows}
    assert set(table) == {"Integrated Gradients", "Occlusion"}
    for _, _, times_faster, cosine in table.values():
        assert times_faster > 1, "0.5 s instead of 8 s"
        assert cosine > 0.999


def test_a_condition_is_measured_beside_an_evaluation(benchmark: Benchmark) -> None:
    sizes = ("--utterances", "60", "--repeats", "1", "--conditions", "2")
    title, *rows = benchmark("stress.py", *sizes)
    assert re.match(r"\d+ clips, 2 conditions of each kind", title)
    assert [row[:20].strip() for row in rows[:4]] == [
        *("prepare", "answer"),
        *("under noise", "with other words"),
    ]
    assert "of an evaluation" in rows[-1]
