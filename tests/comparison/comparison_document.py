"""A hand-made comparison document: two protocols, four groups of three seeds, all parts.

It is made as JSON holds it, so that tests can change it, and ``typed`` reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from mmemo.comparison.document import ComparisonDocument

CLASSES = ["anger", "joy", "neutral"]
SEEDS = [1, 2, 3]
HOSTILE = "<script>alert('x')</script> & 50%_$#{}~^\\"


def typed(document: dict[str, Any]) -> ComparisonDocument:
    return TypeAdapter(ComparisonDocument).validate_python(document)


def spread(mean: float, step: float = 0.01, **more: object) -> dict[str, Any]:
    """Three seeds whose mean and standard deviation are exactly the arguments."""
    values = [round(value, 6) for value in (mean - step, mean, mean + step)]
    return {"mean": values[1], "sd": step, "values": values, **more}


def single(value: float, **more: object) -> dict[str, Any]:
    rounded = round(value, 6)
    return {"mean": rounded, "sd": None, "values": [rounded], **more}


def scores(
    mean: float, of: Callable[..., dict[str, Any]] = spread, **more: object
) -> dict[str, Any]:
    return {
        "accuracy": of(mean + 0.02, **more),
        "macro_f1": of(mean - 0.02, **more),
        "weighted_f1": of(mean, **more),
    }


def curve(seed: int, num_epochs: int = 4) -> dict[str, Any]:
    epochs = list(range(num_epochs))
    rising = [round(0.3 + 0.4 * (1 - 0.8**epoch) + 0.01 * seed, 4) for epoch in epochs]
    return {
        "seed": seed,
        "chosen_epoch": num_epochs - 2,
        "epoch": epochs,
        "metrics": {
            "train/loss": [round(1.6 * 0.85**epoch, 4) for epoch in epochs],
            "val/loss": [round(1.6 * 0.9**epoch + 0.001 * epoch**2, 4) for epoch in epochs],
            "val/macro_f1": rising,
            "val/weighted_f1": [value if epoch else None for epoch, value in enumerate(rising)],
        },
    }


def calibration(of: Callable[..., dict[str, Any]] = spread) -> dict[str, Any]:
    bins = [
        {"confidence": 0.45, "accuracy": 0.4, "count": 30},
        {"confidence": 0.75, "accuracy": 0.6, "count": 90},
        {"confidence": 0.95, "accuracy": 0.8, "count": 228},
    ]
    scaled = [{**row, "confidence": round(row["confidence"] - 0.1, 3)} for row in bins]
    return {
        "temperature": of(1.5, 0.1) if of is spread else of(1.5),
        "ece": of(0.12),
        "ece_scaled": of(0.04),
        "brier": of(0.35),
        "brier_scaled": of(0.31),
        "num_bins": 15,
        "reliability": bins,
        "reliability_scaled": scaled,
    }


def group(
    name: str, mean: float, modalities: str = "audio+text", seeds: list[int] | None = None
) -> dict[str, Any]:
    seeds = SEEDS if seeds is None else seeds
    of = spread if len(seeds) == 3 else single
    return {
        "name": name,
        "settings": {"fusion.bottleneck_dim": 128},
        "modalities": modalities,
        "seeds": seeds,
        "runs": [f"outputs/{name.replace(', ', '_')}/seed{seed}" for seed in seeds],
        "val": scores(mean, of),
        "test": scores(
            mean - 0.05,
            of,
            interval=[round(mean - 0.1, 6), mean] if of is spread else None,
            interval_models=[round(mean - 0.07, 6), round(mean - 0.03, 6)],
        ),
        "per_class_f1": {c: of(mean - 0.1 * i) for i, c in enumerate(CLASSES)},
        "confusion": [[90, 6, 12], [10, 70, 10], [5, 25, 120]],
        "num_parameters": 1_234_567,
        "fit_s": of(90.0, 3.0) if of is spread else of(90.0),
        "samples_per_s": of(512.0, 12.0) if of is spread else of(512.0),
        "curves": [curve(seed) for seed in seeds],
        "calibration": calibration(of),
    }


def difference(a: str, b: str, value: float) -> dict[str, Any]:
    return {
        "a": a,
        "b": b,
        "difference": value,
        "interval": [value - 0.02, value + 0.02],
        "setting_p": 0.02,
        "interval_models": [value - 0.01, value + 0.01],
        "bootstrap_p": 0.01,
        "randomisation_p": 0.0004,
        "mcnemar": [
            {"seed": seed, "p": 0.01 * seed, "only_a_right": 9, "only_b_right": 3} for seed in SEEDS
        ],
        "wilcoxon": {"p": 0.25, "smallest_p": 0.25, "num_pairs": 3},
        "sign_test": {"p": 0.5, "smallest_p": 0.25, "num_pairs": 3},
        "holm": {"setting_p": 0.06, "bootstrap_p": 0.03, "randomisation_p": 0.0012},
    }


def inference(num_comparisons: int = 3, **changes: object) -> dict[str, Any]:
    return {
        "unit": "dialogue",
        "num_units": 36,
        "effective_units": 31.4,
        "is_unit_of_split": True,
        "kinds": {"interval": "the setting", "interval_models": "these trained models"},
        "num_comparisons": num_comparisons,
        "num_resamples": 1000,
        "smallest_p": {"bootstrap_p": 0.003, "randomisation_p": 0.001},
        "smallest_adjusted_p": {"bootstrap_p": 0.009, "randomisation_p": 0.003},
    } | changes


def gain_row(value: str, num: int, over_audio: float) -> dict[str, Any]:
    return {
        "value": value,
        "num": num,
        "both": 0.8,
        "audio": 0.6,
        "text": 0.7,
        "gain_over_audio": spread(over_audio),
        "gain_over_text": spread(-0.05),
    }


def modality_gain() -> dict[str, Any]:
    return {
        "models": {"audio+text": "both", "audio": "audio alone", "text": "text alone"},
        "seeds": SEEDS,
        "num_utterances": 116,
        "by": {
            "class": [gain_row("joy", 30, 0.2), gain_row("anger", 36, 0.1)],
            "duration_s": [gain_row("under 1 s", 20, 0.05)],
            "num_words": [gain_row("1 to 3", 40, 0.15)],
            "speaker": [gain_row("Ross", 50, 0.12), gain_row("the rest", 66, 0.08)],
        },
        "agreement": {
            "both_right": 0.5,
            "only_audio_right": 0.1,
            "only_text_right": 0.25,
            "neither_right": 0.15,
            "kappa": 0.31,
        },
        "oracle": {"accuracy": 0.85, "macro_f1": 0.84},
        "fused": {"accuracy": 0.8, "macro_f1": 0.78},
        "notes": [],
    }


def published(system: str, **changes: object) -> dict[str, Any]:
    entry = {
        "corpus": "demo",
        "system": system,
        "modalities": "audio+text",
        "context": "none",
        "metric": "weighted_f1",
        "classes": CLASSES,
        "split": "official",
        "value": 0.637,
        "sd": 0.009,
        "num_runs": 5,
        "source": "Doe 2020",
        "differs": [],
    }
    return entry | changes


def protocol(**changes: object) -> dict[str, Any]:
    return {
        "corpus": "demo",
        "corpus_split": "its own",
        "labels": "three",
        "classes": CLASSES,
        "split": "official",
        "split_settings": {},
        "leaky": False,
        "missing": None,
        "num_utterances": {"val": 73, "test": 116},
        "val_utterances": "v1",
        "test_utterances": "t1",
    } | changes


def comparison(first_name: str = "bottleneck_dim=128") -> dict[str, Any]:
    names = [first_name, "bottleneck_dim=256", "audio_encoder=none", "text_encoder=none"]
    official = {
        "protocol": protocol(),
        "stamp": "official",
        "leak_warning": None,
        "differs": {},
        "inference": inference(),
        "fold_choice": None,
        "groups": [
            group(names[0], 0.85),
            group(names[1], 0.83),
            group(names[2], 0.8, "text"),
            group(names[3], 0.6, "audio"),
        ],
        "baseline": names[1],
        "differences": [
            difference(names[0], names[1], 0.02),
            difference(names[2], names[1], -0.03),
            difference(names[3], names[1], -0.23),
        ],
        "notes": ["With 3 seeds no two-sided p below 0.05 is attainable over seeds (least 0.25)."],
        "modality_gain": modality_gain(),
        "published": [
            published("A published one"),
            published(
                "Another metric", metric="accuracy", sd=None, num_runs=None, differs=["metric"]
            ),
        ],
    }
    leaky = {
        "protocol": protocol(
            split="oversampled_before_split",
            leaky=True,
            num_utterances={"val": 120, "test": 130},
        ),
        "stamp": "oversampled_before_split (LEAKY)",
        "leak_warning": "LEAKY: 90.0 % of the 130 rows of test have a copy in training.",
        "differs": {
            "split": ["official", "oversampled_before_split"],
            "leaky": [False, True],
            "num_utterances": [{"val": 73, "test": 116}, {"val": 120, "test": 130}],
        },
        "inference": inference(0, is_unit_of_split=False, effective_units=36.0),
        "fold_choice": None,
        "groups": [group("bottleneck_dim=128", 0.97, seeds=[1])],
        "baseline": None,
        "differences": [],
        "notes": [],
        "modality_gain": None,
        "published": [],
    }
    return {
        "metric": "weighted_f1",
        "selected_on": "val",
        "reported_on": "test",
        "confidence": 0.95,
        "num_resamples": 1000,
        "seed": 0,
        "tables": [official, leaky],
        "left_out": [{"run": "outputs/killed", "reason": "not finished: status running"}],
    }
