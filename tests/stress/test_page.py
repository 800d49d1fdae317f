from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.stress.document import STRESS_FILE, STRESS_FOLDER, StressDocument, read_stress
from mmemo.stress.figures import small_multiples
from mmemo.stress.page import denoising_sentences, sound_sentence, write_stress_page
from mmemo.stress.tables import (
    conditions_table,
    conflict_matrix,
    conflict_sentence,
    denoising_table,
    frame,
    levels_that_are_helped,
    short_table,
)
from tests.run_documents import protocol
from tests.stress.made_document import HOSTILE, document, gain, result, scores


def test_the_document_is_read_back(tmp_path: Path) -> None:
    (tmp_path / STRESS_FOLDER).mkdir()
    write_document(tmp_path / STRESS_FOLDER / STRESS_FILE, document())
    assert read_stress(tmp_path) == document()
    with pytest.raises(InputError, match=r"write it again with `mmemo stress run=DIR`"):
        read_stress(tmp_path / STRESS_FOLDER)


def test_a_curve_begins_with_clean_and_each_way_of_denoising_has_its_own() -> None:
    curves, names, *_ = small_multiples(document(), "macro_f1").axes[::3]
    as_trained, otherwise = curves.get_lines()[:2]
    assert as_trained.get_label() == "with deepfilternet2"
    assert list(as_trained.get_xdata()) == [0, 1, 2]
    assert list(as_trained.get_ydata()) == pytest.approx([0.8, 0.7, 0.5])
    assert otherwise.get_label() == "without denoising"
    assert list(otherwise.get_ydata()) == pytest.approx([0.6, 0.6, 0.3])
    assert [label.get_text() for label in curves.get_xticklabels()] == ["clean", "10", "0"]
    assert [label.get_text() for label in names.get_yticklabels()] == ["no punctuation"]


def test_the_page_needs_nothing_and_escapes(tmp_path: Path) -> None:
    write_stress_page(document(), tmp_path / "stress.html")
    page = (tmp_path / "stress.html").read_text()
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") == 4
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "LEAKY" not in page
    leaky = protocol(leaky=True, split="oversampled_before_split")
    write_stress_page(document(protocol=leaky), tmp_path / "stress.html")
    assert "LEAKY" in (tmp_path / "stress.html").read_text()


def test_without_conflict_denoising_and_intervals_there_is_a_page(tmp_path: Path) -> None:
    plain = result("gain", "10", -0.1, 10.0, scores=scores(-0.1, None))
    made = document(conditions=(plain,), denoising=(), conflict=None)
    write_stress_page(made, tmp_path / "stress.html")
    assert "Which modality wins" not in (tmp_path / "stress.html").read_text()
    assert "[" not in short_table(made, "uar").texts.iloc[1, -1]


def helped(made: StressDocument, metric: str) -> list[object]:
    return [(one.from_level, one.beyond_clean) for one in levels_that_are_helped(made, metric)]


def test_denoising_helps_from_the_level_on_below_which_every_gain_is_above_0() -> None:
    # At 10 dB the interval of 0.05 ± 0.1 holds 0, at 0 dB that of 0.2 does not.
    assert helped(document(), "macro_f1") == [("0 dB", ())]
    gains = (gain("10", 10.0, 0.3, 0.05), gain("5", 5.0, 0.2, 0.15), gain("0", 0.0, 0.15, 0.1))
    # More than of clean sound at 5 dB, where the interval of 0.15 ± 0.1 does not hold 0.
    assert helped(document(denoising=gains), "uar") == [("10 dB", ("5 dB",))]
    broken = (gain("10", 10.0, 0.3), gain("5", 5.0, 0.2), gain("0", 0.0, 0.05))
    assert helped(document(denoising=broken), "uar") == [(None, None)]
    # A calibration error is better the lower it is.
    assert helped(document(), "ece") == [(None, ("10 dB",))]
    of_clean = (
        "Of clean sound it is worth +0.200 [+0.100, +0.300] macro F1: the model was trained with "
        "it, and misses what it was trained with. What is beyond that is due to the noise."
    )
    assert denoising_sentences(document()) == [
        "white noise: denoising is worth macro F1 beyond chance from 0 dB on, and more than of "
        "clean sound at no level.",
        of_clean,
        "Of 2 levels, each judged by itself, 1 in 40 seems to gain by chance.",
    ]
    assert denoising_sentences(document(denoising=(gain("clean", None, 0.2), *gains))) == [
        "white noise: denoising is worth macro F1 beyond chance from 10 dB on, and more than of "
        "clean sound at 5 dB.",
        of_clean,
        "Of 3 levels, each judged by itself, 1 in 40 seems to gain by chance.",
    ]
    assert denoising_sentences(document(denoising=broken)) == [
        "white noise: a gain in macro F1 beyond chance is shown at no level down to the worst one.",
        "Of 3 levels, each judged by itself, 1 in 40 seems to gain by chance.",
    ]


def test_the_table_of_gains_tells_how_many_there_are_by_chance() -> None:
    table = denoising_table(document(confidence=0.9))
    assert table is not None
    assert "Of 2 levels, each judged by itself, 1 in 20 seems to gain by chance." in table.note
    unsure = replace(gain("10", 10.0, 0.2), gains=scores(0.2, None))
    table = denoising_table(document(denoising=(unsure,)))
    assert table is not None
    assert "by chance" not in table.note
    assert denoising_sentences(document(denoising=(unsure,))) == []


@pytest.mark.parametrize("levels", [(0.8, 0.9, 1.1), (1.1, 0.9, 0.8)])
def test_clean_is_where_nothing_is_changed(levels: tuple[float, ...]) -> None:
    given = [result("speed", f"{x:g}", 1 - x, x, axis="times as fast", neutral=1.0) for x in levels]
    figure = small_multiples(document(conditions=tuple(given), denoising=()), "uar")
    axes = figure.axes[0]
    shown = [*levels, 1.0]
    shown.sort(reverse=levels[0] > 1)
    line = axes.get_lines()[0]
    assert list(line.get_ydata()) == pytest.approx([0.8 + 1 - x for x in shown])
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["clean" if x == 1 else f"{x:g}" for x in shown]


def test_tables_have_a_row_for_each_condition() -> None:
    made = document()
    assert len(conditions_table(made)) == len(frame(made)) == 7
    row = frame(made).iloc[2]
    assert (row["level"], row["uar"], row["uar_difference_low"]) == ("0", 0.5, pytest.approx(-0.4))
    texts = short_table(made, "macro_f1").texts
    assert texts.iloc[1, 1] == "10 dB"
    assert texts.iloc[6, 1] == "no punctuation (WER 0 %)"
    assert texts.iloc[1, -1] == "−0.100 [−0.200, +0.000]"


def test_the_matrix_tells_who_wins() -> None:
    conflict = document().conflict
    assert conflict is not None
    (name, cells), *_ = conflict_matrix(conflict, ("anger", "joy", "neutral"))
    assert name == "anger"
    assert [cell.text for cell in cells] == ["50 %", "50 : 30", "50 : 20"]
    assert [cell.lean for cell in cells] == [0.0, 20.0, 30.0]
    assert conflict_sentence(conflict).startswith(
        "Of 60 pairs of a sound and words of different classes, 33.3 % (20.0 to 50.0) are"
    )


def test_the_page_says_where_the_sound_came_from() -> None:
    assert sound_sentence(document()).startswith("All 3 clips were decoded again")
    assert sound_sentence(document(num_decoded=1)) == (
        "Of 3 clips 2 are gone: there noise is added to the prepared sound, which deepfilternet2 "
        "1-55a1 has denoised once before."
    )
    assert sound_sentence(document(hears=False)).startswith("The model hears nothing")
