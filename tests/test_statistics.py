"""A fast part of benchmarks/statistics.py: how often answers are wrong where the truth is known."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

TOLERATED = 0.07
"""Of a nominal 0.05, beside what so few repeats may differ by."""


def spread(share: float, repeats: int) -> float:
    """Three standard errors of a share."""
    return float(3 * (share * (1 - share) / repeats) ** 0.5)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Callable[[str], ModuleType]]:
    path = list(sys.path)
    sys.path.append(str(BENCHMARKS))
    yield lambda name: importlib.import_module(f"simulated_{name}")
    sys.path[:] = path


def check(rows: list[Any], repeats: int) -> None:
    """No rate is worse than it may be, and each was before or is not answered now."""
    for row in rows:
        if row.after is None:
            continue
        if row.nominal == 0.05:
            assert row.after <= TOLERATED + spread(TOLERATED, repeats), row
        else:
            assert row.after >= 0.93 - spread(0.93, repeats), row


@pytest.mark.slow
def test_settings_are_set_against_settings(simulated: Any) -> None:  # noqa: ANN401
    comparisons = simulated("comparisons")
    world = comparisons.World(seed_sd=0.019)
    repeats = 150
    before, after, covered_before, covered = comparisons._settings(repeats, 0, world, 3, "accuracy")
    assert before > 0.2, "seeds taken as fixed"
    assert after <= TOLERATED + spread(TOLERATED, repeats)
    assert covered_before < 0.9
    assert covered >= 0.93 - spread(0.93, repeats)
    none = comparisons._settings(repeats, 1, comparisons.World(), 3, "macro_f1")
    assert none[1] <= TOLERATED + spread(TOLERATED, repeats)


@pytest.mark.slow
def test_few_units_and_wrong_units(simulated: Any) -> None:  # noqa: ANN401
    repeats = 150
    rows = simulated("comparisons").units(repeats, 0)
    check(rows, repeats)
    by_name = {row.what: row for row in rows}
    for num, before in ((2, 0.25), (3, 0.08), (5, 0.08)):
        row = by_name[f"{num} dialogues: bootstrap, FPR"]
        assert row.before > before and row.after is None
    clips = by_name["24 speakers of 36 clips, drawn as clips and as speakers, coverage"]
    assert clips.before < 0.9 < clips.after
    for num in (5, 12):
        few = by_name[
            f"{num} speakers of 36 clips, drawn as clips and left out one by one, coverage"
        ]
        assert few.before < 0.9 < few.after


def test_answers_of_a_unit_are_no_pairs_of_their_own(simulated: Any) -> None:  # noqa: ANN401
    repeats = 150
    rows = simulated("comparisons").clustered_pairs(repeats, 0)
    check(rows, repeats)
    assert all(row.before > TOLERATED for row in rows)


def test_the_smallest_p_of_many_comparisons(simulated: Any) -> None:  # noqa: ANN401
    (row,) = simulated("comparisons").many_comparisons(1, 0)
    assert row.before == pytest.approx(29 * 2 / 1001)
    assert row.after == pytest.approx(29 / 5801)


def test_joined_folds_choose_on_test_and_a_folds_own_validation_does_not(
    simulated: Any,  # noqa: ANN401
) -> None:
    one, nested = simulated("comparisons").joined_folds(300, 0)
    assert one.before > 0.02
    assert abs(one.after) < 0.01 and abs(nested.after) < 0.01


def test_means_of_few_numbers(simulated: Any) -> None:  # noqa: ANN401
    repeats = 200
    rows = simulated("explanations").means(repeats, 0)
    check([row for row in rows if "skewed" not in row.what], repeats)
    by_name = {row.what: row for row in rows}
    for num, before in ((2, 0.6), (3, 0.8)):
        row = by_name[f"mean of {num} normal values, coverage"]
        assert row.before < before and row.after is None
    # A skewed mean of few needs more than any symmetric interval.
    assert by_name["mean of 5 skewed values, coverage"].after > 0.8


def test_claims_about_classes_that_are_alike(simulated: Any) -> None:  # noqa: ANN401
    repeats = 200
    rows = simulated("explanations").claims(repeats, 0)
    single = [row for row in rows if "any of" not in row.what]
    check(single, repeats)
    assert all(row.before > TOLERATED for row in single)
    check([row for row in rows if "any of" in row.what], repeats // 20)


@pytest.mark.slow
def test_verdicts_on_attributions_that_are_unrelated_to_the_model(
    simulated: Any,  # noqa: ANN401
) -> None:
    repeats = 15
    explanations = simulated("explanations")
    for row in explanations.explanations(repeats, 0):
        if row.before is not None:
            assert row.before > 0.3, "coin flips"
        # The four measures of an utterance are not independent.
        assert row.after <= TOLERATED + spread(TOLERATED, repeats), row
    rows = explanations.agreements(100, 0)
    check(rows, 100)
    assert rows[0].before > 0.3 and rows[0].after == 0.0


def test_the_table_is_printed_though_the_file_has_the_name_of_a_module() -> None:
    command = [sys.executable, str(BENCHMARKS / "statistics.py"), "--repeats", "2"]
    done = subprocess.run(
        [*command, "--only", "comparisons", "pairs"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["nominal", "before", "after"]
    assert rows[0].split()[-3:] == ["0.05", "0.058", "0.005"]
    assert len(rows) == 4
