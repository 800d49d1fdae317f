"""What Hydra's users type: flags, marks in paths, completion, axes of a sweep."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mmemo.cli import COMMANDS
from mmemo.commands.launch import _flags_and_overrides
from mmemo.errors import InputError
from mmemo.runs.overrides import quoted, readable_by_hydra, typed_text
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, only_run
from tests.commands.test_named_sweeps import Ran, ran
from tests.commands.test_training_options import text_alone

pytestmark = pytest.mark.usefixtures("blank_figures")

__all__ = ["ran"]

MARKS = 'it\'s a=b, [c] {d} (e) $f ${g} #h \\i "j" ü & ; * ? ~ \\'


def read(override: str) -> object:
    """What a config holds that Hydra has made with the override."""
    value = OverridesParser.create().parse_override(override).value()
    return OmegaConf.create({"x": value}).x


@pytest.mark.parametrize("text", [MARKS, *MARKS.split(), "a\nb", "\\'", "'q'", "\\${x}", "a\\"])
def test_any_text_is_read_as_it_is(text: str, tmp_path: Path) -> None:
    assert read(f"x={quoted(text)}") == text
    assert typed_text(f"x={quoted(text)}") == text
    path = str(tmp_path / text.replace("/", ""))
    Path(path).mkdir()
    assert read(readable_by_hydra(f"run={path}")) == path
    assert read(readable_by_hydra(f"output_dir={path}/new")) == f"{path}/new"
    for key in ("corpus.root", "output_dir", "cache_dir", "hydra.run.dir"):
        assert read(readable_by_hydra(f"{key}={path}", is_sweep=True)) == path


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("output_dir=a, b", "output_dir='a, b'"),
        ("corpus.csv=${oc.env:DATA}/a.csv", "corpus.csv=${oc.env:DATA}/a.csv"),
        ("keys=[test/a,test/b]", "keys=[test/a,test/b]"),
        ("keys=test/a b.wav", "keys='test/a b.wav'"),
        ("module.encoder_learning_rate=None", "module.encoder_learning_rate=null"),
        ("x=None,1", "x=null,1"),
        ("x=choice(null, 1)", "x=null, 1"),
        ("x='None'", "x='None'"),
        ("x=[None]", "x=[None]"),
    ],
)
def test_what_is_typed_for_hydra(typed: str, given: str) -> None:
    assert readable_by_hydra(typed) == given


def test_several_paths_of_a_sweep_stay_several() -> None:
    assert readable_by_hydra("corpus.csv=a.csv,b.csv", is_sweep=True) == "corpus.csv=a.csv,b.csv"


def test_a_run_lies_where_it_was_told_to(cli: Cli, small: list[str], tmp_path: Path) -> None:
    place = tmp_path / MARKS.replace("${g} ", "")
    place.mkdir()
    hydras = tmp_path / "${g}"
    hydras.mkdir()
    said = cli("train", *small, f"output_dir={hydras}", expect=1).stderr
    assert "output_dir: expected a path without '${'" in said
    (tmp_path / "tones").rename(tmp_path / "tones' = [x], {y}")
    options = [o for o in text_alone(small) if not o.startswith(("corpus.root", "cache_dir"))]
    options += [f"corpus.root={tmp_path}/tones' = [x], {{y}}", f"cache_dir={place}/cache"]
    options += ["trainer.max_epochs=1"]
    cli("train", *options, f"output_dir={place}/one")
    (info,) = (place / "one" / "train").glob("*/run.json")
    run = RunFolder.open(info.parent)
    cli("evaluate", f"run={run.path}")
    run.write_info(status="interrupted")
    _, command, argument = shlex.split(run.command("train", "resume"))
    cli(command, argument)
    cli("train", "-m", *options, f"output_dir={place}/many", "seed=1,2")
    assert len(list(place.glob("many/train/*/*/metrics.json"))) == 2
    cli("compare", str(place / "many"), "comparison.num_resamples=10")
    assert list(place.glob("**/comparison.json"))


@pytest.mark.parametrize(
    ("typed", "flags"),
    [
        ("a=1 -m b=2", "-m"),
        ("a=1 --config-dir conf b=2", "--config-dir conf"),
        ("a=1 -c job b=2 --resolve", "-c job --resolve"),
        ("a=1 --info b=2", "--info all"),
        ("a=1 --info defaults b=2", "--info defaults"),
        ("--info a=1 b=2", "--info all"),
        ("-sc a=1 b=2", "-sc"),
    ],
)
def test_flags_may_stand_behind_overrides(typed: str, flags: str) -> None:
    assert _flags_and_overrides(typed.split()) == (flags.split(), ["a=1", "b=2"])


def test_flags_that_exclude_each_other_are_told() -> None:
    with pytest.raises(InputError, match="expected one run to show, got -m"):
        _flags_and_overrides(["a=1", "-m", "--cfg", "job"])


def test_the_shown_config_has_the_run_folder(cli: Cli, tmp_path: Path) -> None:
    own = tmp_path / "conf" / "labels"
    own.mkdir(parents=True)
    (own / "two.yaml").write_text(
        "_target_: mmemo.corpora.utterance.LabelSet\nname: two\n"
        "colours: {joy: '#000000', anger: '#ffffff'}\n"
    )
    given = ["experiment=demo", "labels=two", "--config-dir", "conf", "--cfg", "job", "--resolve"]
    shown = OmegaConf.create(cli("train", *given).stdout)
    assert shown.labels.name == "two"
    assert shown.run_dir.startswith("outputs/demo/")
    assert shown.callbacks.checkpoint.dirpath == f"{shown.run_dir}/checkpoints"


def test_a_key_of_one_choice_counts_where_it_is_there(ran: Ran, tmp_path: Path) -> None:
    found = ran("-m", "fusion=bottleneck,cross_attention", "fusion.num_heads=2,4")
    assert len(found) == 3, "one bottleneck, and cross-attention with 2 and with 4 heads"
    assert {path.parent.name.partition("-seed")[0] for path in tmp_path.rglob("run.json")} == {
        "fusion_bottleneck",
        "fusion_cross_attention-num_heads_2",
        "fusion_cross_attention-num_heads_4",
    }


def test_a_key_of_no_choice_is_an_error(cli: Cli) -> None:
    options = ["-m", "experiment=demo", "fusion=bottleneck,late", "fusion.num_heds=2,4"]
    said = cli("train", *options, expect=1).stderr
    assert "Could not override 'fusion.num_heds'. None of the swept choices has it." in said


@pytest.mark.parametrize(
    ("axes", "num_cells"),
    [
        (["split=speaker_disjoint", "split.group_columns=[speaker],[season,episode]"], 2),
        (["classifier={hidden_dim:8,dropout:0.1},{hidden_dim:16,dropout:0.2}"], 2),
        (["module.encoder_learning_rate=null,0.001"], 2),
        (["trainer.accumulate_grad_batches=1,2", "trainer.min_epochs=1"], 2),
    ],
)
def test_lists_couples_and_nothing_are_axes(ran: Ran, axes: list[str], num_cells: int) -> None:
    assert len(ran("-m", *axes)) == num_cells


def completed(line: str, cwd: Path) -> list[str]:
    """What bash offers behind a line."""
    (cwd / "bin").mkdir(exist_ok=True)
    program = cwd / "bin" / "mmemo"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mmemo "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(mmemo train -sc install=bash)"; COMP_LINE=$1; COMP_POINT=${#1}; _mmemo; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{cwd / 'bin'}{os.pathsep}{os.environ['PATH']}"
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PATH": path, "PYTHONPATH": root}
    command = ["bash", "-c", script, "bash", line]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert not done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_the_shell_completes_commands_options_and_settings(tmp_path: Path) -> None:
    assert completed("mmemo ", tmp_path) == list(COMMANDS)
    assert completed("mmemo ev", tmp_path) == ["evaluate"]
    # Behind the last "=", where bash has split the word.
    assert completed("mmemo train experiment=de", tmp_path) == ["demo"]
    assert "hidden_dim=" in completed("mmemo train classifier.hidd", tmp_path)[0]


def test_another_shell_is_told_of(cli: Cli) -> None:
    assert "expected install=bash or install=zsh" in cli("-sc", "install=fish", expect=1).stderr
    assert "bashcompinit" in cli("train", "-sc", "install=zsh").stdout


def test_early_stopping_is_that_of_the_resumed_command(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    """A learning rate near zero: the score never improves after the first epoch."""
    never = [*text_alone(small), "optimizer.lr=1e-30", "callbacks.early_stopping.min_delta=1"]
    never += ["trainer.max_epochs=9", "callbacks.early_stopping.patience=1"]
    cli("train", *never, "trainer.min_epochs=4", "name=least")
    least = only_run(tmp_path, "least")
    assert epochs(least) == 4, "as many as had to be, and then the patience was used up"

    cli("train", *never, "name=early")
    run = only_run(tmp_path, "early")
    assert epochs(run) == 2
    for patience in (3, 5):
        run.write_info(status="interrupted", checkpoint=None)
        cli("train", f"resume={run.path}", f"callbacks.early_stopping.patience={patience}")
        assert epochs(run) == patience + 1


def epochs(run: RunFolder) -> int:
    return len(run.history_file.read_text().splitlines()) - 1
