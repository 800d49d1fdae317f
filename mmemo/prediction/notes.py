"""What has to be known to read answers: what was missing, how they are calibrated, what was cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmemo.errors import InputError
from mmemo.evaluation.protocol import leak_warning, split_stamp
from mmemo.evaluation.shift import FAR_SHARE
from mmemo.prediction.answers import Prediction
from mmemo.prediction.ensemble import Ensemble
from mmemo.runs.predictor import Predictor

SAME_LENGTH_S = 0.01
"""A sample more or less of another rate is no difference."""

NUM_NOTED = 5
"""Recordings whose notes are told."""


def reading_notes(
    ensemble: Ensemble, answers: Sequence[Prediction], calibrated: bool, has_context: bool
) -> Iterator[str]:
    """Sentences that tell what has to be known to read answers.

    Args:
        ensemble: Whose they are.
        answers: Those that are read.
        calibrated: Whether their probabilities are.
        has_context: Whether any was asked with others of its dialogue.
    """
    kinds = list(dict.fromkeys(a.missing for a in answers if a.probabilities is not None))
    for kind in kinds:
        if kind is not None:
            number = sum(answer.missing == kind for answer in answers)
            name = {"audio": "sound", "text": "words"}[kind]
            yield f"{number} without {name}, which the model was trained to do without at times."
    for predictor in ensemble.predictors:
        yield from _calibration(predictor, kinds, calibrated)
    yield from _unlike_training(answers)
    noted = {answer.name: answer.note for answer in answers if answer.note}
    for name, note in list(noted.items())[:NUM_NOTED]:
        yield f"{Path(name).name}: {note}."
    if len(noted) > NUM_NOTED:
        yield f"{len(noted) - NUM_NOTED} more with a note; output=FILE holds all."
    limit_s = ensemble.max_duration_s
    cut = [a for a in answers if limit_s is not None and a.end_s is not None and a.used_duration_s]
    cut = [a for a in cut if (a.end_s or 0) - (a.start_s or 0) > (limit_s or 0) + SAME_LENGTH_S]
    if cut:
        yield (
            f"{len(cut)} longer than {limit_s:g} s, where the model cuts what it hears; "
            f"mmemo predict with window_s={limit_s:g} answers on all of it."
        )
    if ensemble.reads_context and not has_context:
        yield (
            "No context was given, which the model has read in training: mmemo predict takes it "
            "from the columns dialogue and order of a CSV."
        )


def training_notes(predictor: Predictor) -> Iterator[str]:
    """What a model was trained on, and a warning where its test was not honest."""
    try:
        protocol = predictor.protocol
    except InputError:
        return
    name = predictor.folder.path.name
    yield f"{name}: trained on {protocol.corpus} ({split_stamp(protocol)})."
    if warning := leak_warning(protocol):
        yield warning


def _unlike_training(answers: Sequence[Prediction]) -> Iterator[str]:
    """A warning where most of what is asked is unlike what was trained on."""
    told = [a.farther_than for a in answers if a.farther_than is not None]
    far = sum(share >= FAR_SHARE for share in told)
    if 2 * far > len(told):
        yield (
            f"{far} of {len(told)} lie farther from what the model was trained on than "
            f"{100 * FAR_SHARE:g} % of its validation: its scores and probabilities are not of "
            "such input."
        )


def _calibration(
    predictor: Predictor, kinds: Sequence[str | None], calibrated: bool
) -> Iterator[str]:
    name = predictor.folder.path.name
    if not calibrated:
        yield f"{name}: probabilities as the model gives them, not calibrated."
    for kind in kinds if calibrated else ():
        temperature = predictor.temperature(kind)
        if temperature.fitted_on is None:
            yield f"{name}: not calibrated: the run has no evaluation to fit a temperature on."
            continue
        yield (
            f"{name}: calibrated by the temperature {temperature.value:.3f}, fitted on "
            f"{temperature.fitted_on}."
        )
