"""Explanations with numbers that can be followed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mmemo.commands.launch import config_dir
from mmemo.explanation.claims import PaperClaims
from mmemo.explanation.explanation import (
    Attribution,
    Convergence,
    ExplainerSettings,
    Explanation,
    ModalityShapley,
    Word,
)
from mmemo.explanation.inputs import word_spans

RATE = 16_000
FRAME = 320

PAPER: PaperClaims = instantiate(
    OmegaConf.load(config_dir() / "claims" / "pandey2025.yaml"), _convert_="all"
)


def made(
    key: str = "test/dia0_utt0",
    transcript: str = "No, not again!",
    target: str = "anger",
    frames: Sequence[float] | None = (0.0, 2.0, -1.0, 0.5),
    words: Sequence[float] | None = (0.5, -0.25, 1.0),
    occlusion: Attribution | None = None,
    shapley: dict[str, float] | None = None,
    sound: np.ndarray | None = None,
    further: Mapping[str, Attribution] | None = None,
) -> Explanation:
    """Two classes, Integrated Gradients as given, a quiet 200 Hz tone of as many frames."""
    num_frames = 0 if frames is None else len(frames)
    if sound is None and num_frames:
        times = np.arange(num_frames * FRAME) / RATE
        sound = (0.25 * np.sin(2 * np.pi * 200 * times)).astype(np.float32)
    gradients = Attribution(
        None if frames is None else np.array(frames, dtype=np.float64),
        None if words is None else np.array(words, dtype=np.float64),
    )
    others = {**({} if occlusion is None else {"occlusion": occlusion}), **(further or {})}
    values = shapley if shapley is not None else {"audio": 1.0, "text": 2.0}
    return Explanation(
        key=key,
        classes=("anger", "joy"),
        probabilities=np.array([0.75, 0.25]),
        predicted="anger",
        true="joy",
        target=target,
        output="log_odds",
        sound=sound,
        sample_rate=RATE,
        transcript=transcript,
        words=tuple(Word(transcript[a:b], a, b) for a, b in word_spans(transcript)),
        attributions={"integrated_gradients": gradients, **others},
        convergence=Convergence.of(2.0, -1.0, 0.03),
        shapley=ModalityShapley(values, {"none": -1.0, "audio+text": 2.0}),
        forward_passes=9,
        backward_passes=4,
        settings=ExplainerSettings("log_odds"),
        seed=0,
        notes=("a note",),
    )
