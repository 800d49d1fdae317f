"""Figures of a run from hand-made tables."""

import pandas as pd

from mmemo.evaluation.run_metrics import Calibration, ReliabilityBin
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.reporting.run_figures import confusion_figure, curves_figure, reliability_figure

TABLE = pd.DataFrame({"target": ["a", "a", "a", "b"], "pred": ["a", "b", "a", "a"]})


def test_confusion_matrix_shows_counts_and_row_percentages() -> None:
    figure = confusion_figure(TABLE, {"a": "#ff0000", "b": "#0000ff"}, "title")
    texts = [text.get_text() for text in figure.axes[0].texts]
    names = figure.axes[0].get_yticklabels()
    assert [(n.get_text(), n.get_color()) for n in names] == [
        ("a (3)", "#ff0000"),
        ("b (1)", "#0000ff"),
    ]
    assert texts == ["2\n67 %", "1\n33 %", "1\n100 %", "0\n0 %"]
    # From above to below as the rows of a table.
    low, high = figure.axes[0].get_ylim()
    assert low > high


def test_curves_mark_the_chosen_epoch() -> None:
    columns = [f"{split}/{metric}" for split in ("train", "val") for metric in ("loss", "accuracy")]
    history = pd.DataFrame([dict.fromkeys(columns, 0.5) | {"epoch": e} for e in range(3)])
    figure = curves_figure(history, 1, "title")
    for axes, metric in zip(figure.axes, ("loss", "accuracy"), strict=True):
        assert axes.get_ylabel() == metric
        train, val, chosen = axes.lines
        assert list(train.get_ydata()) == list(val.get_ydata()) == [0.5] * 3
        assert set(chosen.get_xdata()) == {1}


def _one(value: float) -> SeedSummary:
    return SeedSummary(value, None, (value,))


CALIBRATION = Calibration(
    temperature=_one(1.5),
    ece=_one(0.1875),
    ece_scaled=_one(0.05),
    brier=_one(0.5),
    brier_scaled=_one(0.4),
    num_bins=15,
    reliability=(ReliabilityBin(0.65, 0.5, 10), ReliabilityBin(0.9, 0.7, 30)),
    reliability_scaled=(ReliabilityBin(0.6, 0.65, 40),),
)


def test_reliability_before_and_after_the_temperature() -> None:
    (axes,) = reliability_figure(CALIBRATION, "title").axes
    _, before, after = axes.lines
    assert before.get_xydata().tolist() == [[0.65, 0.5], [0.9, 0.7]]
    assert after.get_xydata().tolist() == [[0.6, 0.65]]
    assert [line.get_label() for line in (before, after)] == [
        "as it is: ECE 0.188",
        "with the temperature: ECE 0.050",
    ]


def test_a_mark_stands_over_the_figure() -> None:
    columns = [f"{split}/{metric}" for split in ("train", "val") for metric in ("loss", "accuracy")]
    history = pd.DataFrame([dict.fromkeys(columns, 0.5) | {"epoch": 0}])
    colours = {"a": "#ff0000", "b": "#0000ff"}
    drawn = [
        figure
        for mark in ("LEAKY", "")
        for figure in (
            confusion_figure(TABLE, colours, "title", mark),
            curves_figure(history, 0, "title", mark),
            reliability_figure(CALIBRATION, "title", mark),
        )
    ]
    marked = [
        [
            ("LEAKY", "#c00000") in [(t.get_text(), t.get_color()) for t in axes.texts]
            for axes in f.axes
        ]
        for f in drawn
    ]
    # The second axes of a confusion matrix is its colour bar.
    assert marked == [
        *([True, False], [True, True], [True]),
        *([False, False], [False, False], [False]),
    ]
