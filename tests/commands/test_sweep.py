"""Sweeps: what is run, continued, skipped, and how it is told."""

import pickle
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from mmemo.commands import train
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.run_metrics import RunMetrics
from mmemo.runs.run_files import WandbInfo
from mmemo.runs.run_folder import RunFolder
from mmemo.sweep.cells import LOG_FILE, Cell
from mmemo.sweep.launcher import LaunchedCells
from mmemo.training.stop_signals import Stopped, stopped_at_once
from tests.commands.conftest import Cli, only_run
from tests.commands.interruptions import FailureOnce, KillOnce, befalls
from tests.forking import Forking
from tests.run_documents import protocol, split_metrics

ARGUMENTS = ["-m", "experiment=demo", "fusion.bottleneck_dim=8,16", "seed=1,2"]
SEEDS = ["-m", "experiment=demo", "fusion.bottleneck_dim=8", "seed=1,2,3"]


class FakeTraining:
    """Stands for training: notes the cells, and does what it is told to in one of them."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.resumed: list[str] = []
        self.at: dict[str, Callable[[RunFolder], float]] = {}

    def __call__(self, cfg: DictConfig) -> float:
        place = f"{cfg.fusion.bottleneck_dim}/{cfg.seed}"
        run = RunFolder.open(cfg.resume) if cfg.resume else RunFolder.create(Path(cfg.run_dir))
        (self.resumed if cfg.resume else self.began).append(place)
        with run.working():
            print(f"training {place}")
            run.composed_config_file.write_text("")
            ordinary = 100.0 * cfg.seed + cfg.fusion.bottleneck_dim
            act = self.at.pop("first", None) or self.at.pop(place, None)
            score = act(run) if act else ordinary
            run.write_info(best_score=score)
        return score


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    fake = FakeTraining()
    monkeypatch.setattr(train, "run", fake)
    return fake


def fail(error: Exception) -> Callable[[RunFolder], float]:
    def at(run: RunFolder) -> float:
        raise error

    return at


def cells(tmp_path: Path, sweep: str = "sweep", name: str = "demo") -> dict[str, RunFolder]:
    """The cells by their names without the digest."""
    folders = (tmp_path / "outputs" / name / sweep).glob("*/run.json")
    return {file.parent.name.rpartition("-")[0]: RunFolder(file.parent) for file in folders}


def stamps(run: RunFolder) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in [run.path, *run.path.rglob("*")]}


def test_a_sweep_goes_on_where_it_is_launched_again(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    training.at["16/1"] = fail(RuntimeError("out of memory"))
    training.at["8/2"] = fail(InputError("corpus.root: expected a folder, found none"))
    printed = cli("train", *ARGUMENTS, expect=1)
    assert training.began == ["8/1", "8/2", "16/1", "16/2"]
    found = cells(tmp_path)
    assert sorted(found) == [f"bottleneck_dim_{d}-seed{s}" for d in (16, 8) for s in (1, 2)]
    assert "4 cells: 2 finished, 2 failed" in printed.stdout
    assert "best on validation: val/loss 108.0000, bottleneck_dim_8-seed1" in printed.stdout
    assert "training" not in printed.stdout + printed.stderr
    failed = found["bottleneck_dim_16-seed1"]
    log = failed.path / "train.log"
    assert f"{failed.path.name}: RuntimeError: out of memory\n  {log}\n" in printed.stderr
    assert "corpus.root: expected a folder" in printed.stderr
    assert "not finished; to continue: mmemo train -m experiment=demo" in printed.stderr
    assert "Traceback" not in printed.stdout + printed.stderr
    assert "Traceback" in log.read_text()
    assert log.read_text().startswith("training 16/1")
    (failed.path / "half.bin").write_text("")
    finished = {name: stamps(found[name]) for name in found if found[name] != failed}

    training.began.clear()
    printed = cli("train", *ARGUMENTS, "cache_dir=elsewhere", "data.num_workers=1")
    assert (training.began, training.resumed) == (["8/2", "16/1"], [])
    assert "4 cells: 4 finished" in printed.stdout
    assert not (failed.path / "half.bin").exists()
    assert log.read_text().count("training 16/1") == 2
    same = ("bottleneck_dim_8-seed1", "bottleneck_dim_16-seed2")
    assert all(stamps(found[name]) == finished[name] for name in same)

    training.began.clear()
    cli("train", "-m", "experiment=demo", "fusion.bottleneck_dim=16", "seed=2,3")
    assert training.began == ["16/3"], "the other one is known by another name"
    training.began.clear()
    cli("train", *ARGUMENTS, "optimizer.lr=0.1")
    assert len(training.began) == 4


def test_an_interrupted_cell_resumes_and_the_whole_sweep_stops(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    def stop(run: RunFolder) -> float:
        run.last_checkpoint.parent.mkdir()
        run.last_checkpoint.write_text("")
        raise Stopped(signal.SIGTERM)

    training.at["8/2"] = stop
    printed = cli("train", *SEEDS, expect=128 + signal.SIGTERM)
    assert training.began == ["8/1", "8/2"]
    assert "3 cells: 1 finished, 1 interrupted, 1 waiting" in printed.stdout
    assert "not finished; to continue: mmemo train -m" in printed.stderr
    training.began.clear()
    cli("train", *SEEDS)
    assert (training.resumed, training.began) == (["8/2"], ["8/3"])


def test_what_failed_after_its_training_is_only_evaluated(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    def fail_in_evaluation(run: RunFolder) -> float:
        run.last_checkpoint.parent.mkdir()
        run.last_checkpoint.write_text("")
        run.write_info(checkpoint="checkpoints/best-00.ckpt")
        raise RuntimeError("no more room")

    training.at["8/2"] = fail_in_evaluation
    cli("train", *SEEDS, expect=1)
    training.began.clear()
    cli("train", *SEEDS)
    assert (training.resumed, training.began) == (["8/2"], [])


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"status": 3}'])
def test_a_cell_with_a_damaged_record_is_begun_anew(
    cli: Cli, training: FakeTraining, tmp_path: Path, content: str
) -> None:
    cli("train", *SEEDS)
    second = cells(tmp_path)["seed2"]
    # So a kill left it while records were born empty, and so does a bad disk.
    second.info_file.write_text(content)
    training.began.clear()
    printed = cli("train", *SEEDS)
    assert training.began == ["8/2"]
    assert "3 cells: 3 finished" in printed.stdout
    assert "Traceback" not in printed.stderr
    assert f"begun anew: {second.info_file}: expected what" in (second.path / LOG_FILE).read_text()


def test_a_cell_that_another_process_works_on_is_passed_over(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    training.at["8/2"] = fail(RuntimeError("once"))
    cli("train", *SEEDS, expect=1)
    run = cells(tmp_path)["seed2"]
    with run.working():
        printed = cli("train", *SEEDS)
    assert f"passed over: {run.path.name}: another process works on it" in printed.stdout
    assert "3 cells: 2 finished, 1 running" in printed.stdout
    assert len(training.began) == 3


def hold(folder: Path) -> None:
    """Work on a cell until a signal comes."""
    with stopped_at_once(), RunFolder.create(folder).working():
        print("working", flush=True)
        time.sleep(60)


def test_cells_in_other_processes_end_before_the_sweep_does(
    forking: Forking, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path)
    launched = LaunchedCells("mmemo train -m seed=1,2")
    launched.cells["cell"] = Cell(run, 1, "val/loss", is_maximised=False)
    process = forking.start(hold, tmp_path, folder=tmp_path)
    deadline = time.monotonic() + 60
    while "working" not in process.stdout.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(Stopped, match="SIGTERM"):
        launched.stop(signal.SIGTERM, None)
    assert run.read_info().status == "interrupted"
    assert process.ended() == 128 + signal.SIGTERM


def test_who_stopped_is_told_from_process_to_process() -> None:
    stop = Stopped(signal.SIGTERM, "at epoch 1, batch 2")
    copy = pickle.loads(pickle.dumps(stop))
    assert (copy.code, str(copy)) == (143, "SIGTERM at epoch 1, batch 2")


def test_an_optimizing_sweeper_gets_the_scores_and_outlives_a_failure(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    pytest.importorskip("optuna")
    optuna = ["-m", "experiment=demo", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3"]
    # Random draws, as long as there are few: the same where the command is launched again.
    optuna += ["hydra.sweeper.sampler.seed=1", "seed=1", "fusion.bottleneck_dim=interval(8,9999)"]
    training.at["first"] = fail(RuntimeError("out of memory"))
    printed = cli("train", *optuna, expect=1)
    assert "3 cells: 2 finished, 1 failed" in printed.stdout
    drawn = [float(place.partition("/")[0]) for place in training.began]
    results = tmp_path / "outputs/demo/sweep/optimization_results.yaml"
    assert OmegaConf.load(results).best_value == 100 + min(drawn[1:])
    cli("train", *optuna)
    assert training.began[3:] == training.began[:1], "the finished ones are told of all the same"
    assert OmegaConf.load(results).best_value == 100 + min(drawn)


def test_a_leaky_cell_says_so(cli: Cli, training: FakeTraining, tmp_path: Path) -> None:
    cli("train", "-m", "experiment=demo", "split=oversampled_before_split", "seed=1,2")
    names = [p.parent.name for p in (tmp_path / "outputs/demo/sweep").glob("*/run.json")]
    assert all(name.endswith("-LEAKY") for name in names)
    assert len(names) == 2
    training.began.clear()
    cli("train", "-m", "experiment=demo", "split=oversampled_before_split,official", "seed=1,2")
    assert len(training.began) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fusion.no_such=1,2"], "Could not override 'fusion.no_such'"),
        (["fusion=bottleneck,no_such"], "In 'train': Could not find 'fusion/no_such'"),
        (["corpus=demo,table"], "corpus.csv: expected a value, got none"),
        (["seed=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir: expected no name"),
    ],
)
def test_what_does_not_compose_ends_before_any_cell(
    cli: Cli, training: FakeTraining, tmp_path: Path, arguments: list[str], message: str
) -> None:
    printed = cli("train", "-m", "experiment=demo", *arguments, expect=1)
    assert f"mmemo: error: {message}" in printed.stderr
    assert "Traceback" not in printed.stderr
    assert not list((tmp_path / "outputs").rglob("run.json"))
    assert training.began == []


@pytest.mark.slow
def test_a_killed_sweep_ends_as_if_it_had_not_been(
    cli: Cli, forked_cli: Cli, small: list[str], tmp_path: Path
) -> None:
    settings = [*small, "data.batch_size=4", "logger=none"]
    sweep = ["-m", *settings, "classifier.hidden_dim=8,4"]
    once = f"+callbacks.{{}}.marker={tmp_path}/{{}}"
    killed = befalls(KillOnce, epoch=1, batch=1)
    failing = [o.replace("befalls", "fails") for o in befalls(FailureOnce, epoch=0, batch=3)]
    sweep += [*killed, once.format("befalls", "killed")]
    sweep += [*failing, once.format("fails", "failed")]
    # The first cell fails; the second is killed, and with it the process.
    forked_cli("train", *sweep, expect=-signal.SIGKILL)
    first, second = (cells(tmp_path, name="train")[f"hidden_dim_{dim}-seed7"] for dim in (8, 4))
    assert (first.read_info().status, second.read_info().status) == ("failed", "running")
    assert second.last_checkpoint.is_file()

    printed = cli("train", *sweep)
    assert "2 cells: 2 finished" in printed.stdout
    before = stamps(first)
    assert "passed over" in cli("train", *sweep).stdout
    assert stamps(first) == before
    cli("train", *settings, "classifier.hidden_dim=4", "name=whole")
    whole = only_run(tmp_path, "whole")
    assert second.history_file.read_bytes() == whole.history_file.read_bytes()
    assert second.predictions_file.read_bytes() == whole.predictions_file.read_bytes()
    assert second.read_info().best_score == whole.read_info().best_score


def test_a_dry_run_lists_the_cells_and_leaves_nothing(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    printed = cli("train", *ARGUMENTS, "--dry-run")
    assert training.began == []
    assert not (tmp_path / "outputs" / "demo").exists()
    lines = printed.stdout.splitlines()
    assert [line.split("-")[:2] for line in lines[:-1:2]] == [
        [f"waiting     bottleneck_dim_{dim}", f"seed{seed}"] for dim in (8, 16) for seed in (1, 2)
    ]
    assert lines[1].strip() == "experiment=demo fusion.bottleneck_dim=8 seed=1"
    assert lines[-1].startswith("4 cells, 4 to be run; sweep folder: ")

    cli("train", *ARGUMENTS)
    kept = {name: stamps(run) for name, run in cells(tmp_path).items()}
    printed = cli("train", "--dry-run", *ARGUMENTS[:-1], "seed=2,3")
    states = [line.split()[0] for line in printed.stdout.splitlines()[:-1:2]]
    assert states == ["finished", "waiting", "finished", "waiting"]
    assert {name: stamps(run) for name, run in cells(tmp_path).items()} == kept


def test_the_chosen_plugins_stay_the_chosen_ones(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    typed = [*SEEDS, "trainer.default_root_dir=${run_dir}"]
    training.at["8/2"] = fail(RuntimeError("out of memory"))
    said = cli("train", *typed, expect=1).stderr
    assert f"to continue: {shlex.join(['mmemo', 'train', *typed])}\n" in said
    written = OmegaConf.load(tmp_path / "outputs" / "demo" / "sweep" / "multirun.yaml").hydra
    assert written.launcher._target_ == "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    assert "chosen" not in written.sweeper


def test_a_run_and_not_a_sweep_is_resumed(cli: Cli, training: FakeTraining, tmp_path: Path) -> None:
    cli("train", *ARGUMENTS)
    cell = next((tmp_path / "outputs" / "demo" / "sweep").glob("*/run.json")).parent
    refused = cli("train", "-m", f"resume={cell}", expect=1).stderr
    assert "expected one run to continue, got a sweep (-m); a sweep goes on by its own" in refused


def test_a_dry_run_is_of_a_sweep(cli: Cli, tmp_path: Path) -> None:
    for command in (("train", "experiment=demo"), ("prepare", "-m", "corpus=demo")):
        printed = cli(*command, "--dry-run", expect=1)
        assert "--dry-run: expected a sweep" in printed.stderr
    assert not (tmp_path / "outputs").exists()


def test_the_end_of_a_sweep_ranks_as_compare_does(
    cli: Cli, training: FakeTraining, tmp_path: Path
) -> None:
    """The metric of conf/compare.yaml, not the loss that chose each cell's checkpoint."""

    def evaluated(val: float, test: float, leaky: bool = False) -> Callable[[RunFolder], float]:
        def at(run: RunFolder) -> float:
            scores = {"val": val, "test": test}
            splits = {s: split_metrics(0.9, weighted_f1=v) for s, v in scores.items()}
            document = RunMetrics(protocol(labels="five", split="own", leaky=leaky), splits)
            write_document(run.metrics_file, document)
            card = WandbInfo("ab", "mmemo", None, None, files="wandb/offline-run-1-ab")
            run.write_info(wandb=card)
            return 1.0

        return at

    training.at |= {"8/1": evaluated(0.25, 0.75), "8/2": evaluated(0.5, 0.125)}
    training.at |= {"16/1": evaluated(0.875, 0.625, leaky=True)}
    training.at["16/2"] = fail(RuntimeError("out of memory"))
    printed = cli("train", *ARGUMENTS, expect=1)
    out = printed.stdout
    one, leaky, rest = out[out.index("Cells by weighted F1") :].split("Cells ")[1:]
    assert one.startswith("by weighted F1 (demo, labels five, split own)")
    rows = [line.split() for line in one.splitlines() if "seed" in line]
    assert [(row[0].rpartition("-")[0], *row[1:]) for row in rows] == [
        ("bottleneck_dim_8-seed2", "finished", "0.500", "0.125"),
        ("bottleneck_dim_8-seed1", "finished", "0.250", "0.750"),
    ]
    assert "split own (LEAKY)" in leaky
    assert "0.875" in leaky
    assert "bottleneck_dim_16-seed2" in rest
    assert "failed" in rest
    folder = tmp_path / "outputs" / "demo" / "sweep"
    assert f"compare: mmemo compare {folder}\n" in out
    assert f"wandb sync {folder}/*/wandb/offline-run-*\n" in out
    assert "best on validation" not in out
