from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from mmemo.reporting.figures import (
    confusion_counts,
    plot_confusion_matrix,
    plot_curves,
    plot_reliability,
    save_figure,
)

TABLE = pd.DataFrame({"target": ["a", "a", "a", "b"], "pred": ["a", "b", "a", "a"]})


def test_counts_are_in_label_order_with_zeros() -> None:
    counts = confusion_counts(TABLE, ["b", "a", "c"])
    assert counts.to_numpy().tolist() == [[0, 1, 0], [1, 2, 0], [0, 0, 0]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(self: Figure, *args: object, **kwargs: object) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_a_figure_is_laid_out_as_matplotlib_does_it(tmp_path: Path) -> None:
    for name in ("ours.png", "theirs.png"):
        figure = Figure(figsize=(4, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([1, 2, 4], label="a long name of a line")
        left.legend()
        left.set(ylabel="a label\nof two lines")
        figure.colorbar(right.imshow([[0, 1], [2, 3]]), ax=right)
        figure.suptitle("title " * 20, wrap=True)
        if name == "ours.png":
            save_figure(figure, tmp_path / name, tmp_path / "ours.pdf")
        else:
            figure.savefig(tmp_path / name, dpi=150)
    ours, theirs = (imread(tmp_path / name) for name in ("ours.png", "theirs.png"))
    np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "ours.pdf").read_bytes().startswith(b"%PDF")


def test_confusion_matrix_shows_counts_and_row_percentages(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    plot_confusion_matrix(TABLE, {"a": "#ff0000", "b": "#0000ff"}, "title", tmp_path / "c.png")
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    names = drawn[0].axes[0].get_yticklabels()
    assert [(n.get_text(), n.get_color()) for n in names] == [
        ("a (3)", "#ff0000"),
        ("b (1)", "#0000ff"),
    ]
    assert texts == ["2\n67 %", "1\n33 %", "1\n100 %", "0\n0 %"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_curves_mark_the_chosen_epoch(tmp_path: Path, drawn: list[Figure]) -> None:
    columns = [f"{split}/{metric}" for split in ("train", "val") for metric in ("loss", "accuracy")]
    history = pd.DataFrame([dict.fromkeys(columns, 0.5) | {"epoch": e} for e in range(3)])
    plot_curves(history, 1, "title", tmp_path / "c.png")
    for axes, metric in zip(drawn[0].axes, ("loss", "accuracy"), strict=True):
        assert axes.get_ylabel() == metric
        train, val, chosen = axes.lines
        assert list(train.get_ydata()) == list(val.get_ydata()) == [0.5] * 3
        assert set(chosen.get_xdata()) == {1}


CALIBRATION = {
    "reliability": [
        {"confidence": 0.65, "accuracy": 0.5, "count": 10},
        {"confidence": 0.9, "accuracy": 0.7, "count": 30},
    ],
    "reliability_scaled": [{"confidence": 0.6, "accuracy": 0.65, "count": 40}],
    "ece": {"mean": 0.1875},
    "ece_scaled": {"mean": 0.05},
}


def test_reliability_before_and_after_the_temperature(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_reliability(CALIBRATION, "title", tmp_path / "r.png")
    (axes,) = drawn[0].axes
    _, before, after = axes.lines
    assert before.get_xydata().tolist() == [[0.65, 0.5], [0.9, 0.7]]
    assert after.get_xydata().tolist() == [[0.6, 0.65]]
    assert [line.get_label() for line in (before, after)] == [
        "as it is: ECE 0.188",
        "with the temperature: ECE 0.050",
    ]
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_mark_stands_over_the_figure(tmp_path: Path, drawn: list[Figure]) -> None:
    columns = [f"{split}/{metric}" for split in ("train", "val") for metric in ("loss", "accuracy")]
    history = pd.DataFrame([dict.fromkeys(columns, 0.5) | {"epoch": 0}])
    colours = {"a": "#ff0000", "b": "#0000ff"}
    for mark in ("LEAKY", ""):
        plot_confusion_matrix(TABLE, colours, "title", tmp_path / "c.png", mark)
        plot_curves(history, 0, "title", tmp_path / "c.png", mark)
        plot_reliability(CALIBRATION, "title", tmp_path / "c.png", mark)
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
