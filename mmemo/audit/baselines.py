"""What no model is needed for: the most frequent class, and looking the transcript up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mmemo.audit.counts import splits_of


@dataclass(frozen=True)
class BaselineScore:
    """How far one baseline comes on one split.

    Args:
        baseline: "majority" or "text lookup".
        scope: Which rows were taken: "all", or the name of a label set.
        num_classes: Classes told apart.
        split: The split that was scored. The lookup knows every text of train, so its score
            there only tells how often equal texts have different labels.
        num_rows: Rows of it.
        num_found: Rows whose text was found in train (text lookup only; else 0).
        accuracy: Share of right answers.
        weighted_f1: F1 by class, weighted by the rows of each class.
        macro_f1: Mean F1 over all classes; a class that is never answered counts 0.
    """

    baseline: str
    scope: str
    num_classes: int
    split: str
    num_rows: int
    num_found: int
    accuracy: float
    weighted_f1: float
    macro_f1: float


def majority_class(train: pd.DataFrame, classes: Sequence[str]) -> str:
    """The most frequent class of the training split; of equals the first in label order."""
    return _by_frequency(train, classes)[0]


def lookup_answers(train: pd.DataFrame, classes: Sequence[str]) -> dict[str, str]:
    """For each normalised text of the training split its most frequent class.

    Of equally frequent ones it is the class that is more frequent in the whole training split,
    then the first in label order.
    """
    rank = {label: position for position, label in enumerate(_by_frequency(train, classes))}
    with_words = train[train["transcript"] != ""]
    counts = with_words.groupby(["text", "label"]).size().rename("count").reset_index()
    counts["rank"] = counts["label"].map(rank)
    best = counts.sort_values(["count", "rank"], ascending=[False, True]).drop_duplicates("text")
    return dict(zip(best["text"], best["label"], strict=True))


def score_baselines(
    table: pd.DataFrame, classes: Sequence[str], scope: str
) -> tuple[BaselineScore, ...]:
    """Score both baselines, made from the training split, on each split.

    Args:
        table: Annotated rows of these classes alone, as ``findings.audit_table`` makes them.
        classes: In label order.
        scope: What the rows are called.
    """
    train = table[table["split"] == "train"]
    if train.empty:
        return ()
    majority = majority_class(train, classes)
    answers = lookup_answers(train, classes)
    scores = []
    for name, known in (("majority", {}), ("text lookup", answers)):
        for split in splits_of(table):
            rows = table[table["split"] == split]
            predicted = [known.get(text, majority) for text in rows["text"]]
            scores.append(
                BaselineScore(
                    name,
                    scope,
                    len(classes),
                    split,
                    len(rows),
                    sum(text in known for text in rows["text"]),
                    *_scores(list(rows["label"]), predicted, classes),
                )
            )
    return tuple(scores)


def _by_frequency(train: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    counts = train["label"].value_counts()
    return sorted(classes, key=lambda label: -int(counts.get(label, 0)))


def _scores(
    target: list[str], predicted: list[str], classes: Sequence[str]
) -> tuple[float, float, float]:
    """Accuracy, weighted F1 and macro F1."""
    # Its import costs more than the rest of an audit.
    from sklearn.metrics import accuracy_score, f1_score

    weighted, macro = (
        float(f1_score(target, predicted, labels=list(classes), average=kind, zero_division=0))
        for kind in ("weighted", "macro")
    )
    return float(accuracy_score(target, predicted)), weighted, macro
