"""A recogniser of speech whose words are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmemo.audio.denoisers import Samples
from mmemo.prediction.answers import SpokenWord


class LengthRecogniser:
    """Writes down how long each sound is, in tenths of a second; tells what it was built with."""

    built: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        self.built.append(settings)

    def __call__(self, speech: Sequence[Samples]) -> list[tuple[SpokenWord, ...]]:
        """Two words of each."""
        words = ("length", *(f"{len(one) / 1_600:.0f}" for one in speech))
        return [(SpokenWord(words[0], 0.0, 0.1), SpokenWord(n, 0.1, 0.2)) for n in words[1:]]
