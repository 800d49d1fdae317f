"""Words that nobody has written down, by a recogniser of speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmemo.audio.denoisers import Samples
from mmemo.audio.recordings import SPEECH_RATE
from mmemo.documents import reason
from mmemo.errors import InputError
from mmemo.models.checkpoints import NEVER_CODE
from mmemo.prediction.answers import SpokenWord

WHISPER_WINDOW_S = 30.0


class SpeechRecogniser:
    """Writes down speech by transformers' pipeline: Whisper, or a model with CTC.

    The times of Whisper's words are those of its attention (Radford et al. 2023, "Robust Speech
    Recognition via Large-Scale Weak Supervision", and OpenAI's word timestamps), those of a CTC
    model the frames of its letters.

    Args:
        checkpoint: Name on the hub, or a local folder.
        revision: Commit, tag or branch on the hub; None for its main branch.
        language: Such as "en", for Whisper; None for as the checkpoint finds it.
        batch_size: Stretches that are written down together.
        accelerator: "auto", "cpu" or "gpu".

    Raises:
        InputError: If it cannot be loaded.
    """

    def __init__(
        self,
        checkpoint: str,
        revision: str | None = None,
        language: str | None = None,
        batch_size: int = 8,
        accelerator: str = "auto",
    ) -> None:
        import transformers

        use_gpu = accelerator != "cpu" and torch.cuda.is_available()
        path = Path(checkpoint).expanduser()
        try:
            build: Any = transformers.pipeline
            self._pipeline: Any = build(
                "automatic-speech-recognition",
                model=str(path) if path.is_dir() else checkpoint,
                revision=None if path.is_dir() else revision,
                device="cuda" if use_gpu else "cpu",
                model_kwargs={"use_safetensors": True},
                **NEVER_CODE,
            )
        # What transformers raises for a checkpoint that is missing or another kind is not told.
        except Exception as error:
            raise InputError(
                f"asr.checkpoint: expected a model that writes down speech, could not load "
                f"'{checkpoint}' ({reason(error)}); name a local folder or one on the hub, such as "
                "openai/whisper-small"
            ) from error
        self.batch_size = batch_size
        self._is_whisper = self._pipeline.model.config.model_type == "whisper"
        self._options: dict[str, Any] = {"return_timestamps": "word"}
        if self._is_whisper:
            if not getattr(self._pipeline.model.generation_config, "alignment_heads", None):
                raise InputError(
                    f"asr.checkpoint: expected a Whisper that tells the times of words, the "
                    f"generation_config.json of '{checkpoint}' has no alignment_heads; take them "
                    "from the checkpoint that it was fine-tuned from"
                )
            if language is not None:
                self._options["generate_kwargs"] = {"language": language}

    def __call__(self, speech: Sequence[Samples]) -> list[tuple[SpokenWord, ...]]:
        """The words of each sound (T,) float32 at 16 kHz; none where none are heard."""
        found: list[tuple[SpokenWord, ...]] = [()] * len(speech)
        places = [place for place, samples in enumerate(speech) if len(samples) > 0]
        # Longer ones are written down one at a time: the pipeline cuts them itself.
        short = [p for p in places if len(speech[p]) <= WHISPER_WINDOW_S * SPEECH_RATE]
        for start in range(0, len(short), self.batch_size):
            batch = short[start : start + self.batch_size]
            given = [{"raw": speech[p], "sampling_rate": SPEECH_RATE} for p in batch]
            for place, written in zip(
                batch, self._pipeline(given, batch_size=len(batch), **self._options), strict=True
            ):
                found[place] = _words(written, len(speech[place]) / SPEECH_RATE)
        for place in sorted(set(places) - set(short)):
            given = {"raw": speech[place], "sampling_rate": SPEECH_RATE}  # type: ignore[assignment]
            written = self._pipeline(given, **self._options)
            found[place] = _words(written, len(speech[place]) / SPEECH_RATE)
        return found


def _words(written: dict[str, Any], duration_s: float) -> tuple[SpokenWord, ...]:
    """Words within the sound, in order: a time that is not told is that of the one before."""
    words: list[SpokenWord] = []
    for chunk in written.get("chunks", []):
        text = str(chunk["text"]).strip()
        if not text:
            continue
        start, end = chunk["timestamp"]
        before = words[-1].end_s if words else 0.0
        start_s = min(max(before if start is None else float(start), 0.0), duration_s)
        end_s = min(max(duration_s if end is None else float(end), start_s), duration_s)
        words.append(SpokenWord(text, start_s, end_s))
    return tuple(words)
