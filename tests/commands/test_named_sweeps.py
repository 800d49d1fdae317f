"""The cells of the named sweeps, as Hydra's own sweeper makes them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig

from mmemo.commands import train
from mmemo.commands.launch import config_dir
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli

DEMO, PAPER = ["experiment=demo"], ["experiment=paper", "corpus.root=/data"]

AXES = {
    "bottleneck": {"fusion.bottleneck_dim": ["128", "256", "512"]},
    "denoise": {"denoiser": ["deepfilternet2", "off"]},
    "unimodal": {"modality": ["both", "audio", "text"]},
    "fusion": {
        "fusion": [
            *("bottleneck", "gated", "late", "cross_attention"),
            *("hybrid_attention", "key_sparse", "label_guided", "squeeze_excitation"),
        ]
    },
    "seeds": {"seed": ["42", "123", "2025"]},
    "systems": {
        "seed": ["1", "2", "3"],
        "system": [
            *("bottleneck", "gated", "late", "cross_attention", "hybrid_attention", "key_sparse"),
            *("label_guided", "squeeze_excitation", "co_attention", "dialogue_rnn"),
            *("dialogue_gcn", "mfcc_svm", "tfidf_logistic", "mfcc_tfidf_svm"),
        ],
    },
}
AXES |= {
    "[bottleneck,seeds]": AXES["bottleneck"] | AXES["seeds"],
    "[unimodal,denoise]": AXES["unimodal"] | AXES["denoise"],
    "[fusion,unimodal,seeds]": AXES["fusion"] | AXES["unimodal"] | AXES["seeds"],
    "paper_ablation": AXES["bottleneck"] | AXES["denoise"] | AXES["seeds"],
    "paper_table3": {
        "encoders": ["roberta", "bert", "distilbert", "wavlm", "wav2vec2", "wavlm_roberta"]
    }
    | AXES["seeds"],
}

WAVLM, WAV2VEC2 = "microsoft/wavlm-base-plus", "facebook/wav2vec2-base"
TABLE_3 = {
    "roberta": (None, "roberta-base"),
    "bert": (None, "bert-base-uncased"),
    "distilbert": (None, "distilbert-base-uncased"),
    "wavlm": (WAVLM, None),
    "wav2vec2": (WAV2VEC2, None),
    "wavlm_roberta": (WAVLM, "roberta-base"),
}


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("train", overrides, return_hydra_config=True)


def encoders(cfg: DictConfig) -> tuple[str | None, str | None]:
    audio, text = (part and part.checkpoint for part in (cfg.audio_encoder, cfg.text_encoder))
    return audio, text


def test_every_sweep_is_looked_at() -> None:
    names = {path.stem for path in (config_dir() / "sweep").glob("*.yaml")}
    # Optuna draws its cells; those of all_folds are counted in the corpus.
    assert names - {"optuna", "all_folds"} == {name for name in AXES if not name.startswith("[")}


@pytest.mark.parametrize("chosen", AXES)
def test_a_named_sweep_has_just_these_cells(chosen: str) -> None:
    cfg = composed([*PAPER, f"+sweep={chosen}"])
    assert cfg.hydra.mode == RunMode.MULTIRUN
    axes = [f"{key}={values}" for key, values in cfg.hydra.sweeper.params.items()]
    parsed = OverridesParser.create().parse_overrides(axes)
    (cells,) = BasicSweeper.split_arguments(parsed, None)
    expected = product(*([f"{key}={v}" for v in values] for key, values in AXES[chosen].items()))
    assert sorted(sorted(cell) for cell in cells) == sorted(sorted(cell) for cell in expected)


@pytest.mark.parametrize("seed", ["42", "2025"])
def test_every_cell_of_table_3_has_its_encoders(seed: str) -> None:
    found = {}
    for name in AXES["paper_table3"]["encoders"]:
        cfg = composed([*PAPER, f"encoders={name}", f"seed={seed}"])
        assert str(cfg.seed) == seed
        found[name] = encoders(cfg)
    assert found == TABLE_3


def test_every_cell_of_the_ablation_has_its_bottleneck_and_sound() -> None:
    ablation = AXES["bottleneck"]["fusion.bottleneck_dim"], AXES["denoise"]["denoiser"]
    for dim, denoiser in product(*ablation):
        cfg = composed([*PAPER, f"fusion.bottleneck_dim={dim}", f"denoiser={denoiser}"])
        assert encoders(cfg) == TABLE_3["wavlm_roberta"]
        assert cfg.fusion.bottleneck_dim == int(dim)
        assert (cfg.denoiser is None) == (denoiser == "off")


@pytest.mark.parametrize("fusion", AXES["fusion"]["fusion"])
@pytest.mark.parametrize("experiment", [DEMO, PAPER])
def test_a_modality_wins_over_the_experiments_encoders(experiment: list[str], fusion: str) -> None:
    left = {}
    for name in AXES["unimodal"]["modality"]:
        cfg = composed([*experiment, f"fusion={fusion}", f"modality={name}"])
        left[name] = (cfg.audio_encoder is not None, cfg.text_encoder is not None)
    assert left == {"both": (True, True), "audio": (True, False), "text": (False, True)}


Ran = Callable[..., list[tuple[int, int]]]


@pytest.fixture
def ran(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Size of the bottleneck and seed of each cell that a command trains."""

    def run(*arguments: str) -> list[tuple[int, int]]:
        done = []

        def note(cfg: DictConfig) -> float:
            done.append((cfg.fusion.bottleneck_dim, cfg.seed))
            folder = RunFolder.create(Path(cfg.run_dir))
            with folder.working():
                folder.write_info(best_score=1.0)
            return 1.0

        monkeypatch.setattr(train, "run", note)
        cli("train", *DEMO, *arguments)
        return done

    return run


def test_what_is_given_by_hand_wins_over_the_sweep(ran: Ran) -> None:
    assert ran("+sweep=[bottleneck,seeds]", "seed=7") == [(128, 7), (256, 7), (512, 7)]
    assert ran("+sweep=bottleneck", "fusion.bottleneck_dim=8,16", "seed=3") == [(8, 3), (16, 3)]


def test_another_axis_is_swept_by_hand_beside_a_named_one(ran: Ran) -> None:
    found = ran("+sweep=seeds", "fusion.bottleneck_dim=8,16")
    assert sorted(found) == sorted(product((8, 16), (42, 123, 2025)))
