"""Stretches of speech between the pauses of a long recording."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mmemo.audio.media import Sound, resample
from mmemo.audio.recordings import SPEECH_RATE, Span
from mmemo.extras import import_package
from mmemo.values import check_real


@dataclass(frozen=True)
class SpeechSegments:
    """Cuts at pauses, by silero-vad.

    Source: Silero Team 2024, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector",
    whose package carries its model.

    Args:
        threshold: Probability of speech from which a moment counts as speech.
        min_pause_s: Shorter pauses do not end a stretch.
        min_speech_s: Shorter stretches are left out.
        margin_s: What a stretch is given on both sides.
        max_duration_s: Longer stretches are cut, at their last pause if they have one; None for
            any length.

    Raises:
        InputError: If a number is out of its range, or the package is not installed.
    """

    threshold: float = 0.5
    min_pause_s: float = 0.3
    min_speech_s: float = 0.25
    margin_s: float = 0.1
    max_duration_s: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers, and that the package is there."""
        check_real("segments.threshold", self.threshold, 0, below=1)
        for name in ("min_pause_s", "min_speech_s", "margin_s"):
            check_real(f"segments.{name}", getattr(self, name), 0)
        _loaded()

    def __call__(self, sound: Sound, span: Span) -> list[Span]:
        """Stretches of speech within the span."""
        first, last = (round(time_s * sound.sample_rate) for time_s in span)
        speech = resample(sound.waveform[first:last], sound.sample_rate, SPEECH_RATE)
        package, model = _loaded()
        found = package.get_speech_timestamps(
            _as_tensor(speech),
            model,
            threshold=self.threshold,
            sampling_rate=SPEECH_RATE,
            min_speech_duration_ms=round(1000 * self.min_speech_s),
            max_speech_duration_s=self.max_duration_s or math.inf,
            min_silence_duration_ms=round(1000 * self.min_pause_s),
            speech_pad_ms=round(1000 * self.margin_s),
        )
        begin, end = span
        return [
            (begin + part["start"] / SPEECH_RATE, min(begin + part["end"] / SPEECH_RATE, end))
            for part in found
        ]


def _as_tensor(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Any:  # noqa: ANN401
    import torch

    return torch.from_numpy(samples)


@cache
def _loaded() -> tuple[Any, Any]:
    """The package and its model, once for each process."""
    import torch

    num_threads = torch.get_num_threads()
    try:
        silero_vad = import_package("segments=speech", "silero_vad", "vad")
    finally:
        # The package sets it to one when it is imported.
        torch.set_num_threads(num_threads)
    return silero_vad, silero_vad.load_silero_vad(onnx=True)
