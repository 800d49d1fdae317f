"""An explanation of one prediction: its record, its arrays, and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from mmemo.documents import damaged, read_document, reason, write_document
from mmemo.explanation.frames import FRAME_MS, frame_samples
from mmemo.folders import written_whole

Floats = NDArray[np.float64]
Part = Mapping[str, JsonValue] | None

ARRAYS_FILE = "explanation.npz"
RECORD_FILE = "explanation.json"
WHAT = "the files of an explanation"
REMEDY = "remove the folder and run `mmemo explain` again"

METHODS = {
    "integrated_gradients": "Integrated Gradients",
    "occlusion": "Occlusion",
    "lime": "LIME",
    "kernel_shap": "Kernel SHAP",
    "grad_cam": "Grad-CAM",
    "attention_rollout": "Attention rollout",
}
"""The attribution methods by their names in files and options, and in words."""

COMPARED = ("integrated_gradients", "occlusion")
"""The paper's two, whose difference is drawn where both are there."""

OF_NO_CLASS = frozenset({"attention_rollout"})
"""Those that say where a model looks, whatever it answers: never for or against a class."""

OWN_UNITS = {
    "grad_cam": "of activation × gradient of F",
    "attention_rollout": "of attention, for no class",
}
"""What the numbers of a method are in, where they are no parts of F."""

MODALITIES = ("audio", "text")

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
    "lime": "of output, signed; weights of a linear model, those of a stretch shared by its frames",
    "kernel_shap": "of output, signed; they sum to F of the utterance minus F of the baseline",
    "grad_cam": "activation times gradient of output, signed; by frame",
    "attention_rollout": "share of attention, of no class; by frame and by word",
    "convergence": "of output; delta is that of the worst draw of the baseline; relative_delta is "
    "a share of 1",
    "shapley": "of output",
    "words": "start and stop are characters of transcript; start_s and end_s are s",
}


@dataclass(frozen=True)
class Word:
    """A word of a transcript: what stands between white space.

    Args:
        text: As it is written, punctuation included.
        start: Its first character in the transcript.
        stop: The character behind its last one.
        is_read: False where the text encoder's ``max_tokens`` cut it off.
        start_s: When it begins in the sound, where that is known; else None: it is estimated.
        end_s: When it ends.
    """

    text: str
    start: int
    stop: int
    is_read: bool = True
    start_s: float | None = None
    end_s: float | None = None


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
    """Whether Integrated Gradients sum to what they have to (completeness).

    Args:
        given: F of the utterance.
        baseline: F of the baseline, the mean over draws.
        delta: The sum of all attributions minus (given - F of the baseline), of the draw of the
            baseline where it is largest: in their mean the errors of several would cancel.
        relative_delta: |delta| as a share of |given - baseline|; None where that is 0.
        converged: Whether that share is at most 5 %.
    """

    given: float
    baseline: float
    delta: float
    relative_delta: float | None
    converged: bool

    @classmethod
    def of(cls, given: float, baseline: float, delta: float) -> Convergence:
        """From F of both ends of the path, and the worst delta."""
        difference = abs(given - baseline)
        relative = abs(delta) / difference if difference > 0 else None
        converged = delta == 0 if relative is None else relative <= MAX_RELATIVE_DELTA
        return cls(given, baseline, delta, relative, converged)


@dataclass(frozen=True)
class ModalityShapley:
    """How much of F comes from which modality.

    Args:
        values: By modality; they sum to F of the utterance minus F of the baselines.
        outputs: F of each coalition of modalities that are as given, the others at their
            baselines: "none", "audio", "text", "audio+text".
    """

    values: Mapping[str, float]
    outputs: Mapping[str, float]


@dataclass(frozen=True)
class ExplainerSettings:
    """What decides an explanation's numbers, beside model, utterance, target and seed.

    Args:
        output: Name of F, the number that is explained.
        shapley: Whether the modalities have Shapley values.
        waveform_baseline: Name and settings of what stands in for sound.
        text_baseline: Name and settings of what stands in for words.
        integrated_gradients: Name and settings of the method; None where it was left out.
        occlusion: Name and settings of the method; None where it was left out.
        lime: The same.
        kernel_shap: The same.
        grad_cam: The same.
        attention_rollout: The same.
    """

    output: str
    shapley: bool = False
    waveform_baseline: Part = None
    text_baseline: Part = None
    integrated_gradients: Part = None
    occlusion: Part = None
    lime: Part = None
    kernel_shap: Part = None
    grad_cam: Part = None
    attention_rollout: Part = None


@dataclass(frozen=True, kw_only=True)
class ExplanationRecord:
    """All of an explanation but its arrays.

    Args:
        key: The utterance's key.
        classes: Names of the C classes.
        predicted: The most probable class.
        true: The utterance's own; None where nobody has annotated it.
        target: The one that is explained.
        output: Name of F, the number that is explained, of the target.
        sample_rate: Of the sound, in Hz.
        transcript: As the model read it.
        words: Of the transcript.
        convergence: Of Integrated Gradients; None where they were not computed.
        shapley: None where it was not computed.
        forward_passes: Through the model, tries that ran out of memory included.
        backward_passes: Through the model, tries that ran out of memory included.
        settings: Of the methods and baselines.
        seed: Of the baseline's draws.
        notes: Sentences about what could not be done, or has not converged.
    """

    key: str
    classes: tuple[str, ...]
    predicted: str
    true: str | None
    target: str
    output: str
    sample_rate: int
    transcript: str
    words: tuple[Word, ...]
    convergence: Convergence | None
    shapley: ModalityShapley | None
    forward_passes: int
    backward_passes: int
    settings: ExplainerSettings
    seed: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ExplanationDocument(ExplanationRecord):
    """Contents of ``explanation.json``: the record, which can be read without the arrays.

    Args:
        frame_ms: Length of a frame.
        duration_s: Where the sound ends; 0 without sound.
        methods: Those of ``METHODS`` that have an attribution.
        units: What the numbers of both files are in.
    """

    VERSION: ClassVar[int] = 2

    frame_ms: float
    duration_s: float
    methods: tuple[str, ...]
    units: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Explanation(ExplanationRecord):
    """Why a model answers one utterance as it does.

    Args:
        probabilities: (C,).
        sound: (T,) float32, as prepared, without any padding; None without sound.
        attributions: Those that were computed, by their names in ``METHODS``.
    """

    probabilities: Floats
    sound: NDArray[np.float32] | None
    attributions: Mapping[str, Attribution]

    @property
    def integrated_gradients(self) -> Attribution | None:
        """None where it was not computed."""
        return self.attributions.get("integrated_gradients")

    @property
    def occlusion(self) -> Attribution | None:
        """None where it was not computed."""
        return self.attributions.get("occlusion")

    @property
    def duration_s(self) -> float:
        """Where the sound ends; 0 without sound."""
        return 0.0 if self.sound is None else len(self.sound) / self.sample_rate

    @property
    def has_word_times(self) -> bool:
        """Whether it is known when the words are said."""
        return any(word.start_s is not None for word in self.words)

    @property
    def frame_samples(self) -> int:
        """Samples of a frame; the last one may be shorter."""
        return frame_samples(self.sample_rate)

    def save(self, folder: Path) -> None:
        """Write the arrays, then the record: where it is, the explanation is complete.

        The same explanation gives the same bytes.
        """
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"sound": self.sound, "probabilities": self.probabilities}
        for name, found in self.attributions.items():
            arrays |= {f"{name}_frames": found.frames, f"{name}_words": found.words}
        # Of any type for mypy: a name might be that of another argument.
        kept: dict[str, Any] = {n: array for n, array in arrays.items() if array is not None}
        with written_whole(folder / ARRAYS_FILE) as place, place.open("wb") as file:
            np.savez(file, **kept)
        document = ExplanationDocument(
            **_shared(self),
            frame_ms=FRAME_MS,
            duration_s=self.duration_s,
            methods=tuple(self.attributions),
            units=UNITS,
        )
        write_document(folder / RECORD_FILE, document)

    @classmethod
    def load(cls, folder: Path) -> Explanation:
        """Read what ``save`` wrote.

        Raises:
            InputError: If the folder has no complete explanation, or one of another version.
        """
        document = read_record(folder)
        path = folder / ARRAYS_FILE
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in file.files}
            probabilities = arrays["probabilities"]
        except (OSError, ValueError, LookupError, BadZipFile) as error:
            raise damaged(path, WHAT, f"it cannot be read: {reason(error)}", REMEDY) from error

        attributions = {
            name: Attribution(arrays.get(f"{name}_frames"), arrays.get(f"{name}_words"))
            for name in document.methods
        }
        return cls(
            **_shared(document),
            probabilities=probabilities,
            sound=arrays.get("sound"),
            attributions=attributions,
        )


def read_record(folder: Path) -> ExplanationDocument:
    """Read an explanation's record without its arrays.

    Raises:
        InputError: If the folder has none, or one of another version.
    """
    return read_document(folder / RECORD_FILE, ExplanationDocument, WHAT, REMEDY)


def _shared(record: ExplanationRecord) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(ExplanationRecord)}
