"""A stress test's results, written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mmemo.stress.document import (
    METRICS,
    ConditionResult,
    Conflict,
    ConflictCell,
    DenoisingGain,
    StressDocument,
    StressScore,
    WinningShare,
)
from tests.run_documents import protocol

CLEAN = 0.8
HOSTILE = "<script>alert(1)</script>"


def scores(difference: float, half: float | None = 0.1) -> Mapping[str, StressScore]:
    """The same of each metric; no interval without ``half``."""
    bounds = None if half is None else (difference - half, difference + half)
    return dict.fromkeys(METRICS, StressScore(CLEAN + difference, difference, bounds))


def result(
    panel: str,
    level: str,
    difference: float,
    value: float | None = None,
    **changes: Any,  # noqa: ANN401
) -> ConditionResult:
    made = ConditionResult(
        panel=panel,
        curve="",
        level=level,
        value=value,
        axis="SNR, dB" if value is not None else "",
        denoiser="deepfilternet2 1-55a1",
        as_trained=True,
        num_utterances=3,
        word_error_rate=None,
        scores=scores(difference),
    )
    return replace(made, **changes)


def gain(
    level: str, value: float | None, difference: float, more: float | None = None
) -> DenoisingGain:
    """With how much more it is than of clean sound."""
    beyond = None if more is None else scores(more)
    return DenoisingGain("white noise", "", level, value, "SNR, dB", scores(difference), beyond)


def document(**changes: Any) -> StressDocument:  # noqa: ANN401
    otherwise: dict[str, Any] = {"denoiser": None, "as_trained": False}
    made = StressDocument(
        run=HOSTILE,
        protocol=protocol(),
        mmemo_version="0.1.0",
        seed=0,
        num_utterances=3,
        num_of_test=3,
        num_decoded=3,
        hears=True,
        denoiser="deepfilternet2 1-55a1",
        other_denoiser=None,
        unit="dialogue",
        num_units=30,
        confidence=0.95,
        interval_kind="dialogues drawn anew",
        withheld=False,
        majority=dict.fromkeys(METRICS, 0.3),
        largest_difference=1e-8,
        clean=dict.fromkeys(METRICS, CLEAN),
        conditions=(
            result("white noise", "10", -0.1, 10.0),
            result("white noise", "0", -0.3, 0.0),
            result("white noise", "clean", -0.2, axis="SNR, dB", **otherwise),
            result("white noise", "10", -0.2, 10.0, **otherwise),
            result("white noise", "0", -0.5, 0.0, **otherwise),
            result("other words", "no punctuation", -0.05, word_error_rate=0.0),
        ),
        denoising=(
            gain("clean", None, 0.2),
            gain("10", 10.0, 0.05, -0.15),
            gain("0", 0.0, 0.2, 0.0),
        ),
        conflict=Conflict(
            tuple(
                ConflictCell(sound, words, 10, (5, 3, 2))
                for sound in ("anger", "joy", "neutral")
                for words in ("anger", "joy", "neutral")
            ),
            60,
            WinningShare(1 / 3, (0.2, 0.5)),
            WinningShare(1 / 3, None),
            WinningShare(1 / 3, None),
        ),
        num_passes=21,
        seconds=1.0,
    )
    return replace(made, **changes)
