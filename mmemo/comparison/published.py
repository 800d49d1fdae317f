"""Results that others have published, to stand beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import METRICS
from mmemo.reporting.numbers import metric_name, plain, with_sd
from mmemo.reporting.tables import Cell, Table, named, table_of


@dataclass(frozen=True)
class PublishedResult:
    """One published figure.

    Args:
        corpus: Name of the corpus, as in a run's protocol.
        system: What was evaluated.
        modalities: Such as "audio+text".
        context: What beside the utterance the system reads.
        metric: "accuracy", "macro_f1" or "weighted_f1".
        classes: Names of the classes; none where they are not stated.
        split: Stamp of the split protocol; "official" is the corpus' own.
        value: Published value, between 0 and 1.
        source: Where it stands.
        sd: Standard deviation over runs, where it is given.
        num_runs: Runs that it is the mean of, where that is given.
    """

    corpus: str
    system: str
    modalities: str
    context: str
    metric: str
    classes: tuple[str, ...]
    split: str
    value: float
    source: str
    sd: float | None = None
    num_runs: int | None = None

    def differs_in(self, classes: Iterable[str], split: str, metric: str) -> list[str]:
        """What keeps it from being ranked with scores of these: fields, none where it may be.

        Args:
            classes: Of the scores, in any order.
            split: Stamp of their split protocol.
            metric: Their name.
        """
        is_same = {
            "metric": self.metric == metric,
            "classes": set(self.classes) == set(classes),
            "split": self.split == split,
        }
        return [name for name, same in is_same.items() if not same]


@dataclass(frozen=True)
class PublishedBeside(PublishedResult):
    """A published result on the corpus of a table of scores.

    ``differs`` names what keeps it from being ranked with those scores ("metric", "classes",
    "split"); it is empty for one that may be. The other fields are those of ``PublishedResult``.
    """

    differs: tuple[str, ...] = ()


def read_published(folder: Path) -> list[PublishedResult]:
    """All results in the files of a folder, one file for each corpus.

    Raises:
        InputError: If a file or an entry lacks a field or has one that there is not, or if a
            metric, classes or a value is not what it can be.
    """
    return [entry for path in sorted(folder.glob("*.yaml")) for entry in _read(path)]


def comparable(
    results: Iterable[PublishedResult],
    corpus: str,
    classes: Iterable[str],
    split: str,
    metric: str,
) -> tuple[PublishedBeside, ...]:
    """The results on a corpus, each with what keeps it from being ranked with a table's scores.

    Args:
        results: Published results on any corpus.
        corpus: Corpus of the table.
        classes: Names of the table's classes.
        split: Stamp of the table's split protocol.
        metric: What the table's groups are ranked by.

    Returns:
        Those that may be ranked first; otherwise the order is kept.
    """
    beside = [
        PublishedBeside(**vars(result), differs=tuple(result.differs_in(classes, split, metric)))
        for result in results
        if result.corpus == corpus
    ]
    return tuple(sorted(beside, key=lambda result: bool(result.differs)))


def _read(path: Path) -> list[PublishedResult]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = {"corpus", "classes", "results"}
    if not isinstance(document, Mapping) or set(document) != wanted:
        raise InputError(f"{path}: expected {', '.join(sorted(wanted))}; correct the file")
    return [_result(path, document, entry) for entry in document["results"]]


def _result(path: Path, document: Mapping[str, Any], entry: Mapping[str, Any]) -> PublishedResult:
    label_sets: Mapping[str, list[str]] = document["classes"]
    known = {field.name for field in fields(PublishedResult)} - {"corpus"}
    needed = known - {"sd", "num_runs"}
    if not needed <= set(entry) <= known:
        problem = f"expected the fields {', '.join(sorted(needed))}; perhaps sd, num_runs"
    elif entry["metric"] not in METRICS:
        problem = f"expected a metric of {', '.join(METRICS)}"
    elif entry["classes"] not in label_sets:
        problem = f"expected classes of {', '.join(label_sets)}"
    elif not isinstance(entry["value"], float) or not 0 <= entry["value"] <= 1:
        problem = "expected a value between 0 and 1"
    else:
        classes = tuple(label_sets[entry["classes"]])
        given = {**entry, "corpus": document["corpus"], "classes": classes}
        return PublishedResult(**given)
    raise InputError(f"{path}: {problem}; got {dict(entry)}; correct that entry")


def published_tables(published: Sequence[PublishedBeside]) -> list[Table]:
    """Published results that can stand beside these, and those that cannot, with the reason."""
    beside = [result for result in published if not result.differs]
    others = [result for result in published if result.differs]
    header = ["system", "modalities", "context", "metric", "classes", "split", "value", "source"]
    return [
        table_of(
            "published",
            "Published, of the same metric, classes and split",
            header,
            "llllllrl",
            [_published_row(result) for result in beside],
        ),
        table_of(
            "published otherwise",
            "Published on another metric, classes or split: no ranking",
            [*header, "differs in"],
            "llllllrll",
            [[*_published_row(result), named(plain(result.differs))] for result in others],
        ),
    ]


def _published_row(result: PublishedBeside) -> list[Cell]:
    count = len(result.classes)
    others = f"{count}: {plain(result.classes)}" if count else "unstated"
    runs = f" ({result.num_runs} runs)" if result.num_runs else ""
    return [
        *map(named, (result.system, result.modalities, result.context)),
        named(metric_name(result.metric)),
        named(others if "classes" in result.differs else f"the same {count}"),
        named(result.split),
        Cell(with_sd(result.value, result.sd) + runs, result.value),
        named(result.source),
    ]
