"""``corpus=[a,b]`` as Hydra reads it: one run, several cells, settings of each corpus."""

from __future__ import annotations

import pytest
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

import mmemo
from mmemo.commands.command_help import did_you_mean
from mmemo.errors import InputError
from mmemo.folders import config_dir
from mmemo.runs.joint_option import of_cell, of_swept_corpora, with_joint_corpora
from mmemo.runs.settings import config_digest, has_effect
from tests.commands.conftest import Cli

TWO = "corpus=[demo,own:table]"


def test_each_corpus_has_a_section_of_its_own() -> None:
    settings = ["corpus.own.csv=own.csv", "corpus.demo.seed=3", "corpus.rule=union"]
    cfg = mmemo.compose("demo", [TWO, *settings, "+corpus.own.emotions.cheerful=joy"]).cfg
    assert cfg.corpus._target_ == "mmemo.corpora.joint.JointCorpus"
    assert [*cfg.corpus.parts] == ["demo", "own"]
    assert cfg.corpus.rule == "union"
    assert (cfg.corpus.parts.demo.seed, cfg.corpus.parts.own.seed) == (3, 0)
    assert cfg.corpus.parts.own.emotions.cheerful == "joy"
    # Where a run is evaluated later, the file is still found.
    assert cfg.corpus.parts.own.csv.startswith("/")
    assert OmegaConf.to_container(cfg, resolve=False)["corpus"]["parts"]["demo"]["folder"]


def test_longer_names_of_settings_are_the_same() -> None:
    short = with_joint_corpora([TWO, "corpus.own.csv=a.csv", "~corpus.own.columns.order"])
    long = with_joint_corpora(
        [TWO, "corpus.parts.own.csv=a.csv", "~corpus.parts.own.columns.order"]
    )
    assert short == long
    assert short[1:] == ["corpus.parts.own.csv=a.csv", "~corpus.parts.own.columns.order"]
    assert with_joint_corpora(["corpus=[table]", "corpus.csv=a.csv"])[1] == "corpus.csv=a.csv"
    untouched = ["corpus=table", "corpus.columns.path=file", "seed=1", "corpus.csv='a b'"]
    assert with_joint_corpora(untouched) == untouched


def test_options_are_stored_for_the_processes_that_hydra_starts() -> None:
    assert with_joint_corpora([TWO]) == ["corpus=demo+own:table"]
    node = ConfigStore.instance().load("corpus/demo+own:table.yaml").node
    assert node.defaults == [
        "joint",
        {"/corpus@parts.demo": "demo"},
        {"/corpus@parts.own": "table"},
        "_self_",
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["corpus=[demo,demo]"], "different names, got demo twice"),
        (["corpus=[own:table,own:meld]"], "different names, got own twice"),
        (["corpus=[own:table]"], "two corpora or more in a list, got own:table"),
        (["corpus=[]"], "two corpora or more in a list, got none"),
        (["corpus=[demo,rule:table]"], "expected names of corpora, got 'rule:table'"),
        (["corpus=[demo,a-b:table]"], "expected names of corpora, got 'a-b:table'"),
        ([TWO, "corpus.parts.tabel.csv=a"], "one of demo, own, got tabel"),
    ],
)
def test_what_is_no_choice_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_joint_corpora(given)


def test_a_cell_has_the_settings_of_its_corpora_alone() -> None:
    typed = [
        "corpus=[demo,own:table],demo,meld",
        "corpus.own.csv=a.csv",
        "corpus.demo.seed=3",
        "corpus.rule=union",
    ]
    swept = of_swept_corpora(with_joint_corpora(typed))
    assert swept == [
        "corpus=demo+own:table,demo,meld",
        "corpus.parts.own.csv=choice(a.csv)",
        "corpus.parts.demo.seed=choice(3)",
        "corpus.rule=choice(union)",
    ]
    settings = ["corpus.parts.own.csv=a.csv", "corpus.parts.demo.seed=3"]
    assert of_cell(["corpus=demo+own:table", *settings])[1:] == settings
    assert of_cell(["corpus=demo", *settings]) == ["corpus=demo", "corpus.seed=3"]
    assert of_cell(["corpus=meld", *settings]) == ["corpus=meld"]
    # Of no swept corpus nothing has to wait.
    assert of_swept_corpora([TWO, "corpus.rule=union"]) == [TWO, "corpus.rule=union"]


def test_a_sweep_over_corpora_has_a_cell_for_each_choice(cli: Cli) -> None:
    shown = cli(
        *("train", "-m", "experiment=demo", "corpus=[demo,table],demo,table", "--dry-run"),
        *("corpus.table.csv=own.csv", "corpus.demo.num_utterances=30"),
    ).stdout
    lines = [line.strip() for line in shown.splitlines()]
    names = [line.split()[1].partition("-seed")[0] for line in lines if "waiting" in line]
    assert names == ["corpus_demo_table", "corpus_demo", "corpus_table"]
    settings = [line.split()[2:] for line in lines if line.startswith("experiment")]
    assert settings == [
        ["corpus.parts.table.csv=own.csv", "corpus.parts.demo.num_utterances=30"],
        ["corpus.num_utterances=30"],
        ["corpus.csv=own.csv"],
    ]


def test_a_setting_that_no_swept_corpus_has_is_refused(cli: Cli) -> None:
    typed = ["corpus=[demo,table],demo", "corpus.table.csv=own.csv", "corpus.rot=x"]
    shown = cli("train", "-m", "experiment=demo", *typed, "--dry-run", expect=1)
    assert "None of the swept choices has it" in shown.stderr


def test_help_tells_the_settings_of_each(cli: Cli) -> None:
    shown = cli("train", "experiment=demo", TWO, "corpus.own.csv=own.csv", "--help").stdout
    section = shown[shown.index("\n  corpus:\n") :]
    for setting in ("rule: intersection", "parts:", "own:", "csv: own.csv", "num_utterances: 600"):
        assert setting in section
    assert "# Your own corpus: a table with a row for each clip" in section
    assert "corpus@" not in shown


def test_a_misspelt_corpus_or_setting_is_answered() -> None:
    folder = config_dir()
    assert did_you_mean("train", ["corpus=[demo,tabel]"], folder) == []
    hints = did_you_mean("train", [TWO, "corpus.own.cvs=own.csv"], folder)
    assert hints == ["corpus.parts.own.cvs=own.csv: did you mean corpus.parts.own.csv=own.csv?"]


def test_where_files_lie_is_no_setting_of_the_result() -> None:
    parts = {"demo": {"folder": "/a", "seed": 0, "num_workers": 2}, "own": {"csv": "x"}}
    moved = {"demo": {"folder": "/b", "seed": 0, "num_workers": 4}, "own": {"csv": "x"}}
    other = {"demo": {"folder": "/a", "seed": 1, "num_workers": 2}, "own": {"csv": "x"}}
    digests = [config_digest({"corpus": {"parts": each}}) for each in (parts, moved, other)]
    assert digests[0] == digests[1] != digests[2]
    assert not has_effect("corpus.parts.demo.folder")
    assert not has_effect("corpus.parts.demo.num_workers")
    assert has_effect("corpus.parts.demo.seed")
