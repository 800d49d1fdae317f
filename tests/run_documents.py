"""Documents of a run, written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mmemo.evaluation.protocol import Protocol
from mmemo.evaluation.run_metrics import (
    Averages,
    ClassScores,
    MajorityBaseline,
    SplitMetrics,
)

PROTOCOL = Protocol(
    name="demo",
    seed=1,
    corpus="demo",
    corpus_split="its own",
    split="official",
    leaky=False,
    leak_shares={"val": 0.0, "test": 0.0},
    split_settings={},
    labels="three",
    classes=("anger", "joy", "neutral"),
    num_utterances={"train": 50, "val": 3, "test": 3},
    audio_encoder="LogMelEncoder",
    text_encoder="ScratchTextEncoder",
    checkpoint_epoch=1,
)


def protocol(**changes: Any) -> Protocol:  # noqa: ANN401
    """A protocol of an official split, with some fields changed."""
    return replace(PROTOCOL, **changes)


def split_metrics(accuracy: float, macro_f1: float = 0.5, weighted_f1: float = 0.5) -> SplitMetrics:
    """Metrics of a split with one class."""
    return SplitMetrics(
        num_utterances=3,
        accuracy=accuracy,
        macro=Averages(0.5, 0.5, macro_f1),
        weighted=Averages(0.5, 0.5, weighted_f1),
        per_class={"joy": ClassScores(0.5, 0.5, 0.5, 3, None)},
        auroc_macro=None,
        ece=0.1,
        majority_baseline=MajorityBaseline("joy", 0.5, 0.5, 0.5),
    )
