"""How often a comparison of runs is wrong: settings, few units, paired answers, joined folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from simulated_rates import (
    NUM_RESAMPLES,
    Floats,
    Rate,
    Row,
    dialogue_sizes,
    holds,
    is_below,
    rate,
    repeated,
)
from statsmodels.stats.contingency_tables import mcnemar

from mmemo.comparison.differences import num_resamples
from mmemo.evaluation.confusion_scores import METRICS
from mmemo.evaluation.intervals import (
    UnitTallies,
    bootstrap_p,
    left_out_scores,
    resampled_scores,
    score_interval,
)
from mmemo.evaluation.setting_estimates import SettingModel
from mmemo.evaluation.significance import UnitSwaps, holm, mcnemar_tests, randomisation_p
from mmemo.evaluation.units import Units

CLASS_SHARES = (0.5, 0.3, 0.2)
NUM_DIALOGUES = 280
ACCURACY = 0.62


@dataclass(frozen=True)
class World:
    """Where utterances come from: how right models are, and what makes them right together.

    Args:
        of_unit: Share of a model's variance that an utterance's unit has.
        of_run: Share that no other run has.
        seed_sd: Standard deviation of the accuracy between seeds.
    """

    of_unit: float = 0.15
    of_run: float = 0.4
    seed_sd: float = 0.0

    def draw(self, random: np.random.Generator, sizes: NDArray[np.int64], num_runs: int) -> Runs:
        """Runs of one setting, or of settings that are alike, on the same utterances."""
        unit = np.repeat(np.arange(len(sizes)), sizes)
        num = len(unit)
        target = random.choice(len(CLASS_SHARES), size=num, p=CLASS_SHARES)
        middle = norm.ppf(ACCURACY)

        def part(size: tuple[int, int], share: float) -> Floats:
            return np.sqrt(share) * random.normal(size=size)

        shared = part((1, len(sizes)), self.of_unit * (1 - self.of_run))[:, unit]
        shared = shared + part((1, num), (1 - self.of_unit) * (1 - self.of_run))
        own = part((num_runs, len(sizes)), self.of_unit * self.of_run)[:, unit]
        own = own + part((num_runs, num), (1 - self.of_unit) * self.of_run)
        seeds = part((num_runs, 1), (self.seed_sd / norm.pdf(middle)) ** 2)
        right = middle + shared + own + seeds > 0
        others = (target + random.integers(1, len(CLASS_SHARES), size=right.shape)) % len(
            CLASS_SHARES
        )
        units = Units("dialogue", unit)
        preds = np.where(right, target, others)
        counts = UnitTallies.of(target, list(preds), len(CLASS_SHARES), units)
        return Runs(counts, right, units)

    @property
    def truth(self) -> float:
        """The accuracy over all seeds and utterances."""
        middle = norm.ppf(ACCURACY)
        return float(norm.cdf(middle / np.sqrt(1 + (self.seed_sd / norm.pdf(middle)) ** 2)))


@dataclass(frozen=True)
class Runs:
    """Drawn predictions: counts by unit, and who is right (S, N)."""

    counts: UnitTallies
    right: NDArray[np.bool_]
    units: Units


def plain_p(differences: Floats) -> float:
    """Twice the smaller share of resampled differences beyond 0."""
    beyond = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(differences) + 1))


def settings(repeats: int, seed: int) -> list[Row]:
    """A setting against itself, and its own interval, with few seeds."""
    rows = []
    for num_seeds in (3, 5):
        for seed_sd in (0.0, 0.005, 0.01, 0.019):
            world = World(seed_sd=seed_sd)
            for metric in ("accuracy", "macro_f1"):
                found = _settings(repeats, seed, world, num_seeds, metric)
                name = f"{num_seeds} seeds, sd {seed_sd:g}, {metric}"
                rows.append(Row(f"{name}: difference, FPR", 0.05, *found[:2]))
                if metric == "accuracy":
                    rows.append(Row(f"{name}: one setting, coverage", 0.95, *found[2:]))
    return rows


def _settings(
    repeats: int, seed: int, world: World, num_seeds: int, metric: str
) -> tuple[Rate, Rate, Rate, Rate]:
    answers: list[list[bool | None]] = [[], [], [], []]
    a, b = list(range(num_seeds)), list(range(num_seeds, 2 * num_seeds))
    for random in repeated(repeats, seed):
        sizes = dialogue_sizes(random, NUM_DIALOGUES)
        drawn = world.draw(random, sizes, 2 * num_seeds)
        one = {metric: METRICS[metric]}
        resampled = resampled_scores(drawn.counts, one, NUM_RESAMPLES, seed)[metric]
        first, second = resampled[:, a].mean(axis=1), resampled[:, b].mean(axis=1)
        scores = drawn.counts.scores(METRICS[metric])
        model = SettingModel.of(scores, resampled, drawn.units)
        difference, score = model.difference(a, b), model.score(a)
        low, high = np.quantile(first, [0.025, 0.975])
        answers[0].append(is_below(plain_p(first - second)))
        answers[1].append(is_below(difference and difference.p))
        answers[2].append(holds((low, high), world.truth))
        answers[3].append(holds(score and score.interval(0.95, 0.0), world.truth))
    return rate(answers[0]), rate(answers[1]), rate(answers[2]), rate(answers[3])


def units(repeats: int, seed: int) -> list[Row]:
    """Two trained models on few units, and on clips of few speakers."""
    rows = []
    for num in (2, 3, 5, 10, 20, 50):
        before, after, swapped = _few(repeats, seed, num)
        rows.append(Row(f"{num} dialogues: bootstrap, FPR", 0.05, before, after))
        rows.append(Row(f"{num} dialogues: randomisation, FPR", 0.05, swapped, swapped))
    rows += [
        Row(f"{name}, coverage", 0.95, *_coverage(repeats, seed, sizes))
        for name, sizes in (
            ("5 speakers of 36 clips, drawn as clips and left out one by one", np.full(5, 36)),
            ("12 speakers of 36 clips, drawn as clips and left out one by one", np.full(12, 36)),
            ("24 speakers of 36 clips, drawn as clips and as speakers", np.full(24, 36)),
            ("60 speakers, six with four fifths of the clips", np.r_[np.full(6, 240), [7] * 54]),
        )
    ]
    return rows


def _few(repeats: int, seed: int, num: int) -> tuple[Rate, Rate, Rate]:
    answers: list[list[bool | None]] = [[], [], []]
    metric = {"accuracy": METRICS["accuracy"]}
    for random in repeated(repeats, seed):
        drawn = World().draw(random, dialogue_sizes(random, num), 2)
        resampled = resampled_scores(drawn.counts, metric, NUM_RESAMPLES, seed)["accuracy"]
        differences = resampled[:, 0] - resampled[:, 1]
        pair = (drawn.counts.only([0]), drawn.counts.only([1]))
        swaps = UnitSwaps(num, NUM_RESAMPLES, seed)
        (p,) = randomisation_p([pair], METRICS["accuracy"], swaps)
        answers[0].append(is_below(plain_p(differences)))
        answers[1].append(is_below(bootstrap_p(differences, drawn.units)))
        answers[2].append(is_below(p))
    return rate(answers[0]), rate(answers[1]), rate(answers[2])


def _coverage(repeats: int, seed: int, sizes: NDArray[np.int64]) -> tuple[Rate, Rate]:
    answers: list[list[bool | None]] = [[], []]
    metric = {"accuracy": METRICS["accuracy"]}
    for random in repeated(repeats, seed):
        drawn = World(of_unit=0.1).draw(random, sizes, 1)
        value = float(drawn.counts.scores(METRICS["accuracy"])[0])
        if drawn.units.has_jackknife:
            scores = left_out_scores(drawn.counts, METRICS["accuracy"])
        else:
            scores = resampled_scores(drawn.counts, metric, NUM_RESAMPLES, seed)["accuracy"]
        found = score_interval(value, scores[:, 0], 0.95, drawn.units)
        clips = random.binomial(len(drawn.units.number), drawn.right.mean(), size=NUM_RESAMPLES)
        low, high = np.quantile(clips / len(drawn.units.number), [0.025, 0.975])
        answers[0].append(holds((low, high), World().truth))
        answers[1].append(holds(found, World().truth))
    return rate(answers[0]), rate(answers[1])


def clustered_pairs(repeats: int, seed: int) -> list[Row]:
    """McNemar's question of two runs, of utterances and of units."""
    rows = []
    for num, size in ((280, 10), (24, 36), (5, 80)):
        answers: list[list[bool | None]] = [[], []]
        for random in repeated(repeats, seed):
            drawn = World(of_run=0.8).draw(random, np.full(num, size), 2)
            a, b = drawn.right
            table = [[0, int((a & ~b).sum())], [int((~a & b).sum()), 0]]
            pair = (drawn.counts.only([0]), drawn.counts.only([1]))
            swaps = UnitSwaps(num, NUM_RESAMPLES, seed)
            (after,) = mcnemar_tests([pair], [(a, b)], swaps)
            answers[0].append(is_below(float(mcnemar(table, exact=False).pvalue)))
            answers[1].append(is_below(after.p))
        name = f"McNemar, {num} units of {size}, FPR"
        rows.append(Row(name, 0.05, rate(answers[0]), rate(answers[1])))
    return rows


def many_comparisons(repeats: int, seed: int) -> list[Row]:
    """The smallest p that 29 comparisons can reach, adjusted by Holm."""
    plain = holm([2 / (NUM_RESAMPLES + 1)] * 29)[0]
    swaps = UnitSwaps(NUM_DIALOGUES, num_resamples(NUM_RESAMPLES, 29), seed)
    return [
        Row(
            "smallest p of 29 comparisons, adjusted",
            0.05,
            plain,
            holm([swaps.smallest_p or 1] * 29)[0],
        )
    ]


NUM_SETTINGS = 20
NUM_FOLDS, NUM_VAL_FOLDS, SPEAKERS, CLIPS = 6, 5, 12, 36


def joined_folds(repeats: int, seed: int) -> list[Row]:
    """How much too high the test score of the setting is that joined folds choose."""
    excess: list[list[float]] = [[], [], []]
    for random in repeated(repeats, seed):
        speaker = np.repeat(np.arange(SPEAKERS), CLIPS)
        fold = speaker // (SPEAKERS // NUM_FOLDS)
        # Clips are hard for all settings; a setting answers one alike in all folds.
        shared = np.sqrt(0.5) * random.normal(size=len(speaker))
        of_setting = np.sqrt(0.01) * random.normal(size=(NUM_SETTINGS, SPEAKERS))[:, speaker]
        of_setting = of_setting + np.sqrt(0.29) * random.normal(size=(NUM_SETTINGS, len(speaker)))
        noise = np.sqrt(0.2) * random.normal(size=(NUM_FOLDS, NUM_SETTINGS, len(speaker)))
        right = norm.ppf(ACCURACY) + shared + of_setting + noise > 0
        tests = np.stack([fold == number for number in range(NUM_FOLDS)])
        test = np.stack([right[n][:, tests[n]].mean(axis=1) for n in range(NUM_FOLDS)])
        for place, num_val in ((0, 1), (1, 1), (2, NUM_VAL_FOLDS)):
            val = np.stack([_validation(right[n], fold, n, num_val) for n in range(NUM_FOLDS)])
            if place == 0:
                chosen = test[:, val.mean(axis=0).argmax()]
            else:
                chosen = test[np.arange(NUM_FOLDS), val.argmax(axis=1)]
            excess[place].append(float(chosen.mean()) - ACCURACY)
    before, one, nested = (float(np.mean(values)) for values in excess)
    return [
        Row(f"best of {NUM_SETTINGS} by joined validation, fold by fold: excess", 0.0, before, one),
        Row("the same with nested folds: excess", 0.0, before, nested),
    ]


def _validation(
    right: NDArray[np.bool_], fold: NDArray[np.int64], test_fold: int, num_val: int
) -> Floats:
    """Each setting's score on the validation folds of a test fold, which are the next ones."""
    folds = [(test_fold + step) % NUM_FOLDS for step in range(1, num_val + 1)]
    scores: Floats = right[:, np.isin(fold, folds)].mean(axis=1)
    return scores
