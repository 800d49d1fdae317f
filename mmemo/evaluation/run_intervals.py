"""How far one run's test scores would vary with other test units."""

from __future__ import annotations

import pandas as pd

from mmemo.evaluation.confusion_scores import METRICS, class_numbers
from mmemo.evaluation.intervals import UnitTallies, interval, resampled_scores
from mmemo.evaluation.predictions import classes_of
from mmemo.evaluation.run_metrics import RunIntervals
from mmemo.evaluation.units import UNIT, Units

CONFIDENCE = 0.95
NUM_RESAMPLES = 2000
SEED = 0


def run_intervals(test: pd.DataFrame, unit: str) -> RunIntervals:
    """The intervals of this trained model's scores, by bootstrap over units.

    Args:
        test: Prediction table of test, with the column ``unit``.
        unit: What that names: "dialogue".
    """
    classes, units = classes_of(test), Units.of(unit, test, [UNIT])
    target, pred = (class_numbers(test[column], classes) for column in ("target", "pred"))
    counts = UnitTallies.of(target, [pred], len(classes), units)
    resampled = resampled_scores(counts, METRICS, NUM_RESAMPLES, SEED)
    return RunIntervals(
        kind=f"this trained model: {units.name}s drawn anew, neither seeds nor training data",
        unit=units.name,
        num_units=units.num,
        effective_units=round(units.effective_num, 1),
        confidence=CONFIDENCE,
        test={n: interval(found[:, 0], CONFIDENCE, units) for n, found in resampled.items()},
        note=units.few_note,
    )
