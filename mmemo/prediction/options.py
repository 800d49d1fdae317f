"""How answers are made: what is chosen beside the models and what they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmemo.audio.denoisers import Samples
from mmemo.audio.reading import Reading
from mmemo.audio.recordings import Cutter
from mmemo.prediction.answers import SpokenWord


class Transcriber(Protocol):
    """Writes down what is said."""

    def __call__(self, speech: Sequence[Samples]) -> list[tuple[SpokenWord, ...]]:
        """The words of each sound (T,) float32 at 16 kHz, with their times."""
        ...


@dataclass(frozen=True)
class PredictionOptions:
    """How answers are made.

    Args:
        cutter: What stretches of a recording are answered; None for each as a whole.
        transcriber: Writes down words that are not given; None for nobody.
        calibrated: Whether probabilities are, by the temperature that validation fitted.
        embeddings: Whether vectors are given too.
        num_workers: Processes that decode and denoise; None to choose by how many recordings
            there are, 0 for none.
        audio_track: Of a file's sound tracks the one that is heard: its number from 0, or its
            language; None for its default one.
    """

    cutter: Cutter | None = None
    transcriber: Transcriber | None = None
    calibrated: bool = True
    embeddings: bool = False
    num_workers: int | None = None
    audio_track: int | str | None = None

    def __post_init__(self) -> None:
        """Check the track."""
        Reading(self.audio_track).check("")
