from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from mmemo.commands.launch import config_dir

DEMO, PAPER = ["experiment=demo"], ["experiment=paper", "corpus.root=/data"]


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", overrides, return_hydra_config=True)


def cells(overrides: list[str], chosen: str) -> list[tuple[str, ...]]:
    """What Hydra's own sweeper makes of a sweep."""
    cfg = composed([*overrides, f"+sweep={chosen}"])
    assert cfg.hydra.mode == RunMode.MULTIRUN
    axes = [f"{key}={values}" for key, values in cfg.hydra.sweeper.params.items()]
    parsed = OverridesParser.create().parse_overrides(axes)
    (batch,) = BasicSweeper.split_arguments(parsed, None)
    return [tuple(cell) for cell in batch]


@pytest.mark.parametrize(
    ("chosen", "count", "first"),
    [
        ("bottleneck", 3, ("fusion.bottleneck_dim=128",)),
        ("denoise", 2, ("denoiser=deepfilternet2",)),
        ("unimodal", 3, ("modality=both",)),
        ("fusion", 4, ("fusion=bottleneck",)),
        ("seeds", 3, ("seed=42",)),
        ("[bottleneck,seeds]", 9, ("fusion.bottleneck_dim=128", "seed=42")),
        ("[unimodal,denoise]", 6, ("modality=both", "denoiser=deepfilternet2")),
        ("paper_table3", 18, ("encoders=roberta", "seed=42")),
        (
            "paper_ablation",
            18,
            ("fusion.bottleneck_dim=128", "denoiser=deepfilternet2", "seed=42"),
        ),
    ],
)
def test_a_named_sweep_has_these_cells(chosen: str, count: int, first: tuple[str, ...]) -> None:
    found = cells(PAPER, chosen)
    assert len(found) == len(set(found)) == count
    assert found[0] == first


def test_every_cell_of_table_3_has_its_encoders() -> None:
    checkpoints = {}
    for encoders, _ in cells(PAPER, "paper_table3")[::3]:
        cfg = composed([*PAPER, encoders])
        checkpoints[encoders.partition("=")[2]] = tuple(
            part and part.checkpoint for part in (cfg.audio_encoder, cfg.text_encoder)
        )
    assert checkpoints == {
        "roberta": (None, "roberta-base"),
        "bert": (None, "bert-base-uncased"),
        "distilbert": (None, "distilbert-base-uncased"),
        "wavlm": ("microsoft/wavlm-base-plus", None),
        "wav2vec2": ("facebook/wav2vec2-base", None),
        "wavlm_roberta": ("microsoft/wavlm-base-plus", "roberta-base"),
    }


@pytest.mark.parametrize("experiment", [DEMO, PAPER])
def test_a_modality_wins_over_the_experiments_encoders(experiment: list[str]) -> None:
    left = {}
    for name in ("both", "audio", "text"):
        cfg = composed([*experiment, f"modality={name}"])
        left[name] = (cfg.audio_encoder is not None, cfg.text_encoder is not None)
    assert left == {"both": (True, True), "audio": (True, False), "text": (False, True)}
