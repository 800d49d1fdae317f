"""How often numbers over explanations are wrong: means, claims, verdicts on what is unrelated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from simulated_rates import (
    LEVEL,
    NUM_RESAMPLES,
    Floats,
    Row,
    dialogue_sizes,
    holds,
    is_below,
    rate,
    repeated,
)

from mmemo.evaluation.mean_estimates import mean_interval, permutation_p
from mmemo.evaluation.significance import holm
from mmemo.explanation.checks import NO_VERDICT, CheckSettings, ExplanationChecks
from mmemo.explanation.checks_summary import checks_summary
from mmemo.explanation.explanation import COMPARED
from mmemo.explanation.perturbation_curves import BETTER_SIDE

SETTINGS = CheckSettings({}, False, ())

MIN_DRAWS = 39
"""Random orders; fewer have no p as low as 0.05."""

Draw = Callable[[np.random.Generator, int], Floats]
SHAPES: dict[str, Draw] = {
    "normal": lambda random, num: random.normal(size=num),
    "skewed": lambda random, num: random.exponential(size=num) - 1,
}


def means(repeats: int, seed: int) -> list[Row]:
    """Intervals of the mean of few numbers, and of numbers that belong together."""
    rows = []
    for name, draw in SHAPES.items():
        for num in (2, 3, 5, 10, 30):
            answers: list[list[bool | None]] = [[], []]
            for random in repeated(repeats, seed):
                values = draw(random, num)
                drawn = values[random.integers(num, size=(NUM_RESAMPLES, num))].mean(axis=1)
                low, high = np.quantile(drawn, [0.025, 0.975])
                found = mean_interval(list(values))
                answers[0].append(holds((low, high), 0.0))
                answers[1].append(holds(_bounds(found), 0.0))
            what = f"mean of {num} {name} values, coverage"
            rows.append(Row(what, 0.95, rate(answers[0]), rate(answers[1])))
    for num in (6, 12, 40):
        answers = [[], []]
        for random in repeated(repeats, seed):
            unit = np.repeat(np.arange(num), dialogue_sizes(random, num))
            values = random.normal(size=num)[unit] + random.normal(size=len(unit))
            answers[0].append(holds(_bounds(mean_interval(list(values))), 0.0))
            found = mean_interval(list(values), [str(place) for place in unit])
            answers[1].append(holds(_bounds(found), 0.0))
        what = f"mean over {num} dialogues, of utterances and of dialogues, coverage"
        rows.append(Row(what, 0.95, rate(answers[0]), rate(answers[1])))
    return rows


def _bounds(row: dict[str, float | None]) -> tuple[float, float] | None:
    low, high = row["low"], row["high"]
    return None if low is None or high is None else (low, high)


def claims(repeats: int, seed: int) -> list[Row]:
    """A class against others that are alike: one claim, and any of twenty."""
    rows = []
    for name, draw in SHAPES.items():
        for num, num_others in ((10, 10), (10, 40), (30, 120)):
            answers: list[list[bool | None]] = [[], []]
            family: list[list[bool | None]] = [[], []]
            found: list[list[bool]] = [[], []]
            p_values: list[float] = []
            for number, random in enumerate(repeated(repeats, seed), 1):
                own, others = draw(random, num), draw(random, num_others)
                means_of = own[random.integers(num, size=(NUM_RESAMPLES, num))].mean(axis=1)
                low, high = np.quantile(means_of, [0.025, 0.975])
                p = _p(own, others)
                answers[0].append(not low <= others.mean() <= high)
                answers[1].append(is_below(p))
                found[0].append(bool(answers[0][-1]))
                p_values.append(1.0 if p is None else p)
                if number % 20 == 0:
                    family[0].append(any(found[0][-20:]))
                    family[1].append(min(holm(p_values[-20:])) < LEVEL)
            what = f"claim, {num} {name} values against {num_others}"
            rows.append(Row(f"{what}, FPR", 0.05, rate(answers[0]), rate(answers[1])))
            rows.append(Row(f"{what}: any of 20, FPR", 0.05, rate(family[0]), rate(family[1])))
    return rows


def _p(own: Floats, others: Floats) -> float | None:
    names = [
        [f"{kind}{place}" for place in range(len(v))] for kind, v in (("a", own), ("b", others))
    ]
    return permutation_p(list(own), names[0], list(others), names[1])


NUM_FRAMES = 100
EXPLAINED_SET = 30


def smooth(random: np.random.Generator, width: int) -> Floats:
    """Noise (F,) as smooth as the mean of so many frames."""
    noise = random.normal(size=NUM_FRAMES + 2 * width)
    return np.convolve(noise, np.ones(width) / width, mode="same")[width:-width]


ATTRIBUTIONS: dict[str, tuple[str, Callable[[np.random.Generator], Floats]]] = {
    "words": ("text", lambda random: random.normal(size=12)),
    "frames, rough": ("audio", lambda random: random.normal(size=NUM_FRAMES)),
    "frames, smooth": ("audio", lambda random: smooth(random, 9)),
    "frames, smooth with few peaks": ("audio", lambda random: np.exp(9 * smooth(random, 9))),
}
"""Unrelated to the model that they are held against."""


def explanations(repeats: int, seed: int) -> list[Row]:
    """Verdicts on attributions that are unrelated to the model: of one utterance, and of a set."""
    rows = []
    for name, (modality, draw) in ATTRIBUTIONS.items():
        single: list[list[bool | None]] = [[], []]
        for random in repeated(repeats, seed):
            checks = _checked(random, draw(random), modality, MIN_DRAWS)
            curves = checks.curves[f"occlusion/{modality}"]
            for row in checks.rows:
                few = np.mean(curves.random[row.name][:5])
                gain = BETTER_SIDE[row.name] * ((row.value or 0.0) - few)
                single[0].append(bool(gain > 0))
                single[1].append(row.verdict == "better than random")
        what = f"{name}, one utterance: better than random"
        rows.append(Row(what, 0.05, rate(single[0]), rate(single[1])))
        told: list[bool | None] = []
        for random in repeated(max(1, repeats // 5), seed + 1):
            documents = [
                _checked(random, draw(random), modality, 5, str(number)).document(SETTINGS)
                for number in range(EXPLAINED_SET)
            ]
            told += [is_below(row.p) for row in checks_summary(documents)]
        rows.append(Row(f"{name}, a set of {EXPLAINED_SET}: p below 0.05", 0.05, None, rate(told)))
    return rows


def _checked(
    random: np.random.Generator,
    attribution: Floats,
    modality: str,
    num_orders: int,
    key: str = "utterance",
) -> ExplanationChecks:
    """Of a model to which parts count with their neighbours alone, and some more than others."""
    reach = 2 if modality == "audio" else 0
    weights = np.abs(smooth(random, 15))[: len(attribution)]

    def score(masks: NDArray[np.bool_]) -> Floats:
        padded = np.pad(masks, ((0, 0), (reach, reach)), constant_values=True)
        near = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=1)
        found: Floats = near.all(axis=2) @ weights / weights.sum()
        return found

    checks = ExplanationChecks(key)
    order_seed = int(random.integers(2**31))
    checks.add_order("occlusion", modality, attribution, score, num_orders, order_seed)
    return checks


def agreements(repeats: int, seed: int) -> list[Row]:
    """Verdicts on the agreement of attributions that are unrelated to each other."""
    rows = []
    for num in (3, 5, 12):
        answers: list[list[bool | None]] = [[], []]
        for random in repeated(repeats, seed):
            checks = ExplanationChecks("utterance")
            checks.add_methods(COMPARED, "text", *random.normal(size=(2, num)), seed=seed)
            correlation, overlap = checks.rows
            answers[0] += [(correlation.value or 0) >= 0.5]
            answers[0] += [(overlap.value or 0) > (overlap.reference or 0)]
            answers[1] += [correlation.verdict == "they agree"]
            answers[1] += [overlap.verdict not in ("", NO_VERDICT, "less than by chance")]
        what = f"{num} words: the methods agree, or overlap more than by chance"
        rows.append(Row(what, 0.05, rate(answers[0]), rate(answers[1])))
    return rows
