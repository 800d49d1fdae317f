"""An explanation of one prediction, and its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mmemo.errors import InputError
from mmemo.explanation.frames import FRAME_MS, frame_samples
from mmemo.explanation.words import Word
from mmemo.folders import write_whole, written_whole

Floats = NDArray[np.float64]

ARRAYS_FILE = "explanation.npz"
RECORD_FILE = "explanation.json"
MAX_RELATIVE_DELTA = 0.05
"""Beyond it an explanation by Integrated Gradients has not converged."""

UNITS = {
    "sound": "amplitude, full scale 1, one value per sample",
    "sample_rate": "Hz",
    "frame_ms": "ms",
    "probabilities": "share of 1, in the order of classes",
    "integrated_gradients": "of output, signed; sums over the samples of a frame or the subwords "
    "of a word",
    "occlusion": "of output: what it loses; mean over the windows that cover a frame, or by word",
    "convergence": "of output; delta is that of the worst draw of the baseline; relative_delta is "
    "a share of 1",
    "shapley": "of output",
    "words": "start and stop are characters of transcript",
}


@dataclass(frozen=True)
class Attribution:
    """How much each part of an utterance speaks for the class, signed.

    Args:
        frames: (F,), of 20 ms each, the real sound alone; None where there is none.
        words: (W,); None where there is none.
    """

    frames: Floats | None
    words: Floats | None


@dataclass(frozen=True)
class Convergence:
    """Whether Integrated Gradients sum to what they have to.

    Args:
        given: F of the utterance.
        baseline: F of the baseline, the mean over draws.
        delta: The sum of all attributions minus (given - F of the baseline), of the draw of the
            baseline where it is largest: in their mean the errors of several would cancel.
    """

    given: float
    baseline: float
    delta: float

    @property
    def relative_delta(self) -> float | None:
        """|delta| as a share of |given - baseline|; None where that is 0."""
        difference = abs(self.given - self.baseline)
        return abs(self.delta) / difference if difference > 0 else None

    @property
    def converged(self) -> bool:
        """Whether that share is at most 5 %."""
        relative = self.relative_delta
        return self.delta == 0 if relative is None else relative <= MAX_RELATIVE_DELTA


@dataclass(frozen=True)
class ModalityShapley:
    """How much of F comes from which modality.

    Args:
        values: By modality; they sum to F of the utterance minus F of the baselines.
        outputs: F of each coalition of modalities that are as given, the others at their
            baselines: "none", "audio", "text", "audio+text".
    """

    values: dict[str, float]
    outputs: dict[str, float]


@dataclass(frozen=True)
class Explanation:
    """Why a model answers one utterance as it does.

    Args:
        key: The utterance's key.
        classes: Names of the C classes.
        probabilities: (C,).
        predicted: The most probable class.
        true: The utterance's own.
        target: The one that is explained.
        output: Name of F, the number that is explained, of the target.
        sound: (T,) float32, as prepared and heard, without any padding; None without sound.
        sample_rate: Of the sound, in Hz.
        transcript: As the model read it.
        words: Of the transcript.
        integrated_gradients: None where it was not computed.
        convergence: Of them.
        occlusion: None where it was not computed.
        shapley: None where it was not computed.
        forward_passes: What it cost, tries that ran out of memory included.
        backward_passes: The same.
        settings: Of the methods and baselines.
        seed: Of the baseline's draws.
        notes: Sentences about what could not be done, or has not converged.
    """

    key: str
    classes: tuple[str, ...]
    probabilities: Floats
    predicted: str
    true: str
    target: str
    output: str
    sound: NDArray[np.float32] | None
    sample_rate: int
    transcript: str
    words: tuple[Word, ...]
    integrated_gradients: Attribution | None
    convergence: Convergence | None
    occlusion: Attribution | None
    shapley: ModalityShapley | None
    forward_passes: int
    backward_passes: int
    settings: dict[str, Any]
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """Where the sound ends; 0 without sound."""
        return 0.0 if self.sound is None else len(self.sound) / self.sample_rate

    @property
    def frame_ms(self) -> float:
        """Length of a frame."""
        return FRAME_MS

    @property
    def frame_samples(self) -> int:
        """Samples of a frame; the last one may be shorter."""
        return frame_samples(self.sample_rate)

    def save(self, folder: Path) -> None:
        """Write the arrays, then the record: where it is, the explanation is complete.

        The same explanation gives the same bytes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        arrays = self._arrays()
        # Of any type for mypy: a name might be that of another argument.
        kept: dict[str, Any] = {n: array for n, array in arrays.items() if array is not None}
        with written_whole(folder / ARRAYS_FILE) as place, place.open("wb") as file:
            np.savez(file, **kept)
        text = json.dumps(self._record(), indent=2, ensure_ascii=False)
        write_whole(folder / RECORD_FILE, text + "\n")

    def _arrays(self) -> dict[str, NDArray[Any] | None]:
        methods = {"integrated_gradients": self.integrated_gradients, "occlusion": self.occlusion}
        arrays: dict[str, NDArray[Any] | None] = {
            "sound": self.sound,
            "probabilities": self.probabilities,
        }
        for name, found in methods.items():
            if found is not None:
                arrays |= {f"{name}_frames": found.frames, f"{name}_words": found.words}
        return arrays

    def _record(self) -> dict[str, Any]:
        """All but the arrays, for reading by anything."""
        convergence = self.convergence and {
            **asdict(self.convergence),
            "relative_delta": self.convergence.relative_delta,
            "converged": self.convergence.converged,
        }
        names = (
            "key classes predicted true target output sample_rate frame_ms duration_s transcript "
            "forward_passes backward_passes settings seed notes"
        )
        return {
            **{name: getattr(self, name) for name in names.split()},
            "words": [asdict(word) for word in self.words],
            "convergence": convergence,
            "shapley": self.shapley and asdict(self.shapley),
            "methods": [
                name
                for name in ("integrated_gradients", "occlusion")
                if getattr(self, name) is not None
            ],
            "units": UNITS,
        }

    @classmethod
    def load(cls, folder: Path) -> Explanation:
        """Read what ``save`` wrote.

        Raises:
            InputError: If the folder has no complete explanation, or one of another version.
        """
        try:
            record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
            with np.load(folder / ARRAYS_FILE) as file:
                arrays = {name: file[name] for name in file.files}
            return cls._from_files(record, arrays)
        except (OSError, ValueError, LookupError, TypeError, RecursionError, BadZipFile) as error:
            raise InputError(
                f"{folder}: expected the files of an explanation, cannot read them "
                f"({type(error).__name__}: {error}); remove it and run `mmemo explain` again"
            ) from error

    @classmethod
    def _from_files(cls, record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Explanation:
        def attribution(name: str) -> Attribution | None:
            if name not in record["methods"]:
                return None
            return Attribution(arrays.get(f"{name}_frames"), arrays.get(f"{name}_words"))

        found, shapley = record["convergence"], record["shapley"]
        names = (
            "key predicted true target output sample_rate transcript forward_passes "
            "backward_passes settings seed"
        )
        return cls(
            **{name: record[name] for name in names.split()},
            integrated_gradients=attribution("integrated_gradients"),
            occlusion=attribution("occlusion"),
            classes=tuple(record["classes"]),
            notes=tuple(record["notes"]),
            probabilities=arrays["probabilities"],
            sound=arrays.get("sound"),
            words=tuple(Word(**word) for word in record["words"]),
            convergence=found
            and Convergence(*(found[name] for name in ("given", "baseline", "delta"))),
            shapley=shapley and ModalityShapley(**shapley),
        )
