"""Measures of one explanation that a paper's claims can be held against, as conf/claims does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from mmemo.explanation.chance import rank_correlation
from mmemo.explanation.explanation import COMPARED, METHODS, MODALITIES
from mmemo.explanation.frames import (
    PAPER_SAMPLE_RATE,
    Zone,
    length_in_zones,
    share_in_zones,
    shares_by_tenth,
)
from mmemo.explanation.members import SetMember
from mmemo.explanation.word_influence import attributed_words, is_function_word

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
    reference_is: str = ""


def _frame_measure(
    method: str,
    name: str,
    measure: Callable[[SetMember, Floats], float | None],
    reference_is: str = "",
) -> Measure:
    """A measure of a sound's attribution alone, where that is not 0 as a whole."""

    def of(member: SetMember) -> float | None:
        frames = member.frames(method)
        return None if frames is None or not np.any(frames) else measure(member, frames)

    return Measure(f"{METHODS[method]}: {name}", of, reference_is)


def excess_in_zones(method: str, zones: Sequence[Zone]) -> Measure:
    """Share of the attribution's size in zones, minus the share of the clip's length there.

    A clip that lies in them as a whole, or does not reach them, tells nothing and is left out.
    """

    def excess(member: SetMember, frames: Floats) -> float | None:
        rate = member.explanation.sample_rate
        length = length_in_zones(member.edges, rate, zones)
        share = share_in_zones(frames, member.edges, rate, zones)
        is_partly_inside = share is not None and 1e-9 < length < 1 - 1e-9
        return share - length if is_partly_inside and share is not None else None

    return _frame_measure(
        method,
        "share of |attribution| in the zones, minus their share of the clip's length",
        excess,
        "what the length alone gives",
    )


def ends_before(sample: int) -> Measure:
    """Whether the sound ends before a sample at 16 kHz, as 0 or 1."""

    def ends(member: SetMember) -> float | None:
        if member.num_samples == 0:
            return None
        return float(member.edges[-1] / member.explanation.sample_rate * PAPER_SAMPLE_RATE < sample)

    return Measure(f"share of clips that end before sample {sample:,}", ends)


def near_points(method: str, points: Sequence[int]) -> Measure:
    """Attribution near samples at 16 kHz, minus the clip's mean, in units of its mean size."""

    def near(member: SetMember, frames: Floats) -> float | None:
        middles = (member.edges[:-1] + member.edges[1:]) / 2
        samples = middles / member.explanation.sample_rate * PAPER_SAMPLE_RATE
        there = np.min(np.abs(samples[:, None] - np.array(points)), axis=1) <= NEAR_SAMPLES
        if there.all() or not there.any():
            return None
        return float((frames[there].mean() - frames.mean()) / np.abs(frames).mean())

    return _frame_measure(
        method,
        f"attribution within {NEAR_SAMPLES:,} samples of them minus the clip's mean, in units of "
        "the clip's mean |attribution|",
        near,
        "the clip's mean",
    )


def on_voiced_frames(method: str) -> Measure:
    """Share of the attribution's size on voiced frames, minus their share of all frames."""

    def excess(member: SetMember, frames: Floats) -> float | None:
        voiced = member.voiced
        if voiced is None or voiced.all() or not voiced.any():
            return None
        return float(np.abs(frames[voiced]).sum() / np.abs(frames).sum() - voiced.mean())

    return _frame_measure(
        method,
        "share of |attribution| on voiced frames, minus their share of all frames",
        excess,
        "what their number alone gives",
    )


def evenness(method: str) -> Measure:
    """How evenly the attribution's size is spread over the clip."""

    def entropy(_: SetMember, frames: Floats) -> float | None:
        shares = shares_by_tenth(frames, np.arange(len(frames) + 1.0))
        if shares is None:
            return None
        some = shares[shares > 0]
        return float(-(some * np.log(some)).sum() / np.log(len(shares)))

    name = "entropy of the shares of |attribution| by tenth of the clip, 1 where all are equal"
    return _frame_measure(method, name, entropy)


def sign_changes(method: str) -> Measure:
    """How often the attribution changes its sign."""

    def changes(member: SetMember, frames: Floats) -> float | None:
        signs = np.sign(frames[frames != 0])
        duration_s = member.num_samples / member.explanation.sample_rate
        return float(np.count_nonzero(np.diff(signs)) / duration_s)

    return _frame_measure(method, "changes of sign in a second", changes)


def peak_irregularity(method: str) -> Measure:
    """How irregular the times between positive peaks are."""

    def irregularity(_: SetMember, frames: Floats) -> float | None:
        peaks, _properties = find_peaks(frames, height=0.0)
        if len(peaks) < MIN_PEAKS:
            return None
        intervals = np.diff(peaks)
        return float(intervals.std() / intervals.mean())

    name = "standard deviation of the time between positive peaks over its mean, 0 where regular"
    return _frame_measure(method, name, irregularity)


def negative_frames(method: str) -> Measure:
    """Share of frames that speak against the class."""

    def share(_: SetMember, frames: Floats) -> float | None:
        return float((frames < 0).mean())

    name = "share of frames that speak against the class"
    return _frame_measure(method, name, share, "as many for as against")


def agreement_on_voice() -> Measure:
    """Whether the two methods agree more on voiced frames than on the others."""

    def agreement(member: SetMember) -> float | None:
        gradients, occlusion = (member.frames(method) for method in COMPARED)
        if gradients is None or occlusion is None or member.voiced is None:
            return None
        voiced, rest = (
            rank_correlation(gradients[where], occlusion[where]) if where.any() else None
            for where in (member.voiced, ~member.voiced)
        )
        return None if voiced is None or rest is None else voiced - rest

    name = "rank correlation of both methods on voiced frames, minus that on the others"
    return Measure(name, agreement, "as on the others")


def sound_over_words() -> Measure:
    """Shapley value of the sound minus that of the words."""

    def excess(member: SetMember) -> float | None:
        shapley = member.explanation.shapley
        if shapley is None or set(shapley.values) != set(MODALITIES):
            return None
        return shapley.values["audio"] - shapley.values["text"]

    name = "Shapley value of audio minus that of text, in units of F"
    return Measure(name, excess, "as much sound as words")


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


def function_words(method: str) -> Measure:
    """Share of the attribution's size on function words, minus their share of all words."""

    def excess(member: SetMember) -> float | None:
        content, function = (np.abs(values) for values in _by_kind(member, method))
        total = content.sum() + function.sum()
        if total == 0 or not len(content) or not len(function):
            return None
        return float(function.sum() / total - len(function) / (len(content) + len(function)))

    name = "share of |attribution| on function words, minus their share of words"
    return Measure(f"{METHODS[method]}: {name}", excess, "what their number alone gives")
