"""One run that answers visitors, one after the other, on what they upload."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mmemo.audio.media import Sound, decode
from mmemo.audio.media_error import MediaError
from mmemo.corpora.text_table import MAX_TRANSCRIPT_CHARS
from mmemo.errors import InputError
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Explanation
from mmemo.prediction.answers import Prediction
from mmemo.prediction.loaded_run import LoadedRun
from mmemo.prediction.options import Transcriber
from mmemo.values import check_real

KEPT_S = 600.0
"""So long after it was last asked about a sound can be explained, and an upload waits."""

MAX_KEPT_BYTES = 256_000_000
"""Of sound in memory: what was asked about longest ago makes room."""

MAX_VISITORS = 1_000
"""So many have a last answer."""


@dataclass(frozen=True)
class UploadLimits:
    """What is taken of a visitor.

    Args:
        max_duration_s: Longest sound.
        max_upload_mb: Largest file, in units of 2^20 bytes.

    Raises:
        InputError: If one is not above 0.
    """

    max_duration_s: float = 60.0
    max_upload_mb: float = 25.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_real("max_duration_s", self.max_duration_s, 0, above=True)
        check_real("max_upload_mb", self.max_upload_mb, 0, above=True)

    @property
    def max_upload_bytes(self) -> int:
        """Largest file."""
        return round(self.max_upload_mb * 2**20)


@dataclass(frozen=True)
class Upload:
    """A file that a visitor has sent.

    Args:
        path: Where the server has put it.
        name: What the visitor calls it.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Explained:
    """The explanation of an answer.

    Args:
        explanation: Called as its file.
    """

    explanation: Explanation


@dataclass(frozen=True)
class _KeptAnswer:
    upload: Upload | None
    answer: Prediction
    used_at_s: float


@dataclass(frozen=True)
class _KeptSound:
    sound: Sound
    used_at_s: float


class _Memory:
    """The last answer of each visitor, and sounds by where they were uploaded to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sounds: OrderedDict[Path, _KeptSound] = OrderedDict()
        self._answers: OrderedDict[str, _KeptAnswer] = OrderedDict()

    def keep_sound(self, path: Path, sound: Sound) -> None:
        with self._lock:
            self._sounds[path] = _KeptSound(sound, time.monotonic())
            self._sounds.move_to_end(path)
            size = sum(kept.sound.waveform.nbytes for kept in self._sounds.values())
            while size > MAX_KEPT_BYTES and len(self._sounds) > 1:
                _, oldest = self._sounds.popitem(last=False)
                size -= oldest.sound.waveform.nbytes

    def sound(self, upload: Upload) -> Sound:
        with self._lock:
            kept = self._sounds.get(upload.path)
        if kept is None:
            raise InputError(
                f"{upload.name}: expected it to be here still, it was deleted after an answer and "
                f"is kept for {KEPT_S / 60:g} minutes at most; upload it again"
            )
        self.keep_sound(upload.path, kept.sound)
        return kept.sound

    def keep_answer(self, visitor: str, upload: Upload | None, answer: Prediction) -> None:
        with self._lock:
            self._answers[visitor] = _KeptAnswer(upload, answer, time.monotonic())
            self._answers.move_to_end(visitor)
            if len(self._answers) > MAX_VISITORS:
                self._answers.popitem(last=False)

    def answer(self, visitor: str) -> _KeptAnswer:
        with self._lock:
            kept = self._answers.get(visitor)
        if kept is None:
            raise InputError(
                f"explanation: expected an answer of the last {KEPT_S / 60:g} minutes, found none; "
                "ask again"
            )
        return kept

    def forget(self, visitor: str) -> None:
        with self._lock:
            kept = self._answers.pop(visitor, None)
            if kept is not None and kept.upload is not None:
                self._sounds.pop(kept.upload.path, None)

    def forget_old(self, kept_s: float) -> None:
        begun_s = time.monotonic() - kept_s
        with self._lock:
            for path in [p for p, kept in self._sounds.items() if kept.used_at_s <= begun_s]:
                del self._sounds[path]
            for visitor in [v for v, kept in self._answers.items() if kept.used_at_s <= begun_s]:
                del self._answers[visitor]


class AnsweringService:
    """Answers and explains; one model for all visitors, one question at a time.

    An upload is deleted when it has been read. Its sound stays in memory for ``KEPT_S``, to be
    asked about with other words and to be explained.

    Args:
        run: What answers.
        uploads: The folder that the server puts uploads into; nothing outside is read.
        limits: Of what is taken.
        explainer: How answers are explained.
        calibrated: Whether probabilities are.
        transcriber: Writes down words that are not given; None for nobody.
        audio_track: As of ``PredictionOptions``.
    """

    def __init__(
        self,
        run: LoadedRun,
        uploads: Path,
        limits: UploadLimits,
        explainer: Explainer,
        calibrated: bool = True,
        transcriber: Transcriber | None = None,
        audio_track: int | str | None = None,
    ) -> None:
        self.run = run
        self.limits = limits
        self.calibrated = calibrated
        self._uploads = uploads.resolve()
        self._explainer = explainer
        self._transcriber = transcriber
        self._reading = run.ensemble.reading(audio_track)
        self._model = threading.Lock()
        self._memory = _Memory()
        self._has_ended = threading.Event()

    @property
    def accepts_sound(self) -> bool:
        """Whether a sound changes the answer."""
        return self.run.ensemble.uses_audio or self.writes_down

    @property
    def accepts_words(self) -> bool:
        """Whether words change the answer."""
        return self.run.ensemble.uses_text

    @property
    def writes_down(self) -> bool:
        """Whether words that are not given are written down."""
        return self._transcriber is not None

    @property
    def can_explain(self) -> bool:
        """Whether an answer is one model's, which can be explained."""
        return len(self.run.ensemble.predictors) == 1

    def answer(
        self, upload: Upload | None, text: str | None, visitor: str | None = None
    ) -> Prediction:
        """Answer on an upload, words, or both, and delete the upload.

        Args:
            upload: None for words alone.
            text: What is said; None or blank where it is not known.
            visitor: Whose answer is kept to be explained; None for nobody's.

        Raises:
            InputError: If the upload is none, is no sound, is too long, or the model needs what is
                not given; the file is called by its own name.
        """
        with self._model, _called_by_name(upload):
            sound = self._sound(upload) if upload is not None else None
            words = _checked_words(text)
            self._check_complete(sound is not None, words is not None)
            answer = self.run.predict(
                sound,
                text=words,
                calibrated=self.calibrated,
                asr=self._transcriber,
            )
        answer = replace(answer, name="" if upload is None else upload.name)
        if visitor is not None:
            self._memory.keep_answer(visitor, upload, answer)
        return answer

    def explain(self, visitor: str, target: str) -> Explained:
        """Explain the visitor's last answer.

        Args:
            visitor: Who asks.
            target: The class that is explained, or "predicted".

        Raises:
            InputError: If there is no answer any more, it is several models', or the server ends.
            ExplanationError: If it cannot be explained.
        """
        with self._model:
            kept = self._memory.answer(visitor)
            words = kept.answer.words or ()
            sound = None if kept.upload is None else self._memory.sound(kept.upload)
            explanation = self.run.explain(
                sound,
                text=kept.answer.transcript,
                target=target,
                explainer=self._explainer,
                words=words,
                progress=self._go_on,
            )
        named = replace(explanation, key=kept.answer.name or "words")
        return Explained(named)

    def forget(self, visitor: str) -> None:
        """Drop a visitor's last answer, and its sound."""
        self._memory.forget(visitor)

    def forget_old(self, kept_s: float = KEPT_S) -> None:
        """Drop what nobody has asked about for so long, and uploads that nobody asked about."""
        self._memory.forget_old(kept_s)
        for folder, _, names in os.walk(self._uploads):
            for path in (Path(folder, name) for name in names):
                with suppress(OSError):
                    if path.stat().st_mtime <= time.time() - kept_s:
                        self._delete(path)

    def end(self) -> None:
        """Give up an explanation that is under way: the server ends."""
        self._has_ended.set()

    def _go_on(self, _: int) -> None:
        if self._has_ended.is_set():
            raise InputError("explanation: the server was stopped")

    def _check_complete(self, has_sound: bool, has_words: bool) -> None:
        """Say in the page's words what a model needs and is not given."""
        try:
            for predictor in self.run.ensemble.predictors:
                predictor.missing(has_sound, has_words or (has_sound and self.writes_down))
        except InputError as error:
            needed = {
                "a sound": self.accepts_sound and not has_sound,
                "what is said": self.accepts_words and not has_words,
            }
            lacking = " and ".join(name for name, is_lacking in needed.items() if is_lacking)
            raise InputError(
                f"expected {lacking}, which the model needs to answer; give it and ask again"
            ) from error

    def _sound(self, upload: Upload) -> Sound:
        """The upload's sound; afterwards its file is gone."""
        path = upload.path
        # A visitor may name any path to the web API.
        if not path.resolve().is_relative_to(self._uploads):
            raise InputError(f"sound: expected an upload, got {upload.name}; upload the file")
        if not path.is_file():
            return self._memory.sound(upload)
        limit_s = self.limits.max_duration_s
        try:
            self._check_size(path)
            sound = decode(path, limit_s=limit_s + 1, reading=self._reading)
        except MediaError as error:
            raise InputError(f"{error.reason}: {error.message}") from error
        finally:
            self._delete(path)
        if sound.duration_s > limit_s:
            raise InputError(
                f"{path}: expected at most {limit_s:g} s of sound, got {sound.duration_s:.1f} s; "
                "cut it, or let mmemo predict answer on it"
            )
        self._memory.keep_sound(path, sound)
        return sound

    def _check_size(self, path: Path) -> None:
        size = path.stat().st_size
        if size > self.limits.max_upload_bytes:
            raise InputError(
                f"{path}: expected at most {self.limits.max_upload_mb:g} MB, got "
                f"{size / 2**20:.1f} MB; cut it, or let mmemo predict answer on it"
            )

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent.resolve() != self._uploads:
            # It is of this upload alone, or holds another one of the same content.
            with suppress(OSError):
                path.parent.rmdir()


def _checked_words(text: str | None) -> str | None:
    words = (text or "").strip() or None
    if words is not None and len(words) > MAX_TRANSCRIPT_CHARS:
        raise InputError(
            f"words: expected at most {MAX_TRANSCRIPT_CHARS:,} characters, got {len(words):,}; "
            "shorten them"
        )
    return words


@contextmanager
def _called_by_name(upload: Upload | None) -> Iterator[None]:
    """Let a message call a file as its visitor does, not by its place on the server."""
    try:
        yield
    except InputError as error:
        if upload is None or str(upload.path) not in str(error):
            raise
        raise InputError(str(error).replace(str(upload.path), upload.name)) from error
