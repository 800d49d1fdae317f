"""Tables and figures of groups, abstention and shift, of predictions that are known."""

import numpy as np
import pandas as pd

from mmemo.evaluation.abstention import Abstention
from mmemo.evaluation.run_metrics import ShiftMetrics
from mmemo.evaluation.subgroups import Subgroups
from mmemo.reporting.abstention_tables import (
    area_sentence,
    class_coverage_table,
    conformal_table,
    coverage_table,
    shift_sentence,
    threshold_sentences,
)
from mmemo.reporting.figures import inline_svg
from mmemo.reporting.group_tables import gaps_table, group_table, reading_sentences
from mmemo.reporting.run_figures import groups_figure, risk_coverage_figure


def predictions(split: str) -> pd.DataFrame:
    """Forty rows of four speakers: the women right, a half of the men's taken for anger."""
    number = np.arange(40)
    sex = np.where(number < 20, "f", "m")
    target = np.where(number % 2 == 0, "anger", "joy")
    wrong = (sex == "m") & (number % 4 == 1)
    pred = np.where(wrong, "anger", target)
    sure = np.where(wrong, 0.6, 0.9)
    return pd.DataFrame(
        {
            "key": [f"{split}/{n}" for n in number],
            "split": split,
            "corpus_split": split,
            "corpus": "c",
            "dialogue_id": number,
            "speaker": [f"{split}{n // 10}" for n in number],
            "unit": [f"{split}{n // 10}" for n in number],
            "target": target,
            "pred": pred,
            "trait_sex": sex,
            "prob_anger": np.where(pred == "anger", sure, 1 - sure),
            "prob_joy": np.where(pred == "joy", sure, 1 - sure),
        }
    )


def test_tables_and_figure_of_groups() -> None:
    groups = Subgroups(columns=["sex"], min_utterances=5).scores(predictions("test"), "speaker")
    texts = gaps_table(groups).texts.iloc[0].tolist()
    # Of ten joyful rows of the men five are wrong.
    assert texts[:5] == ["sex", "2", "m: 0.750", "f: 1.000", "0.250"]
    assert texts[6:9] == ["speaker", "m: 0.500", "0.500"]
    rows = group_table("sex", groups).texts
    assert rows.iloc[:, 0].tolist() == ["f", "m"]
    assert group_table("sex", groups, most=1).texts.iloc[0, 0] == "m"
    assert any("no p below 0.17 is possible" in one for one in reading_sentences(groups))
    drawn = inline_svg(groups_figure(groups, "a run"), "groups", "groups")
    assert "f (20)" in drawn
    assert "taken for anger" in drawn


def test_tables_and_figure_of_abstention() -> None:
    found = Abstention().metrics(predictions("val"), predictions("test"), "speaker")
    # Five wrong answers of forty, the least sure.
    accuracy = coverage_table(found).texts.iloc[:, 1].tolist()
    assert accuracy == ["1.000", "1.000", "1.000", "0.972", "0.875"]
    assert "0.125 if it did not know at all" in area_sentence(found)
    assert "87.5 % answered, 0 % wrong" in threshold_sentences(found)[0]
    assert any("uncertain" in one for one in threshold_sentences(found))
    assert conformal_table(found).texts.iloc[:, 0].tolist() == ["LAC", "APS"]
    assert class_coverage_table(found).texts.iloc[:, 0].tolist() == ["anger", "joy"]
    drawn = inline_svg(risk_coverage_figure(found.selective, "a run"), "risk", "risk")
    assert "share answered" in drawn


def test_the_sentence_of_the_shift() -> None:
    told = shift_sentence(ShiftMetrics(100, 8, 0.99, 4.0, 2.0, 3.5, 0.25, None, 0.9, None))
    assert told.startswith("25 % of test lies farther from the training split than 99 % of")
    assert "Accuracy of what is near 0.900, of what is far –." in told
