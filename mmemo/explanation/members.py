"""Members of a set of explanations as summaries take them: measured, without the sound itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmemo.explanation.explanation import RECORD_FILE, Explanation
from mmemo.explanation.frames import frame_edges, voiced_frames

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SetMember:
    """What a summary needs of one explanation.

    Args:
        explanation: Without its sound.
        num_samples: Of the sound; 0 without.
        voiced: (F,), which frames are voiced; None without sound.
        unit: What the utterance belongs to, such as its dialogue: utterances of one unit resemble
            each other.
    """

    explanation: Explanation
    num_samples: int
    voiced: NDArray[np.bool_] | None
    unit: str

    @classmethod
    def of(cls, explanation: Explanation, unit: str | None = None) -> SetMember:
        """Measure the sound, then leave it out: thousands of clips do not fit in memory.

        Args:
            explanation: With its sound.
            unit: What it belongs to; None where the utterance is a unit of its own.
        """
        sound, unit = explanation.sound, unit or explanation.key
        if sound is None or len(sound) == 0:
            return cls(replace(explanation, sound=None), 0, None, unit)
        voiced = voiced_frames(sound, explanation.sample_rate)
        return cls(replace(explanation, sound=None), len(sound), voiced, unit)

    @property
    def target(self) -> str:
        """The class that is explained."""
        return self.explanation.target

    @property
    def edges(self) -> Floats:
        """Samples (F + 1,) where its frames begin and end."""
        size = self.explanation.frame_samples
        return frame_edges(-(-self.num_samples // size), size, self.num_samples)

    def frames(self, method: str) -> Floats | None:
        """Attribution (F,) of the sound by one of ``METHODS``; None where there is none."""
        found = self.explanation.attributions.get(method)
        return None if found is None or self.num_samples == 0 else found.frames

    def words(self, method: str) -> Floats | None:
        """Attribution (W,) of the words by one of ``METHODS``; None where there is none."""
        found = self.explanation.attributions.get(method)
        return None if found is None else found.words


def explanation_folders(root: Path) -> list[Path]:
    """Folders below a folder that hold a complete explanation, in order."""
    return sorted(path.parent for path in root.rglob(RECORD_FILE))


def read_members(folders: Iterable[Path], units: Mapping[str, str]) -> list[SetMember]:
    """Read explanations one by one.

    Args:
        folders: Of the explanations.
        units: What utterances belong to, by key; another is a unit of its own.

    Raises:
        InputError: If the files of one cannot be read.
    """
    found = (Explanation.load(folder) for folder in folders)
    return [SetMember.of(explanation, units.get(explanation.key)) for explanation in found]


def explained_classes(members: Sequence[SetMember]) -> list[str]:
    """Classes that are explained at least once, in label order."""
    found = {member.target for member in members}
    names = dict.fromkeys(name for member in members for name in member.explanation.classes)
    return [name for name in names if name in found]
