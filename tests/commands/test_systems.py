"""Published systems by their names: what they are made of, alone, swept and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mmemo.commands.launch import config_dir
from mmemo.commands.settings_trial import check_composed
from mmemo.errors import InputError
from mmemo.runs.group_choices import check_system, chosen_by, speech_model
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli

SYSTEMS = sorted(path.stem for path in (config_dir() / "system").glob("*.yaml"))

EXPERIMENTS = {
    "demo": ["experiment=demo"],
    "paper": ["experiment=paper", "corpus.root=/data"],
    "own": ["corpus=table", "corpus.csv=own.csv", "labels=four"],
}

SINGLE = {"mfcc_svm": "audio", "tfidf_logistic": "text"}
"""Systems that have one modality alone."""


@cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", list(overrides), return_hydra_config=True)


def options(cfg: DictConfig) -> Mapping[str, str | None]:
    choices: Mapping[str, str | None] = cfg.hydra.runtime.choices
    return choices


@pytest.mark.parametrize("experiment", EXPERIMENTS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_is_what_its_file_says_whatever_the_experiment(
    system: str, experiment: str
) -> None:
    given = EXPERIMENTS[experiment]
    cfg = composed(*given, f"system={system}")
    parts = chosen_by("system", system)
    assert parts, "a name for nothing"
    assert {group: options(cfg)[group] for group in parts} == parts
    check_system(options(cfg))
    heard = {"audio": cfg.audio_encoder is not None, "text": cfg.text_encoder is not None}
    assert {name for name in heard if heard[name]} == {*SINGLE.get(system, "audio text").split()}
    # Nothing else of the experiment is touched but the size of a batch, which counts dialogues.
    alone = options(composed(*given))
    inner = {key for group, option in parts.items() for key in chosen_by(group, option)}
    of_parts = {group for group in options(cfg) if "@" in group or "/" in group}
    ours = {*parts, *inner, *of_parts, "system"}
    assert {k: v for k, v in options(cfg).items() if k not in ours} == {
        k: v for k, v in alone.items() if k not in ours
    }
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    cfg.pop("hydra")
    cfg.run_dir = "/run"
    check_composed(cfg)


def test_co_attention_listens_with_the_experiments_own_speech_model() -> None:
    assert speech_model("demo") == "logmel_cnn"
    assert speech_model("paper") == "wavlm_base_plus"
    # One without sound, one that mmemo does not have, and none: as published.
    assert {speech_model(name) for name in ("text", "mine", None)} == {"wav2vec2_base"}
    given = "audio_encoder@audio_encoder.speech=hubert_base"
    cfg = composed("experiment=demo", "system=co_attention", given)
    assert cfg.audio_encoder.speech.checkpoint == "facebook/hubert-base-ls960"


@pytest.mark.parametrize(
    ("system", "typed", "problem"),
    [
        ("gated", ["fusion=late"], "expected fusion=gated, of which it is made, got fusion=late"),
        ("co_attention", ["audio_encoder=wavlm_base_plus"], "expected audio_encoder=co_attention"),
        ("co_attention", ["modality=text"], "expected audio_encoder=co_attention"),
        ("mfcc_svm", ["audio_encoder=egemaps"], "expected audio_encoder=mfcc"),
    ],
)
def test_a_system_of_which_a_part_was_replaced_is_refused(
    system: str, typed: list[str], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        check_system(options(composed("experiment=demo", f"system={system}", *typed)))


@pytest.mark.parametrize("typed", ["modality=audio", "encoders=bert", "text_encoder=bert_base"])
def test_what_a_system_leaves_open_may_be_chosen(typed: str) -> None:
    check_system(options(composed("experiment=demo", "system=gated", typed)))


def test_half_of_two_modalities_may_be_left_out_of_a_classical_system() -> None:
    cfg = composed("experiment=demo", "system=mfcc_tfidf_svm", "modality=audio")
    assert (cfg.audio_encoder is None, cfg.text_encoder is None) == (False, True)
    check_system(options(cfg))


@pytest.mark.slow
@pytest.mark.usefixtures("blank_figures")
def test_systems_are_swept_and_compared_with_the_papers_fusion(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    # Encoders that are typed would be of all systems.
    kept = [o for o in small if not o.startswith(("audio_encoder", "text_encoder", "classifier."))]
    swept = ["-m", "experiment=demo", *kept, "+sweep=systems"]
    few = ["system=bottleneck,hybrid_attention,tfidf_logistic", "seed=1,2"]
    small_sizes = ["trainer.max_epochs=1"]
    printed = cli("train", *swept, *few, *small_sizes).stdout
    assert "6 cells: 6 finished" in printed
    runs = sorted(path.parent for path in tmp_path.rglob("run.json"))
    assert len(runs) == 6
    infos = {RunFolder(path).read_info().choices["system"]: path for path in runs}
    for system, path in infos.items():
        info = RunFolder(path).read_info()
        assert (info.num_trainable is None) == (system == "tfidf_logistic")
        assert info.num_trainable in (None, info.num_parameters)
    cli("compare", str(runs[0].parent), "baseline=bottleneck", "comparison.num_resamples=20")
    folder = runs[0].parent / "comparison"
    table = pd.read_csv(folder / "comparison.csv").set_index("group")
    assert set(table.index) == {"bottleneck", "hybrid_attention", "tfidf_logistic"}
    assert table.loc["hybrid_attention", "num_trainable"] > table.loc["bottleneck", "num_trainable"]
    assert table.loc["bottleneck", "fit_s_mean"] > 0
    document = json.loads((folder / "comparison.json").read_text())
    (one,) = document["tables"]
    pairs = {(pair["a"], pair["b"]) for pair in one["differences"]}
    assert {frozenset(pair) for pair in pairs} == {
        frozenset({"bottleneck", other}) for other in ("hybrid_attention", "tfidf_logistic")
    }
    page = (folder / "comparison.md").read_text()
    assert "| group | parameters | trainable | training time |" in page
