"""Every option composes, and fits the signature of what it builds; nothing is built."""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from mmemo.commands.launch import config_dir

# Hydra's own, results that are read as data, and what W&B reads.
NOT_COMPOSED = {"hydra", "published", "wandb"}
# Of `mmemo predict` alone.
PREDICTING = {"asr", "segments"}
# Of `mmemo stress` alone.
STRESS = {"conditions"}
# Given as +GROUP=…: no training has them by itself.
APPENDED = {"sweep", "waveform_baseline", "text_baseline", "methods", "claims", "format"}

FOLDERS = {path.name for path in config_dir().iterdir() if path.is_dir()}
GROUPS = sorted(FOLDERS - NOT_COMPOSED - PREDICTING - STRESS)
OPTIONS = [(g, path.stem) for g in GROUPS for path in sorted((config_dir() / g).glob("*.yaml"))]

# What the commands add when they build an object.
GIVEN = {
    "audio_encoder": set(),
    "text_encoder": set(),
    "fusion": {"input_dims"},
    "context": {"input_dim"},
    "classifier": {"audio_encoder", "text_encoder", "fusion", "num_classes"},
    "module": {"classifier", "num_classes", "loss", "optimizer", "scheduler"},
    "data": {"prepared", "labels", "audio_encoder", "text_encoder"},
    "optimizer": {"params"},
    "explainer": {"classes"},
}


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides)
    cfg.run_dir = "/run"
    return cfg


def targets(node: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from targets(value, f"{path}[{index}]")


@cache
def signature(target: str) -> inspect.Signature:
    return inspect.signature(get_method(target))


def check_signatures(cfg: DictConfig) -> int:
    found = list(targets(OmegaConf.to_container(cfg, resolve=True)))
    for path, node in found:
        bound = signature(node["_target_"])
        arguments = {k: v for k, v in node.items() if not k.startswith("_")}
        arguments |= dict.fromkeys(GIVEN.get(path, set()))
        (bound.bind_partial if node.get("_partial_") else bound.bind)(**arguments)
    return len(found)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_fits(group: str, option: str) -> None:
    root = {"demo": [], "joint": [], "table": ["corpus.csv=/data/own.csv"]}.get(
        option, ["corpus.root=/data"]
    )
    plus = "+" if group in APPENDED else ""
    overrides = [f"{plus}{group}={option}", *root]
    assert check_signatures(composed(overrides)) >= 14


@pytest.mark.parametrize("experiment", ["demo", "paper"])
@pytest.mark.parametrize("left_out", ["audio_encoder=none", "text_encoder=none", "denoiser=off"])
def test_what_is_left_out_of_an_experiment_is_gone(experiment: str, left_out: str) -> None:
    root = ["corpus.root=/data"] if experiment == "paper" else []
    cfg = composed([f"experiment={experiment}", left_out, *root])
    assert cfg[left_out.partition("=")[0]] is None
    check_signatures(cfg)


@pytest.mark.parametrize("option", ["corpus=meld", "corpus=demo", "labels=seven"])
def test_the_audit_composes_and_fits(option: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("audit", [option])
    assert check_signatures(cfg) == (3 if "facts" in cfg.corpus else 2)
    assert set(cfg) == {"corpus", "labels", "prepared", "output_dir", "cache_dir"}


@pytest.mark.parametrize("group", sorted(PREDICTING))
def test_options_of_predicting_compose_and_fit(group: str) -> None:
    for path in (config_dir() / group).glob("*.yaml"):
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            cfg = compose("predict", ["run=RUN", f"{group}={path.stem}"])
        assert check_signatures(cfg) == 1


@pytest.mark.parametrize("option", ["noise", "recordings", "channel", "words", "modality"])
def test_conditions_compose_and_fit(option: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        every = compose("stress", ["run=RUN"])
        cfg = compose("stress", ["run=RUN", f"conditions=[{option}]", "denoiser=off"])
    check_signatures(every)
    assert check_signatures(cfg) >= 2
    assert (set(cfg.conditions) <= set(every.conditions)) == (option != "recordings")


def test_serving_composes_and_explains_as_explaining_does() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        serve, explain = (compose(name, ["run=RUN"]) for name in ("serve", "explain"))
    assert check_signatures(serve) >= 5
    assert serve.explainer == explain.explainer


def test_the_papers_recipe() -> None:
    cfg = composed(["experiment=paper", "corpus.root=/data"])
    assert cfg.audio_encoder.checkpoint == "microsoft/wavlm-base-plus"
    assert cfg.text_encoder.checkpoint == "roberta-base"
    assert (cfg.audio_encoder.fixed_duration_s, cfg.text_encoder.max_tokens) == (8.0, 64)
    assert (cfg.audio_encoder.pooling, cfg.text_encoder.pooling) == ("mean", "first")
    assert (cfg.audio_encoder.layerdrop, cfg.audio_encoder.mask_time_prob) == (0.1, 0.05)
    assert (cfg.fusion.bottleneck_dim, cfg.classifier.hidden_dim) == (256, 256)
    assert (cfg.optimizer.lr, cfg.optimizer.weight_decay) == (2e-5, 0.01)
    assert (cfg.scheduler.warmup_ratio, cfg.trainer.gradient_clip_val) == (0.1, 1.0)
    assert cfg.data.batch_size * cfg.trainer.accumulate_grad_batches == 16
    assert (cfg.trainer.max_epochs, cfg.callbacks.early_stopping.patience) == (15, 2)
    assert cfg.callbacks.checkpoint.monitor == "val/loss"
    assert list(cfg.labels.colours) == ["anger", "joy", "neutral", "sadness", "surprise"]
    assert cfg.text_cleaning._target_.endswith("AlphanumericCleaning")
    assert cfg.denoiser.name == "deepfilternet2"


ROOMS = {
    "asr": "prediction",
    "segments": "audio",
    "corpus": "corpora",
    "labels": "corpora",
    "split": "corpora",
    "denoiser": "audio",
    "data": "data",
    "sampling": "data",
    "text_cleaning": "data",
    "audio_encoder": "models",
    "text_encoder": "models",
    "fusion": "models",
    "context": "models",
    "classifier": "models",
    "distillation": "training",
    "initial": "runs",
    "scheduler": "training",
    "loss": "training",
    "waveform_baseline": "explanation",
    "text_baseline": "explanation",
    "claims": "explanation",
    "logger": "training",
    "format": "export",
    "subgroups": "evaluation",
    "abstention": "evaluation",
}


def test_every_target_is_in_the_room_of_its_group() -> None:
    found = {}
    for path in config_dir().glob("*/*.yaml"):
        target = OmegaConf.load(path).get("_target_")
        if target and target.startswith("mmemo."):
            found[path.parent.name] = target.split(".")[1]
    assert found == ROOMS


def test_only_the_leaky_split_marks_the_run_folder() -> None:
    marks = {
        path.stem: OmegaConf.select(composed([f"split={path.stem}"]), "run_mark")
        for path in (config_dir() / "split").glob("*.yaml")
    }
    assert marks.pop("oversampled_before_split") == "-LEAKY"
    assert {"official", "episode_disjoint", "leave_one_speaker_out"} < set(marks)
    assert set(marks.values()) == {None}


@pytest.mark.parametrize("experiment", ["demo", "paper", "frozen_audio"])
@pytest.mark.parametrize("fusion", [name for group, name in OPTIONS if group == "fusion"])
def test_every_fusion_fits_every_experiment(experiment: str, fusion: str) -> None:
    root = [] if experiment == "demo" else ["corpus.root=/data"]
    cfg = composed([f"experiment={experiment}", f"fusion={fusion}", *root])
    check_signatures(cfg)
    assert cfg.fusion.modality_dropout == 0.0
