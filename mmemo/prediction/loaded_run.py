"""A trained run as an object in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from numpy.typing import NDArray

from mmemo.audio.media import Sound, decode
from mmemo.audio.recordings import Recording, SlidingWindows
from mmemo.errors import InputError
from mmemo.evaluation.protocol import Protocol
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Explanation
from mmemo.explanation.inputs import predictor_input
from mmemo.prediction.answers import Prediction, SpokenWord, answers_frame
from mmemo.prediction.ensemble import Ensemble
from mmemo.prediction.options import PredictionOptions, Transcriber
from mmemo.prediction.requests import Request, read_requests
from mmemo.runs.composition import composed_config
from mmemo.runs.predictor import Spoken
from mmemo.values import check_whole

Waveform = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]


class LoadedRun:
    """A trained model, loaded once, or several that answer together.

    ``mmemo.load_run`` makes one.

    Args:
        ensemble: The models.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self.ensemble = ensemble

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the C classes, in the order of all probabilities."""
        return self.ensemble.labels.classes

    @property
    def protocol(self) -> Protocol:
        """What the (first) model was trained and evaluated on, and how.

        Raises:
            InputError: If it was not evaluated.
        """
        return self.ensemble.predictors[0].protocol

    @property
    def modalities(self) -> tuple[str, ...]:
        """What the (first) model was trained on: of "audio" and "text" one or both."""
        return self.ensemble.predictors[0].modalities

    def predict(
        self,
        audio: Waveform | Sound | str | Path | None = None,
        sample_rate: int | None = None,
        text: str | None = None,
        *,
        calibrated: bool = True,
        embeddings: bool = False,
        asr: Transcriber | None = None,
        audio_track: int | str | None = None,
    ) -> Prediction:
        """Answer on one utterance, prepared as in training: denoised, resampled, cut.

        Args:
            audio: Samples (T,), or (T, C) or (C, T) with fewer channels than samples: floats with
                full scale at 1, signed integers of B bits with full scale at 2 ** (B - 1), or
                unsigned ones of 8 bits around 128; or a file that FFmpeg's libraries read,
                or what was decoded of one. None for words alone.
            sample_rate: Of samples, in Hz; the file's own for a file.
            text: What is said; None where it is not known.
            calibrated: Whether probabilities are, by the temperature that validation fitted.
            embeddings: Whether to give the fused vector (D,) and each modality's.
            asr: Writes down what is said where ``text`` is None.
            audio_track: Of a file's sound tracks the one that is heard: its number from 0, or its
                language; None for its default one.

        Raises:
            InputError: If the sound cannot be read, or the model needs what is not given.
        """
        request = Request("", _recording(audio, sample_rate), text)
        options = PredictionOptions(
            None, asr, calibrated, embeddings, num_workers=0, audio_track=audio_track
        )
        (answer,) = self._answered([request], options)
        if answer.reason:
            raise InputError(f"{answer.reason}: {answer.detail}")
        return answer

    def predict_files(
        self,
        files: str | Path | Sequence[str | Path],
        texts: Sequence[str | None] | None = None,
        *,
        calibrated: bool = True,
        embeddings: bool = False,
        window_s: float | None = None,
        hop_s: float | None = None,
        asr: Transcriber | None = None,
        num_workers: int | None = None,
        audio_track: int | str | None = None,
    ) -> list[Prediction]:
        """Answer on files, in batches of similar length; what cannot be read is told in its row.

        Args:
            files: Paths, or one: of a file, of a folder, or of a CSV with the column path and,
                where it has them, transcript, start, end, speaker, dialogue and order.
            texts: What is said in each of the files; None where none of it is known.
            calibrated: As of ``predict``.
            embeddings: As of ``predict``.
            window_s: Answer on windows of so many seconds of each file.
            hop_s: From one window to the next, in seconds; None for half a window.
            asr: As of ``predict``.
            num_workers: Processes that decode and denoise; None to choose by the number of files.
            audio_track: As of ``predict``.

        Returns:
            A row for each file, or for each window of each.

        Raises:
            InputError: If none of them could be answered, or there is nothing of a name.
        """
        requests = self._requests(files, texts)
        cutter = None
        if window_s is not None:
            cutter = SlidingWindows(window_s, window_s / 2 if hop_s is None else hop_s)
        options = PredictionOptions(cutter, asr, calibrated, embeddings, num_workers, audio_track)
        return self._answered(requests, options)

    @staticmethod
    def table(answers: Sequence[Prediction], calibrated: bool = True) -> pd.DataFrame:
        """Answers as a data frame, with the columns that ``mmemo predict`` writes."""
        return answers_frame(answers, calibrated)

    def explain(
        self,
        audio: Waveform | Sound | str | Path | None = None,
        sample_rate: int | None = None,
        text: str | None = None,
        *,
        target: str = "predicted",
        explainer: Explainer | None = None,
        words: Sequence[SpokenWord] = (),
        overrides: Sequence[str] = (),
        progress: Callable[[int], None] | None = None,
    ) -> Explanation:
        """Explain one answer of a single model, as ``mmemo explain`` does.

        Args:
            audio: As of ``predict``.
            sample_rate: As of ``predict``.
            text: As of ``predict``.
            target: The class that is explained, or "predicted".
            explainer: How; None for what ``overrides`` say.
            words: When each word of ``text`` is said, where that is known; it is estimated
                otherwise.
            overrides: Settings as typed behind ``mmemo explain``, such as
                "integrated_gradients.n_steps=20".
            progress: Called with the number of passes just done.

        Raises:
            InputError: If several models were loaded, the sound cannot be read, or the model needs
                what is not given.
            ExplanationError: If the answer cannot be explained.
        """
        if len(self.ensemble.predictors) > 1:
            raise InputError(
                f"explain: expected one model, got {len(self.ensemble.predictors)}; load one run"
            )
        (predictor,) = self.ensemble.predictors
        recording = _recording(audio, sample_rate)
        predictor.missing(recording is not None, text is not None)
        samples = None
        if recording is not None and self.ensemble.uses_audio:
            source = recording.source
            sound = (
                source
                if isinstance(source, Sound)
                else decode(source, reading=predictor.clip_worker().reading)
            )
            samples = predictor.clip_worker().prepare_sound(sound, recording.name).samples
        times = [(word.start_s, word.end_s) for word in words]
        utterance = predictor_input(predictor, Spoken("utterance", samples, text), times)
        chosen = explainer or _explainer(self.labels, overrides)
        return chosen.explain(predictor.classifier, utterance, target, progress)

    def _requests(
        self, files: str | Path | Sequence[str | Path], texts: Sequence[str | None] | None
    ) -> list[Request]:
        if isinstance(files, str | Path):
            text = texts[0] if texts else None
            before, after = self.ensemble.num_before, self.ensemble.num_after
            read = read_requests(Path(files).expanduser(), text, None, before, after)
            return list(read.rows)
        transcripts = [None] * len(files) if texts is None else list(texts)
        if len(transcripts) != len(files):
            raise InputError(
                f"texts: expected one for each of {len(files)} files, got {len(transcripts)}; None "
                "stands for one that is not known"
            )
        pairs = zip(files, transcripts, strict=True)
        return [Request(str(f), Recording(Path(f).expanduser()), text) for f, text in pairs]

    def _answered(
        self, requests: Sequence[Request], options: PredictionOptions
    ) -> list[Prediction]:
        self.ensemble.check(requests, options)
        return list(self.ensemble.answer(requests, options))


def _recording(
    audio: Waveform | Sound | str | Path | None, sample_rate: int | None
) -> Recording | None:
    if audio is None:
        return None
    if isinstance(audio, Sound):
        return Recording(audio)
    if isinstance(audio, str | Path):
        return Recording(Path(audio).expanduser())
    if sample_rate is None:
        raise InputError("sample_rate: expected the rate of the samples in Hz, got none; give it")
    if isinstance(sample_rate, np.integer):
        sample_rate = int(sample_rate)
    check_whole("sample_rate", sample_rate, 1)
    samples = _full_scale_at_one(np.asarray(audio))
    if samples.ndim == 2:
        # As FFmpeg mixes two channels: their mean.
        samples = samples.mean(axis=int(np.argmin(samples.shape)))
    if samples.ndim != 1 or len(samples) == 0:
        raise InputError(
            f"audio: expected samples (T,) or (T, C), got an array of shape {np.shape(audio)}; "
            "give one recording"
        )
    waveform = samples.astype(np.float32)
    if not np.isfinite(waveform).all():
        raise InputError(
            "audio: expected finite samples, got some that are infinite or not a number; leave "
            "them out"
        )
    return Recording(Sound(waveform, sample_rate, "mono", len(waveform) / sample_rate))


def _full_scale_at_one(samples: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Samples as floats, in the scale in which files are decoded.

    Raises:
        InputError: If they are of a type that no sound has.
    """
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        floats: NDArray[np.floating[Any]] = samples
        return floats
    # As WAV has them: of 8 bits unsigned, of more bits signed.
    if kind == "i" or (kind, bits) == ("u", 8):
        zero = 128 if kind == "u" else 0
        return (samples.astype(np.float64) - zero) / 2.0 ** (bits - 1)
    raise InputError(
        "audio: expected samples that are floats, signed integers or unsigned integers of 8 bits, "
        f"got {samples.dtype}; convert them"
    )


def _explainer(classes: Sequence[str], overrides: Sequence[str]) -> Explainer:
    cfg = composed_config("explain", ["run=RUN", *overrides])
    explainer: Explainer = instantiate(cfg.explainer, _convert_="all", classes=list(classes))
    return replace(explainer, classes=tuple(classes))
