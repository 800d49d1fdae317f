"""How often intervals, tests and verdicts are wrong, on drawn data whose truth is known.

    python benchmarks/statistics.py
    python benchmarks/statistics.py --repeats 200 --only settings units

FPR is how often a difference is found where there is none, at a nominal 5 %; coverage how often a
nominal 95 % interval holds the truth. "before" is the plain method, written out here: a percentile
bootstrap of what was observed, McNemar's test of utterances, a mean that is taken as exact. "after"
is what mmemo does. A – is no answer: too few units or seeds. With 1,000 repeats a rate of 0.05 has
a standard error of 0.007.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulated_rates import Row

# This file has the name of a module of the standard library: its folder comes last.
sys.path.append(sys.path.pop(0))


def simulations() -> dict[str, Callable[[int, int], list[Row]]]:
    """What can be simulated, by name."""
    import simulated_comparisons as comparisons
    import simulated_explanations as explanations

    return {
        "settings": comparisons.settings,
        "units": comparisons.units,
        "pairs": comparisons.clustered_pairs,
        "comparisons": comparisons.many_comparisons,
        "folds": comparisons.joined_folds,
        "means": explanations.means,
        "claims": explanations.claims,
        "explanations": explanations.explanations,
        "agreements": explanations.agreements,
    }


def main() -> None:
    """Simulate and print the table."""
    known = simulations()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=1000, help="of each simulation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=known, default=list(known))
    options = parser.parse_args()
    print(f"{'':75}  nominal  before   after")
    for name in options.only:
        for row in known[name](options.repeats, options.seed):
            told = ["–" if value is None else f"{value:.3f}" for value in (row.before, row.after)]
            print(f"{row.what:75}  {row.nominal:7.2f}  {told[0]:>6}  {told[1]:>6}", flush=True)


if __name__ == "__main__":
    main()
else:
    # Another benchmark, or a package it imports, looked for the standard library's and came here.
    del sys.modules[__name__]
    import_module(__name__)
