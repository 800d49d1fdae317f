"""One run that answers visitors, one after the other, on what they upload."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mmemo.audio.media import MediaError, Sound, decode
from mmemo.corpora.text_table import MAX_TRANSCRIPT_CHARS
from mmemo.errors import InputError
from mmemo.explanation.explainer import Explainer
from mmemo.explanation.explanation import Explanation
from mmemo.prediction.answers import Prediction
from mmemo.prediction.ensemble import Transcriber
from mmemo.prediction.loaded_run import LoadedRun
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
        max_upload_mb: Largest file, in units of 10^6 bytes.

    Raises:
        InputError: If one is not above 0.
    """

    max_duration_s: float = 60.0
    max_upload_mb: float = 25.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_real("max_duration_s", self.max_duration_s, 0, above=True)
        check_real("max_upload_mb", self.max_upload_mb, 0, above=True)


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
class _KeptSound:
    sound: Sound
    asked_s: float


@dataclass(frozen=True)
class _KeptAnswer:
    upload: Upload | None
    answer: Prediction
    asked_s: float


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
    """

    def __init__(
        self,
        run: LoadedRun,
        uploads: Path,
        limits: UploadLimits,
        explainer: Explainer,
        calibrated: bool = True,
        transcriber: Transcriber | None = None,
    ) -> None:
        self.run = run
        self.limits = limits
        self.calibrated = calibrated
        self._uploads = uploads.resolve()
        self._explainer = explainer
        self._transcriber = transcriber
        self._lock = threading.Lock()
        self._sounds: OrderedDict[Path, _KeptSound] = OrderedDict()
        self._answers: OrderedDict[str, _KeptAnswer] = OrderedDict()

    @property
    def takes_sound(self) -> bool:
        """Whether a sound changes the answer."""
        return self.run.ensemble.hears or self._transcriber is not None

    @property
    def takes_words(self) -> bool:
        """Whether words change the answer."""
        return self.run.ensemble.reads

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
        words = (text or "").strip() or None
        if words is not None and len(words) > MAX_TRANSCRIPT_CHARS:
            raise InputError(
                f"words: expected at most {MAX_TRANSCRIPT_CHARS:,} characters, got {len(words):,}; "
                "shorten them"
            )
        with self._lock, _called_by_name(upload):
            sound = self._sound(upload) if upload is not None else None
            answer = self.run.predict(
                None if sound is None else sound.waveform,
                None if sound is None else sound.sample_rate,
                words,
                calibrated=self.calibrated,
                asr=self._transcriber,
            )
            answer = replace(answer, name="" if upload is None else upload.name)
            if visitor is not None:
                self._answers[visitor] = _KeptAnswer(upload, answer, time.monotonic())
                self._answers.move_to_end(visitor)
                while len(self._answers) > MAX_VISITORS:
                    self._answers.popitem(last=False)
            return answer

    def explain(self, visitor: str, target: str) -> Explanation:
        """Explain the visitor's last answer.

        Args:
            visitor: Who asks.
            target: The class that is explained, or "predicted".

        Raises:
            InputError: If there is no answer any more, or it is several models'.
            ExplanationError: If it cannot be explained.
        """
        with self._lock:
            kept = self._answers.get(visitor)
            if kept is None:
                raise InputError(
                    "explanation: expected an answer of the last "
                    f"{KEPT_S / 60:g} minutes, found none; ask again"
                )
            with _called_by_name(kept.upload):
                sound = None if kept.upload is None else self._kept_sound(kept.upload)
                explanation = self.run.explain(
                    None if sound is None else sound.waveform,
                    None if sound is None else sound.sample_rate,
                    kept.answer.transcript,
                    target=target,
                    explainer=self._explainer,
                    words=kept.answer.words or (),
                )
            return replace(explanation, key=kept.answer.name or "words")

    def forget(self, visitor: str) -> None:
        """Drop a visitor's last answer, and its sound."""
        with self._lock:
            kept = self._answers.pop(visitor, None)
            if kept is not None and kept.upload is not None:
                self._sounds.pop(kept.upload.path, None)

    def forget_old(self, kept_s: float = KEPT_S) -> None:
        """Drop what nobody has asked about for so long, and uploads that nobody asked about."""
        with self._lock:
            begun_s = time.monotonic() - kept_s
            for path in [p for p, kept in self._sounds.items() if kept.asked_s < begun_s]:
                del self._sounds[path]
            for visitor in [v for v, kept in self._answers.items() if kept.asked_s < begun_s]:
                del self._answers[visitor]
        for path in self._uploads.rglob("*"):
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime < time.time() - kept_s:
                    self._delete(path)

    def _sound(self, upload: Upload) -> Sound:
        """The upload's sound; afterwards its file is gone."""
        path = upload.path
        # A visitor may name any path to the web API.
        if not path.resolve().is_relative_to(self._uploads):
            raise InputError(f"sound: expected an upload, got {upload.name}; upload the file")
        if not path.is_file():
            return self._kept_sound(upload)
        limit_s = self.limits.max_duration_s
        try:
            self._check_size(path)
            sound = decode(path, limit_s=limit_s + 1)
        except MediaError as error:
            raise InputError(f"{error.reason}: {error.message}") from error
        finally:
            self._delete(path)
        if sound.duration_s > limit_s:
            raise InputError(
                f"{upload.name}: expected at most {limit_s:g} s of sound, got "
                f"{sound.duration_s:.1f} s; cut it, or let mmemo predict answer on it"
            )
        self._keep(path, sound)
        return sound

    def _check_size(self, path: Path) -> None:
        limit_mb = self.limits.max_upload_mb
        size = path.stat().st_size
        if size > limit_mb * 1e6:
            raise InputError(
                f"{path}: expected at most {limit_mb:g} MB, got {size / 1e6:.1f} MB; cut it, or "
                "let mmemo predict answer on it"
            )

    def _keep(self, path: Path, sound: Sound) -> None:
        self._sounds[path] = _KeptSound(sound, time.monotonic())
        self._sounds.move_to_end(path)
        while (
            len(self._sounds) > 1
            and sum(kept.sound.waveform.nbytes for kept in self._sounds.values()) > MAX_KEPT_BYTES
        ):
            self._sounds.popitem(last=False)

    def _kept_sound(self, upload: Upload) -> Sound:
        kept = self._sounds.get(upload.path)
        if kept is None:
            raise InputError(
                f"{upload.name}: expected it to be here still, it was deleted after an answer and "
                "other sounds have taken its place; upload it again"
            )
        self._keep(upload.path, kept.sound)
        return kept.sound

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent.resolve() != self._uploads:
            # It is of this upload alone, or holds another one of the same content.
            with suppress(OSError):
                path.parent.rmdir()


@contextmanager
def _called_by_name(upload: Upload | None) -> Iterator[None]:
    """Let a message call a file as its visitor does, not by its place on the server."""
    try:
        yield
    except InputError as error:
        if upload is None or str(upload.path) not in str(error):
            raise
        raise InputError(str(error).replace(str(upload.path), upload.name)) from error
