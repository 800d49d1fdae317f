"""Measures of one explanation that the paper's claims can be held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from mmemo.explanation.agreement import rank_correlation
from mmemo.explanation.explained_set import METHODS, SetMember
from mmemo.explanation.function_words import is_function_word
from mmemo.explanation.positions import (
    PAPER_SAMPLE_RATE,
    Zone,
    length_in_zones,
    share_in_zones,
    shares_by_tenth,
)
from mmemo.explanation.word_influence import attributed_words

Floats = NDArray[np.float64]

NEAR_SAMPLES = 2_500
"""So close to a sample that the paper names, at 16 kHz, still counts as there."""

MIN_PEAKS = 4
"""Fewer peaks have no intervals that could be regular."""


@dataclass(frozen=True)
class Measure:
    """A number of one explanation.

    Args:
        name: What is measured, in words.
        of: Gives the number; None where it is not defined.
        reference_is: What a mean of the claim's reference would stand for.
    """

    name: str
    of: Callable[[SetMember], float | None]
    reference_is: str


def _of_frames(method: str, measure: Callable[[SetMember, Floats], float | None]) -> Measure:
    """A measure of a sound's attribution alone, to be named by ``_named``."""

    def of(member: SetMember) -> float | None:
        frames = member.frames(method)
        return None if frames is None or not np.any(frames) else measure(member, frames)

    return Measure(METHODS[method], of, "")


def _named(measure: Measure, name: str, reference_is: str = "") -> Measure:
    return Measure(f"{measure.name}: {name}", measure.of, reference_is)


def excess_in_zones(method: str, zones: Sequence[Zone]) -> Measure:
    """Share of the attribution's size in zones, minus the share of the clip's length there.

    A clip that lies in them as a whole, or does not reach them, tells nothing and is left out.
    """

    def excess(member: SetMember, frames: Floats) -> float | None:
        rate = member.explanation.sample_rate
        length = length_in_zones(member.edges, rate, zones)
        share = share_in_zones(frames, member.edges, rate, zones)
        is_told = share is not None and 1e-9 < length < 1 - 1e-9
        return share - length if is_told and share is not None else None

    return _named(
        _of_frames(method, excess),
        "share of |attribution| in the zones, minus their share of the clip's length",
        "what the length alone gives",
    )


def ends_before(sample: int) -> Measure:
    """Whether the sound ends before a sample at 16 kHz, as 0 or 1."""

    def ends(member: SetMember) -> float | None:
        if member.num_samples == 0:
            return None
        return float(member.edges[-1] / member.explanation.sample_rate * PAPER_SAMPLE_RATE < sample)

    return Measure(f"share of clips that end before sample {sample:,}", ends, "")


def near_points(method: str, points: Sequence[int]) -> Measure:
    """Attribution near samples at 16 kHz, minus the clip's mean, in units of its mean size."""

    def near(member: SetMember, frames: Floats) -> float | None:
        middles = (member.edges[:-1] + member.edges[1:]) / 2
        samples = middles / member.explanation.sample_rate * PAPER_SAMPLE_RATE
        there = np.min(np.abs(samples[:, None] - np.array(points)), axis=1) <= NEAR_SAMPLES
        if there.all() or not there.any():
            return None
        return float((frames[there].mean() - frames.mean()) / np.abs(frames).mean())

    return _named(
        _of_frames(method, near),
        f"attribution within {NEAR_SAMPLES:,} samples of them minus the clip's mean, in units of "
        "the clip's mean |attribution|",
        "the clip's mean",
    )


def on_voiced_frames(method: str) -> Measure:
    """Share of the attribution's size on voiced frames, minus their share of all frames."""

    def excess(member: SetMember, frames: Floats) -> float | None:
        voiced = member.voiced
        if voiced is None or voiced.all() or not voiced.any():
            return None
        return float(np.abs(frames[voiced]).sum() / np.abs(frames).sum() - voiced.mean())

    return _named(
        _of_frames(method, excess),
        "share of |attribution| on voiced frames, minus their share of all frames",
        "what their number alone gives",
    )


def _evenness(_: SetMember, frames: Floats) -> float | None:
    shares = shares_by_tenth(frames, np.arange(len(frames) + 1.0))
    if shares is None:
        return None
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum() / np.log(len(shares)))


def _sign_changes(member: SetMember, frames: Floats) -> float | None:
    signs = np.sign(frames[frames != 0])
    return float(np.count_nonzero(np.diff(signs)) / _duration_s(member))


def _duration_s(member: SetMember) -> float:
    return member.num_samples / member.explanation.sample_rate


def _irregularity(_: SetMember, frames: Floats) -> float | None:
    peaks, _properties = find_peaks(frames, height=0.0)
    if len(peaks) < MIN_PEAKS:
        return None
    intervals = np.diff(peaks)
    return float(intervals.std() / intervals.mean())


EVENNESS = {
    method: _named(
        _of_frames(method, _evenness),
        "entropy of the shares of |attribution| by tenth of the clip, 1 where all are equal",
    )
    for method in METHODS
}

SIGN_CHANGES = _named(
    _of_frames("integrated_gradients", _sign_changes), "changes of sign in a second"
)

PEAK_REGULARITY = _named(
    _of_frames("occlusion", _irregularity),
    "standard deviation of the time between positive peaks over its mean, 0 where regular",
)

NEGATIVE_FRAMES = _named(
    _of_frames("occlusion", lambda _, frames: float((frames < 0).mean())),
    "share of frames that speak against the class",
    "as many for as against",
)


def _agreement_on_voice(member: SetMember) -> float | None:
    gradients, occlusion = (member.frames(method) for method in METHODS)
    if gradients is None or occlusion is None or member.voiced is None:
        return None
    voiced, rest = (
        rank_correlation(gradients[where], occlusion[where]) if where.any() else None
        for where in (member.voiced, ~member.voiced)
    )
    return None if voiced is None or rest is None else voiced - rest


AGREEMENT_ON_VOICE = Measure(
    "rank correlation of both methods on voiced frames, minus that on the others",
    _agreement_on_voice,
    "as on the others",
)


def _sound_over_words(member: SetMember) -> float | None:
    shapley = member.explanation.shapley
    if shapley is None or set(shapley.values) != {"audio", "text"}:
        return None
    return shapley.values["audio"] - shapley.values["text"]


SOUND_OVER_WORDS = Measure(
    "Shapley value of audio minus that of text, in units of F",
    _sound_over_words,
    "as much sound as words",
)


def _by_kind(member: SetMember, method: str) -> tuple[list[float], list[float]]:
    """Attributions of content and of function words."""
    kinds: tuple[list[float], list[float]] = ([], [])
    for word, value in attributed_words(member, method):
        kinds[is_function_word(word)].append(value)
    return kinds


def content_minus_function(method: str) -> Measure:
    """Mean attribution of an utterance's content words minus that of its function words."""

    def difference(member: SetMember) -> float | None:
        content, function = _by_kind(member, method)
        return float(np.mean(content) - np.mean(function)) if content and function else None

    return Measure(
        f"{METHODS[method]}: mean of content words minus that of function words, in units of F",
        difference,
        "as much on both",
    )


def named_words(method: str, names: Sequence[str]) -> Measure:
    """Mean attribution of certain words."""

    def mean(member: SetMember) -> float | None:
        found = [value for word, value in attributed_words(member, method) if word in names]
        return float(np.mean(found)) if found else None

    return Measure(f"{METHODS[method]}: their mean, in units of F", mean, "nothing")


def _function_words(member: SetMember) -> float | None:
    content, function = (np.abs(values) for values in _by_kind(member, "integrated_gradients"))
    total = content.sum() + function.sum()
    if total == 0 or not len(content) or not len(function):
        return None
    return float(function.sum() / total - len(function) / (len(content) + len(function)))


FUNCTION_WORDS = Measure(
    "Integrated Gradients: share of |attribution| on function words, minus their share of words",
    _function_words,
    "what their number alone gives",
)
