"""``mmemo predict``: what a trained run says of files, recordings and words of the user's."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig

from mmemo.audio.recordings import Cutter, SlidingWindows
from mmemo.commands.requested_inputs import print_left_aside, requested_inputs
from mmemo.errors import InputError
from mmemo.prediction.answers import (
    Prediction,
    answers_frame,
    answers_table,
    check_outputs,
    write_answers,
)
from mmemo.prediction.ensemble import Ensemble
from mmemo.prediction.members import open_ensemble
from mmemo.prediction.notes import reading_notes, training_notes
from mmemo.prediction.options import PredictionOptions
from mmemo.prediction.requests import Requests
from mmemo.prediction.timeline import write_timelines
from mmemo.progress import progress_bar
from mmemo.reporting.tables import plain_console, print_table, printed
from mmemo.runs.saved_config import trusted_names

NUM_SHOWN = 50
"""Rows in the terminal; a file holds all."""


def run(cfg: DictConfig) -> None:
    """Load the models, answer, print and write; status 1 where something has no answer."""
    outputs = [Path(path).expanduser().absolute() for path in names(cfg.output)]
    check_outputs(outputs, cfg.embeddings)
    is_cut = cfg.window_s is not None or bool(cfg.get("segments"))
    if cfg.timeline is not None and not is_cut:
        raise InputError(
            "timeline: expected stretches of a long recording, got neither; set window_s=SECONDS "
            "or segments=speech"
        )
    ensemble = open_ensemble(names(cfg.run), trusted_names(cfg.trust), cfg.accelerator)
    requests = requested_inputs(cfg, ensemble.num_before, ensemble.num_after)
    options = PredictionOptions(
        cutter=_cutter(cfg, ensemble),
        transcriber=instantiate(cfg.get("asr"), _convert_="all"),
        calibrated=cfg.calibrated,
        embeddings=cfg.embeddings,
        num_workers=cfg.num_workers,
        audio_track=cfg.audio_track,
    )
    ensemble.check(requests.rows, options)
    answers = list(_with_bar(ensemble, requests, options))
    frame = answers_frame(answers, cfg.calibrated)
    for path in outputs:
        write_answers(frame, path)
    _print(ensemble, requests, answers, cfg.calibrated)
    for path in outputs:
        print(f"{'answers':>17}: {path}")
    if cfg.timeline is not None:
        folder = Path(cfg.timeline).expanduser().absolute()
        names_of_runs = ", ".join(p.folder.path.name for p in ensemble.predictors)
        reading = ensemble.reading(cfg.audio_track)
        colours = ensemble.labels.colours
        for page in write_timelines(answers, folder, colours, names_of_runs, reading):
            print(f"{'timeline':>17}: {page}")
    if any(answer.reason for answer in answers):
        sys.exit(1)


def names(given: object) -> list[str]:
    """One name, several, or none."""
    if given is None:
        return []
    return [str(name) for name in given] if isinstance(given, ListConfig) else [str(given)]


def _cutter(cfg: DictConfig, ensemble: Ensemble) -> Cutter | None:
    """What cuts long recordings, if anything does.

    Raises:
        InputError: If two things do, or a stretch would be longer than what is heard of it.
    """
    limit_s = ensemble.max_duration_s
    if cfg.get("segments"):
        if cfg.window_s is not None or cfg.hop_s is not None:
            raise InputError(
                "window_s: expected it without segments=speech, got both; leave one out"
            )
        cutter: Cutter = instantiate(cfg.segments, _convert_="all", max_duration_s=limit_s)
        return cutter
    if cfg.window_s is None:
        if cfg.hop_s is not None:
            raise InputError("hop_s: expected window_s beside it, got none; set window_s=SECONDS")
        return None
    if limit_s is not None and cfg.window_s > limit_s:
        raise InputError(
            f"window_s: expected at most {limit_s:g} s, where the model cuts what it hears, got "
            f"{cfg.window_s:g} s; set window_s={limit_s:g}"
        )
    return SlidingWindows(cfg.window_s, cfg.window_s / 2 if cfg.hop_s is None else cfg.hop_s)


def _with_bar(
    ensemble: Ensemble, requests: Requests, options: PredictionOptions
) -> Iterator[Prediction]:
    rows = requests.rows
    with progress_bar(len(rows), "answering", unit="file") as bar:
        yield from ensemble.answer(rows, options, bar.update)


def _print(
    ensemble: Ensemble, requests: Requests, answers: Sequence[Prediction], calibrated: bool
) -> None:
    first = ensemble.predictors[0]
    title = f"{first.folder.path.name} on {len(answers)} rows"
    if len(ensemble.predictors) > 1:
        title = f"{len(ensemble.predictors)} runs together, mean ± standard deviation over them"
    has_context = any(row.before or row.after for row in requests.rows)
    if ensemble.reads_dialogues:
        named = [row.dialogue for row in requests.rows if row.dialogue]
        has_context = has_context or len(set(named)) < len(named)
    notes = list(reading_notes(ensemble, answers, calibrated, has_context))
    notes += [note for predictor in ensemble.predictors for note in training_notes(predictor)]
    if len(answers) > NUM_SHOWN:
        notes.append(f"The first {NUM_SHOWN} of {len(answers)}; output=FILE holds all.")
    console = plain_console()
    print_table(console, answers_table(answers[:NUM_SHOWN], title, "\n".join(notes)))
    print(printed(console))
    unanswered = [answer for answer in answers if answer.reason]
    if unanswered:
        print(f"{len(unanswered)} of {len(answers)} have no answer:")
        for answer in unanswered[:NUM_SHOWN]:
            print(f"  {answer.name}: {answer.reason}: {answer.detail}")
    print_left_aside(requests)
