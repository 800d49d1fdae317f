import warnings

import pytest

from mmemo.audit.baselines import lookup_answers, majority_class, score_baselines
from tests.audit.hand_made import table

CLASSES = ("anger", "joy", "fear")


def test_ties_go_to_the_class_that_train_has_more_of_then_to_label_order() -> None:
    train = table(
        ("train", 0, 0, "joy", "Hi"),
        ("train", 0, 1, "fear", "Hi!"),
        ("train", 0, 2, "fear", "What?"),
        ("train", 0, 3, "anger", "Why?"),
        ("train", 0, 4, "joy", "Why?"),
        ("train", 0, 5, "fear", "Yes"),
    )
    # fear 3, joy 2, anger 1
    assert majority_class(train, CLASSES) == "fear"
    answers = lookup_answers(train, CLASSES)
    assert answers == {"hi": "fear", "what": "fear", "why": "joy", "yes": "fear"}
    assert majority_class(train[train["label"] != "fear"].iloc[:2], CLASSES) == "anger"


def test_scores_by_hand() -> None:
    rows = table(
        ("train", 0, 0, "joy", "Hi"),
        ("train", 0, 1, "joy", "Yes"),
        ("train", 0, 2, "anger", "No"),
        ("test", 0, 0, "joy", "hi!"),
        ("test", 0, 1, "anger", "no?"),
        ("test", 0, 2, "anger", "Never."),
        ("test", 0, 3, "fear", "Help."),
    )
    scores = {(s.baseline, s.split): s for s in score_baselines(rows, CLASSES, "all")}
    assert list(scores) == [
        ("majority", "train"),
        ("majority", "test"),
        ("text lookup", "train"),
        ("text lookup", "test"),
    ]
    # Always joy: precision 1/4, recall 1, F1 2/5; the others 0.
    majority = scores["majority", "test"]
    assert (majority.num_rows, majority.num_found, majority.num_classes) == (4, 0, 3)
    assert majority.accuracy == pytest.approx(1 / 4)
    assert majority.weighted_f1 == pytest.approx(2 / 5 / 4)
    assert majority.macro_f1 == pytest.approx(2 / 5 / 3)
    # joy, anger, joy, joy: joy F1 2*1/(1+3) = 1/2, anger 2*1/(2+1) = 2/3, fear 0.
    lookup = scores["text lookup", "test"]
    assert (lookup.num_found, lookup.accuracy) == (2, pytest.approx(2 / 4))
    assert lookup.weighted_f1 == pytest.approx((1 / 2 + 2 * 2 / 3) / 4)
    assert lookup.macro_f1 == pytest.approx((1 / 2 + 2 / 3) / 3)
    assert scores["text lookup", "train"].accuracy == 1.0


def test_without_a_training_split_there_is_no_baseline() -> None:
    assert score_baselines(table(("test", 0, 0, "joy", "Hi")), CLASSES, "all") == ()


def test_texts_that_are_not_found_are_answered_without_a_warning() -> None:
    rows = table(("train", 0, 0, "joy", "Hi"), ("test", 0, 0, "anger", "What?"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_baselines(rows, CLASSES, "all")
    assert [(score.num_found, score.accuracy) for score in scores] == [
        (0, 1),
        (0, 0),
        (1, 1),
        (0, 0),
    ]
