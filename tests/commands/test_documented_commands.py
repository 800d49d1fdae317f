"""Every command in README and docs/: composed as it is typed, and run in small where that is cheap.

What is typed in the page about extending is run by ``test_documented_examples``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import partialmethod
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf
from sklearn.metrics import recall_score

from mmemo.commands.settings_trial import check_composed
from mmemo.corpora.spoken_demo import SpokenDemoCorpus
from tests.commands.conftest import Cli, TrainedRun
from tests.documentation.markdown import PAGES, ROOT, Command, blocks, commands_of, text_of

ALL = [command for page in PAGES for command in commands_of(text_of(page), page.name)]
EXTENDING = "extending.md"
MMEMO = [c for c in ALL if c.words[0] == "mmemo" and c.page != EXTENDING]

RUN = ("audit", "prepare", "compare")
"""Commands that are cheap enough to be run as they are typed."""

TYPED = {
    (*c.words[1:], "…") if c.has_gaps else c.words[1:]
    for c in MMEMO
    if c.words[1][0] != "-" and c.words[1] not in RUN
}

COMPOSED = sorted(w for w in TYPED if not any({*w} < {*other} for other in TYPED))
"""What is typed behind ``mmemo``, each once, and none that is a part of another."""

SHELL = {"cd", "export", "source"}
IN_CI = {"ruff", "mypy", "pytest", "mkdocs"}
"""Programs that .ci/run runs."""
TESTED_ELSEWHERE = {"curl", "tests/slurm/cluster"}
"""In tests/prediction/test_serving.py, and in .ci/run."""


def single(words: tuple[str, ...]) -> Iterator[list[str]]:
    """The runs of a sweep, each option of a group once and of other values the first."""
    axes = {}
    for word in words:
        key, _, value = word.lstrip("+").partition("=")
        is_list = value.startswith(("[", "{")) or key == "keys"
        if "," in value and not is_list:
            is_group = "." not in key and key != "seed"
            axes[word] = value.split(",") if is_group else value.split(",")[:1]
    for index in range(max((len(values) for values in axes.values()), default=1)):
        yield [
            f"{word.partition('=')[0]}={axes[word][min(index, len(axes[word]) - 1)]}"
            if word in axes
            else word
            for word in words
            if word not in ("-m", "…")
        ]


@pytest.mark.parametrize("words", COMPOSED, ids=" ".join)
def test_a_command_of_mmemo_composes_and_fits(
    words: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    if any(word.startswith("resume=") for word in words):
        # Its config is the run's: run below.
        assert words in {("train", f"resume={run}") for run in ("RUN", "outputs/demo/RUN")}
        return
    command, *overrides = words
    if "audio_encoder=data2vec_large" in words:
        overrides += ["--config-dir", str(readmes_encoder(tmp_path))]
    (tmp_path / "my_labels.yaml").write_text("[anger, joy]", encoding="utf-8")
    for run in single(tuple(overrides)):
        shown = [] if "--cfg" in run else ["--cfg", "job"]
        if "--help" in run:
            assert "experiment: demo, " in cli(command, *run).stdout
            continue
        cfg = OmegaConf.create(cli(command, *run, *shown).stdout)
        if command == "train":
            cfg.run_dir = "/run"
            # What the command itself does before it prepares anything.
            check_composed(cfg)


def readmes_encoder(folder: Path) -> Path:
    """A folder of configs with the one that the README has its reader write."""
    (block,) = (b for b in blocks(text_of(PAGES[0])) if b.language == "yaml")
    path = folder / "conf" / "audio_encoder" / "data2vec_large.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(block.text, encoding="utf-8")
    return folder / "conf"


@pytest.fixture
def world(trained: TrainedRun, tmp_path: Path) -> dict[str, str]:
    """Where the things are that commands name."""
    prepared = trained.prepared
    ravdess = tmp_path / "ravdess"
    ravdess.mkdir()
    for actor, emotion in product(range(1, 16), range(1, 9)):
        (ravdess / f"03-01-{emotion:02}-01-01-01-{actor:02}.wav").touch()
    return {
        "/data/RAVDESS": str(ravdess),
        "outputs/demo/RUN": str(trained.run.path),
        "outputs/demo": str(trained.run.path.parent),
        "outputs/context": str(trained.run.path.parent),
        "outputs/demo/sweep-systems": str(trained.run.path.parent),
        "outputs/classical/RUN": str(trained.run.path),
        "outputs/classical": str(trained.run.path.parent),
        "outputs/before": str(trained.run.path.parent),
        "outputs/paper": str(trained.run.path.parent),
        "/data/MELD.Raw": str(trained.tones),
        "DIR": str(trained.tones),
        "~/.cache/mmemo/prepared/meld-…": str(prepared),
    }


def in_small(command: Command, world: dict[str, str], *more: str) -> list[str]:
    """What is typed, with the things that are there."""
    words = list(command.words[1:])
    for name in sorted(world, key=len, reverse=True):
        words = [
            re.sub(rf"(^|=){re.escape(name)}$", lambda m, n=name: m[1] + world[n], word)
            for word in words
        ]
    return [*words, *more]


def typed(name: str) -> list[Command]:
    found = {c.words: c for c in MMEMO if c.words[1] == name and len(c.words) > 2}
    return [found[words] for words in sorted(found)]


@pytest.mark.parametrize("command", typed("audit"), ids=str)
def test_audits_are_run(command: Command, world: dict[str, str], cli: Cli, tmp_path: Path) -> None:
    # One clip of the tones is broken, which an audit of the clips tells.
    cli(*in_small(command, world))
    assert list((tmp_path / "outputs").rglob("audit.html"))


@pytest.mark.parametrize("command", typed("prepare"), ids=str)
def test_preparing_is_run(
    command: Command, world: dict[str, str], cli: Cli, tmp_path: Path
) -> None:
    kept = [f"cache_dir={tmp_path / 'cache'}", "denoiser=off", "preparer.num_workers=0"]
    if "-m" in command.words:
        # A cluster is not there; in processes of this machine it is the same (test_launchers).
        kept.append("hydra/launcher=basic")
    cli(*in_small(command, world, *kept))
    assert list((tmp_path / "cache").rglob("manifest_five.csv"))


@pytest.mark.parametrize("command", typed("compare"), ids=str)
def test_comparisons_are_run(
    command: Command, world: dict[str, str], cli: Cli, tmp_path: Path
) -> None:
    words = in_small(command, world, f"output={tmp_path / 'comparison'}")
    other = tmp_path / "other"
    if any(w in ("outputs/other", "outputs/after") for w in words):
        other.symlink_to(world["outputs/demo"])
        words = [str(other) if w in ("outputs/other", "outputs/after") else w for w in words]
    # The one group there is has another name.
    words = [w for w in words if not w.startswith("baseline=")]
    cli(*words, "comparison.num_resamples=10")
    assert (tmp_path / "comparison" / "comparison.html").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_the_readmes_jobs_on_one_run(world: dict[str, str], cli: Cli, trained: TrainedRun) -> None:
    readme = [c for c in MMEMO if c.page == "README.md"]
    # On another corpus: test_other_corpus.
    (evaluate,) = (c for c in readme if c.words[1] == "evaluate" and "corpus=table" not in c.words)
    cli(*in_small(evaluate, world))
    (resume,) = (c for c in readme if c.words[-1].startswith("resume="))
    assert "it is finished" in cli(*in_small(resume, world), expect=1).stderr
    (explain,) = (c for c in readme if c.words[1] == "explain")
    small = ["num_random=1", "integrated_gradients.n_steps=4", "faithfulness_checks.num_orders=2"]
    small += ["faithfulness_checks.num_randomised=1", "waveform_baseline.num_draws=1"]
    cli(*in_small(explain, world, *small))
    assert list(trained.run.path.glob("explanations/*/index.html"))


def test_completion_is_printed(cli: Cli) -> None:
    (command,) = (c for c in MMEMO if c.words[1] == "-sc")
    assert "complete " in cli(*command.words[1:]).stdout


def test_every_other_program_is_checked_too() -> None:
    ci = text_of(ROOT / ".ci" / "run")
    for command in ALL:
        program, *arguments = command.words
        if program in IN_CI:
            assert re.search(rf"\b{program}\b", ci), str(command)
            paths = [word for word in arguments if "/" in word]
            assert all((ROOT / path).exists() for path in paths), str(command)
        elif program == "bash":
            assert (ROOT / arguments[0]).is_file()
        else:
            known = {"mmemo", "pip", "python", "python3", *SHELL, *TESTED_ELSEWHERE}
            assert program in known, str(command)


def test_extras_that_are_installed_are_there() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    installed = [c.words for c in ALL if c.words[0] == "pip"]
    assert installed
    for words in installed:
        assert words[:3] == ("pip", "install", "-e")
        name = re.fullmatch(r"\.(?:\[(\w+)\])?", words[3])
        assert name is not None
        assert name[1] is None or name[1] in project["optional-dependencies"]


def test_benchmarks_take_what_is_typed() -> None:
    """They are run in small by test_benchmarks; here their arguments are read."""
    typed = [c for c in ALL if c.words[0] == "python" and c.words[1].startswith("benchmarks/")]
    assert {Path(c.words[1]).name for c in typed} >= {"training.py", "comparison.py"}
    for command in typed:
        text = text_of(ROOT / command.words[1])
        for flag in (word for word in command.words[2:] if word.startswith("--")):
            assert f'"{flag}"' in text, str(command)


def script(page: str, part: str) -> str:
    """The one script that is typed at a prompt on that page and has that part."""
    found = [c.words[2] for c in ALL if c.words[:2] == ("python", "-c") and c.page == page]
    (one,) = (text for text in found if part in text)
    return one


@pytest.mark.slow
def test_a_table_of_the_demos_clips_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partialmethod(SpokenDemoCorpus.__init__, num_utterances=30, num_workers=1)
    monkeypatch.setattr(SpokenDemoCorpus, "__init__", few)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    exec(compile(script("data.md", ""), "data.md", "exec"), {})
    table = pd.read_csv("own.csv")
    assert list(table) == ["file", "transcript", "label", "speaker"]
    assert "cheerful" in set(table["label"])
    assert "joy" not in set(table["label"])
    assert all(Path(path).is_absolute() for path in table["file"])


def test_recall_over_folds_is_taken_of_prediction_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {"split": ["test"] * 4 + ["val"], "target": [*"aabb", "a"], "pred": [*"aaba", "b"]}
    for name in ("sweep/test_fold_0-seed1-0a", "sweep/test_fold_1-seed1-0b"):
        folder = tmp_path / "outputs" / "frozen_audio" / name
        folder.mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(folder / "predictions.parquet")
    monkeypatch.chdir(tmp_path)
    exec(compile(script("figures.md", "recall_score"), "figures.md", "exec"), {})
    assert capsys.readouterr().out == "1 0.75\n"
    assert recall_score([*"aabb"], [*"aaba"], average="macro") == 0.75


def test_noise_is_held_against_what_was_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, run = tmp_path / ".cache" / "mmemo" / "corpora" / "demo-1", tmp_path / "outputs/demo/1"
    corpus.mkdir(parents=True)
    run.mkdir(parents=True)
    keys = list("abcd")
    pd.DataFrame({"key": keys, "snr_db": [5.0, 5.0, 20.0, 20.0]}).to_csv(corpus / "truth.csv")
    rows = pd.DataFrame({"key": keys, "trait_snr_db": [3.0, 4.0, 11.0, 13.0]})
    rows.to_parquet(run / "predictions.parquet")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    exec(compile(script("figures.md", "trait_snr_db"), "figures.md", "exec"), {})
    printed = capsys.readouterr().out
    # Ranks of what was mixed: 1.5, 1.5, 3.5, 3.5 beside 1 to 4: 4 / sqrt(4 * 5).
    assert re.search(r"5\.0\s+3\.5\n20\.0\s+12\.0\n", printed)
    assert float(printed.split()[-1]) == pytest.approx(4 / 20**0.5)


def test_what_is_not_run_says_why() -> None:
    reasons = [b.why_not for page in PAGES for b in blocks(text_of(page)) if b.why_not]
    assert len(reasons) == 7, "a script for Slurm, its daemons, earlier runs (4), W&B's server"
