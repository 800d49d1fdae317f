"""Whoever says that each step trains all its weights does: several processes wait for them all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from mmemo.commands.launch import config_dir
from mmemo.data.batch import Batch, Collator, Example
from mmemo.data.dialogues import Turn
from mmemo.models.trainable import trains_every_weight
from mmemo.runs.experiment import Encoders, Experiment
from mmemo.training.module import EmotionModule
from tests.test_configs import composed

TRANSCRIPTS = ["", "I am fine, thank you.", "No!", "Why would you say that?"]
SMALL = {
    "fusion": {"bottleneck_dim": 8, "num_heads": 2},
    "context": {
        **{"global_dim": 5, "party_dim": 4, "emotion_dim": 6},
        **{"sequential_dim": 5, "graph_dim": 4},
    },
    "audio_encoder": {"width": 8},
    "text_encoder": {"width": 8, "num_heads": 2, "vocab_size": 300, "max_terms": 20},
    "classifier": {"hidden_dim": 8},
}
OF_MODALITY = {"both": [], "audio": ["text_encoder=none"], "text": ["audio_encoder=none"]}


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))
    return [name for name in found if name != "none"]


@cache
def _composed(*overrides: str) -> DictConfig:
    return composed(["experiment=demo", *overrides])


def built(*overrides: str, **changes: object) -> tuple[EmotionModule, Encoders]:
    """A run's model in small, in training; ``changes`` are of settings, __ standing for the dot."""
    cfg = _composed(*overrides).copy()
    for group, sizes in SMALL.items():
        for name, size in sizes.items():
            if name in (cfg.get(group) or {}):
                OmegaConf.update(cfg, f"{group}.{name}", size)
    for name, value in changes.items():
        OmegaConf.update(cfg, name.replace("__", "."), value)
    torch.manual_seed(0)
    experiment = Experiment(cfg)
    encoders = experiment.build_encoders()
    if encoders.text is not None:
        encoders.text.fit(TRANSCRIPTS)
    module = experiment.build_module(encoders)
    for weight in module.parameters():
        if weight.requires_grad:
            nn.init.normal_(weight, std=0.5)
    return module.train(), encoders


def batch(encoders: Encoders, num: int, turns: Sequence[Turn | None] | None = None) -> Batch:
    """Utterances, the first of no word and the shortest sound; of dialogues where there are any."""
    audio, text = encoders.audio, encoders.text
    examples = [
        Example(
            str(index),
            index % 2,
            None if audio is None else audio.preprocess(0.1 * torch.randn(1 + 2_000 * index)),
            None if text is None else torch.tensor(text.tokenize(TRANSCRIPTS[index % 4]).ids),
            turn=None if turns is None else turns[index],
        )
        for index in range(num)
    ]
    min_samples = 1 if audio is None else audio.min_samples
    fixed_samples = None if audio is None else audio.fixed_samples
    return Collator(min_samples, fixed_samples)(examples)


def left_out(module: EmotionModule, given: Batch) -> set[str]:
    """Trained weights that a step gives no gradient; not even one of 0."""
    module.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(module(given), given.target).backward()
    named = module.named_parameters()
    return {name for name, weight in named if weight.requires_grad and weight.grad is None}


@pytest.mark.parametrize("modality", OF_MODALITY)
@pytest.mark.parametrize("fusion", options("fusion"))
def test_every_fusion_also_where_a_modality_is_left_out(fusion: str, modality: str) -> None:
    for modality_dropout, standardise in ((0.0, False), (1.0, True)):
        module, encoders = built(
            f"fusion={fusion}",
            *OF_MODALITY[modality],
            fusion__modality_dropout=modality_dropout,
            fusion__standardise=standardise,
        )
        assert module.trains_every_weight
        # Of one utterance, the whole batch loses its sound, or its words.
        for num in (1, 1, 1, 3):
            assert left_out(module, batch(encoders, num)) == set()


@pytest.mark.parametrize("speakers", ["a", "abcab", "ab-a"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("context", options("context"))
def test_every_context_model_also_in_dialogues_of_one_utterance(
    context: str, bidirectional: bool, speakers: str
) -> None:
    dialogues = speakers.split("-")
    turns = [Turn(str(n), who) for n, dialogue in enumerate(dialogues) for who in dialogue]
    for fusion in ("bottleneck", "hybrid_attention"):
        module, encoders = built(
            f"context={context}", f"fusion={fusion}", context__bidirectional=bidirectional
        )
        assert module.trains_every_weight
        assert left_out(module, batch(encoders, len(turns), turns)) == set()
        assert left_out(module, batch(encoders, 2)) == set(), "utterances of no dialogue"


@pytest.mark.parametrize("fusion", ["bottleneck", "cross_attention"])
@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        *(("logmel_cnn", {"num_layers": num}) for num in (1, 3)),
        *(("logmel_cnn", {"pooling": pooling}) for pooling in ("mean", "mean_std", "first")),
        *(("mfcc", {}), ("logmel", {}), ("co_attention", {"num_recurrent_layers": 1})),
    ],
)
def test_every_encoder_of_sound(encoder: str, changes: dict[str, object], fusion: str) -> None:
    speech = ["audio_encoder@audio_encoder.speech=logmel_cnn"] * (encoder == "co_attention")
    module, encoders = built(
        f"audio_encoder={encoder}",
        *speech,
        f"fusion={fusion}",
        **{f"audio_encoder__{name}": value for name, value in changes.items()},
    )
    idle = left_out(module, batch(encoders, 3))
    assert module.trains_every_weight == (not idle)
    is_passed_over = encoder == "co_attention" and fusion == "cross_attention"
    assert bool(idle) == is_passed_over, "frames are those of the speech model"
    assert {name.split(".")[2] for name in idle} <= {
        *("convolutions", "recurrence", "co_attention"),
        *("spectrogram_level", "cepstral_level", "speech_level"),
    }


@pytest.mark.parametrize("layerdrop", [0.0, 0.5])
@pytest.mark.parametrize("co_attention", [False, True])
def test_a_speech_model_that_drops_layers_does_not_say_so(
    tiny_wavlm: Path, co_attention: bool, layerdrop: float
) -> None:
    place = "audio_encoder.speech" if co_attention else "audio_encoder"
    settings = {"checkpoint": str(tiny_wavlm), "mask_time_prob": 0.5, "layerdrop": layerdrop}
    chosen = [f"audio_encoder={'co_attention' if co_attention else 'wavlm_base_plus'}"]
    chosen += ["audio_encoder@audio_encoder.speech=wavlm_base_plus"] * co_attention
    module, encoders = built(
        *chosen, **{f"{place}.{name}".replace(".", "__"): v for name, v in settings.items()}
    )
    assert module.trains_every_weight == (layerdrop == 0)
    idle = [left_out(module, batch(encoders, 2)) for _ in range(8 if layerdrop else 2)]
    assert any(idle) == (layerdrop > 0)


@pytest.mark.parametrize("fusion", ["bottleneck", "cross_attention"])
@pytest.mark.parametrize("encoder", ["scratch", "tfidf"])
def test_every_small_encoder_of_words(encoder: str, fusion: str) -> None:
    module, encoders = built(f"text_encoder={encoder}", f"fusion={fusion}")
    assert module.trains_every_weight
    for num in (1, 4):
        assert left_out(module, batch(encoders, num)) == set()


def test_a_part_without_trained_weights_need_not_say_so() -> None:
    silent = nn.Linear(2, 2)
    assert not trains_every_weight(silent)
    assert trains_every_weight(silent.requires_grad_(False))


def test_a_loss_with_weights_that_says_nothing_is_searched() -> None:
    module, _ = built()
    assert module.trains_every_weight
    module.loss.margin = nn.Parameter(torch.zeros(()))
    assert not module.trains_every_weight
