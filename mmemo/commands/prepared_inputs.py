"""What a user gives ``mmemo explain`` to be explained, prepared for a run's model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.commands.requested_inputs import print_left_aside, requested_inputs
from mmemo.errors import InputError
from mmemo.prediction.answers import SpokenWord
from mmemo.prediction.ensemble import Ensemble
from mmemo.prediction.options import PredictionOptions
from mmemo.prediction.requests import Request
from mmemo.runs.predictor import Predictor, Spoken


@dataclass(frozen=True)
class Inputs:
    """What a user has given, prepared.

    Args:
        spoken: By key, what a model is asked about.
        words: By key, the words with their times, where these are known.
        failures: By key, why something cannot be asked about.
    """

    spoken: Mapping[str, Spoken]
    words: Mapping[str, tuple[SpokenWord, ...]]
    failures: Mapping[str, str]

    @property
    def digests(self) -> tuple[str, ...]:
        """Of each: of its samples, its words with their times, and its context."""
        return tuple(self._digest(key) for key in self.spoken)

    def _digest(self, key: str) -> str:
        spoken = self.spoken[key]
        content = [spoken.transcript, spoken.speaker, spoken.before, spoken.after]
        times = [asdict(word) for word in self.words.get(key, ())]
        digest = hashlib.sha256(json.dumps([content, times]).encode())
        if spoken.sound is not None:
            digest.update(spoken.sound.tobytes())
        return digest.hexdigest()


def prepared_inputs(cfg: DictConfig, predictor: Predictor) -> Inputs:
    """Read and prepare what is given, as a model hears it.

    Args:
        cfg: The command's config.
        predictor: The model.

    Raises:
        InputError: If nothing of it can be read, or the model needs what it lacks.
    """
    ensemble = Ensemble([predictor])
    requests = requested_inputs(cfg, ensemble.num_before, ensemble.num_after)
    transcriber = instantiate(cfg.get("asr"), _convert_="all")
    options = PredictionOptions(transcriber=transcriber, audio_track=cfg.audio_track)
    ensemble.check(requests.rows, options)
    print_left_aside(requests)
    root = Path(str(cfg.input or "")).expanduser()
    spoken: dict[str, Spoken] = {}
    words: dict[str, tuple[SpokenWord, ...]] = {}
    failures: dict[str, str] = {}
    for request, pending in zip(
        requests.rows, ensemble.prepare(requests.rows, options), strict=True
    ):
        key = _free_key(request, root, {*spoken, *failures})
        if pending.spoken is None:
            failures[key] = f"{pending.row.reason}: {pending.row.detail}"
            continue
        spoken[key] = replace(pending.spoken, key=key)
        if pending.row.words:
            words[key] = pending.row.words
    if not spoken:
        key, reason = next(iter(failures.items()))
        raise InputError(
            f"input: expected at least one that can be read, got {len(failures)} that cannot; the "
            f"first: {key}: {reason}"
        )
    return Inputs(spoken, words, failures)


def _free_key(request: Request, root: Path, taken: set[str]) -> str:
    """A name that tells an input from the others: its path, and its times where it has any."""
    path = Path(request.name)
    if not request.name:
        key = "text"
    elif path == root:
        key = path.name
    else:
        key = path.relative_to(root).as_posix() if path.is_relative_to(root) else request.name
    recording = request.recording
    if recording is not None and (recording.start_s or recording.end_s is not None):
        end = "end" if recording.end_s is None else f"{recording.end_s:g}"
        key += f" {recording.start_s:g}-{end} s"
    free, number = key, 1
    while free in taken:
        number += 1
        free = f"{key}#{number}"
    return free
