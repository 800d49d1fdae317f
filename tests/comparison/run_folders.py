"""Run folders written by hand, as `mmemo train` leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

CLASSES = ["anger", "joy", "neutral"]


def predictions(
    split: str, targets: str, preds: str, dialogues: str | None = None, classes: str = "ajn"
) -> pd.DataFrame:
    """A table from first letters: targets ``ajn``, preds ``aan``, a digit or letter a dialogue."""
    names = dict(zip(classes, CLASSES, strict=True))
    rows = []
    for number, (target, pred) in enumerate(zip(targets, preds, strict=True)):
        right = 0.8
        rows.append(
            {
                "key": f"{split}/{number}",
                "split": split,
                "corpus_split": split,
                "split_protocol": "official",
                "dialogue_id": int((dialogues or "0" * len(targets))[number], 36),
                "utterance_id": number,
                "speaker": "Ada" if number % 2 else "Ben",
                "transcript": "well " * (number + 1),
                "target": names[target],
                "pred": names[pred],
                **{f"prob_{n}": right if n == names[pred] else (1 - right) / 2 for n in CLASSES},
            }
        )
    return pd.DataFrame(rows)


def write_run(
    path: Path,
    test: pd.DataFrame,
    val: pd.DataFrame | None = None,
    seed: int = 1,
    settings: dict[str, Any] | None = None,
    protocol: dict[str, Any] | None = None,
    info: dict[str, Any] | None = None,
) -> Path:
    """A finished run; settings are dotted keys of the composed config."""
    path.mkdir(parents=True)
    if val is None:
        keys = [f"val/{key}" for key in test["key"]]
        val = test.assign(split="val", corpus_split="val", key=keys)
    given = {
        "name": "demo",
        "seed": seed,
        "corpus": "demo",
        "corpus_split": "its own",
        "split": "official",
        "leaky": False,
        "leak_shares": {"val": 0.0, "test": 0.0},
        "split_settings": {},
        "labels": "three",
        "classes": CLASSES,
        "num_utterances": {"train": 50, "val": len(val), "test": len(test)},
        "audio_encoder": "LogMelEncoder",
        "text_encoder": "ScratchTextEncoder",
        "checkpoint_epoch": 1,
        "missing": None,
    }
    composed: dict[str, Any] = {
        "seed": seed,
        "name": "demo",
        "run_dir": str(path),
        "audio_encoder": {"_target_": "mmemo.models.logmel_encoder.LogMelEncoder"},
        "text_encoder": {"_target_": "mmemo.models.scratch_text_encoder.ScratchTextEncoder"},
        "fusion": {"_target_": "mmemo.models.fusion.BottleneckFusion", "bottleneck_dim": 64},
        "data": {"seed": "${seed}", "num_workers": seed},
    }
    for key, value in (settings or {}).items():
        section, _, last = key.partition(".")
        if last:
            composed[section] = {**(composed.get(section) or {}), last: value}
        else:
            composed[section] = value
    document = {"protocol": {**given, **(protocol or {})}, "splits": {}}
    status = {"status": "finished", "started": f"2026-01-0{seed}", "fit_s": 10.0}
    status |= {"num_parameters": 1000, "git_commit": "abc", "git_dirty": False}
    (path / "run.json").write_text(json.dumps({**status, **(info or {})}))
    (path / "metrics.json").write_text(json.dumps(document))
    (path / "composed.yaml").write_text(yaml.safe_dump(composed))
    (path / "data.json").write_text(json.dumps({"prepared": {"digest": "d1"}}))
    pd.concat([val, test]).to_parquet(path / "predictions.parquet", index=False)
    curves = {"epoch": [0, 1], "step": [5, 10], "val/loss": [1.0, 0.5], "train/loss": [1.1, None]}
    pd.DataFrame(curves).to_csv(path / "history.csv", index=False)
    return path
