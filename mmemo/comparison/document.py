"""What a comparison has found: the contents of ``comparison.json``.

Tables, sentences, figures and the page are made of these classes alone; ``read_comparison`` gives
them back from the file. A score is between 0 and 1, a p value two-sided; None is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mmemo.comparison.difference_results import Difference, InferenceFacts
from mmemo.comparison.gain_results import ModalityGain
from mmemo.comparison.published import PublishedBeside
from mmemo.comparison.ranked_protocol import RankedProtocol
from mmemo.comparison.runs import LeftOut, Setting
from mmemo.documents import read_document
from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.run_metrics import Calibration
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.metric_table import Direction


@dataclass(frozen=True)
class ScoreWithIntervals(SeedSummary):
    """A metric of a group on test, by seed.

    Args:
        mean: Over the seeds.
        sd: Standard deviation over the seeds.
        values: By seed.
        interval: Bounds for the setting, as if seeds and test units were drawn anew.
        interval_models: Bounds for these trained models, as if test units alone were drawn anew.
    """

    interval: Interval | None
    interval_models: Interval | None


@dataclass(frozen=True)
class Curve:
    """The history of one run.

    Args:
        seed: The run's.
        chosen_epoch: Epoch of the checkpoint that was evaluated.
        epoch: Numbers of the epochs, from 0.
        metrics: Values by epoch of each metric: ``train/loss``, ``val/macro_f1``.
    """

    seed: int
    chosen_epoch: int
    epoch: tuple[int, ...]
    metrics: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True)
class SubgroupScores:
    """Scores of the test rows with one value of a column.

    Args:
        num_utterances: How many they are.
        score: Of the metric that subgroups are compared by.
        misjudged: Share of the rows of other classes that is taken for the harmful class; None
            without such rows or class.
    """

    num_utterances: int
    score: SeedSummary
    misjudged: SeedSummary | None


@dataclass(frozen=True)
class SubgroupColumn:
    """Scores of test by the values of one column.

    Args:
        groups: By value, in order.
        gap: Between the highest and the lowest of the means over the seeds.
        gap_interval: Of these trained models, for these two values, over the table's units; None
            of few.
    """

    groups: Mapping[str, SubgroupScores]
    gap: float
    gap_interval: Interval | None


@dataclass(frozen=True)
class GroupResult:
    """One group: runs that differ in seed, and fold, alone.

    Args:
        name: Made of the settings in which the table's groups differ.
        settings: Settings in which the table's groups differ, by dotted key.
        modalities: ``audio+text``, ``audio`` or ``text``: what the models could hear and read.
        seeds: In the order of all values by seed.
        runs: Folders of the runs.
        val: Metrics on validation, which ranks.
        test: Metrics on test.
        per_class_f1: F1 on test by class.
        confusion: Counts on test, summed over the seeds: rows annotated, columns predicted.
        num_parameters: Size of one model; None where a run does not tell.
        num_trainable: Of these, what training changes; None as well of a classical classifier.
        fit_s: Seconds of training.
        samples_per_s: Utterances trained on in a second.
        curves: History of each run.
        calibration: On test.
        per_class_recall: Recall on test by class.
        aurc: Area under the risk-coverage curve on test, with the temperature; None in files of an
            earlier mmemo.
        subgroups: By column scores of groups of speakers, recordings and utterances.
    """

    name: str
    settings: Mapping[str, Setting]
    modalities: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    val: Mapping[str, SeedSummary]
    test: Mapping[str, ScoreWithIntervals]
    per_class_f1: Mapping[str, SeedSummary]
    confusion: tuple[tuple[int, ...], ...]
    num_parameters: int | None
    fit_s: SeedSummary | None
    samples_per_s: SeedSummary | None
    curves: tuple[Curve, ...]
    calibration: Calibration
    per_class_recall: Mapping[str, SeedSummary] = field(default_factory=dict)
    aurc: SeedSummary | None = None
    subgroups: Mapping[str, SubgroupColumn] = field(default_factory=dict)
    num_trainable: int | None = None


@dataclass(frozen=True)
class FoldChoice:
    """What each fold's own validation chooses, where the folds of a cross-validation are joined.

    Args:
        chosen: Name of the group by fold.
        seeds: Seeds that all groups have.
        test: Metrics of the joined answers on test.
    """

    chosen: Mapping[str, str]
    seeds: tuple[int, ...]
    test: Mapping[str, ScoreWithIntervals]


@dataclass(frozen=True)
class ComparisonTable:
    """Groups of one protocol, ranked.

    Args:
        protocol: What the groups have in common.
        stamp: Stamp of the split protocol: ``official``.
        leak_warning: What a reader must know of a leaky protocol; None for another.
        differs: Fields of the protocol in which it differs from the first table's: its value
            there and here.
        inference: What intervals and tests rest on.
        groups: Best on validation first.
        fold_choice: None where folds are not joined.
        baseline: Name of the group that all others are compared with; None where there is none.
        differences: Differences between the groups, with tests.
        notes: For the reader.
        modality_gain: None where there is no fused model beside a unimodal one.
        published: What others have published on the corpus, comparable ones first.
    """

    protocol: RankedProtocol
    stamp: str
    leak_warning: str | None
    differs: Mapping[str, tuple[Setting, Setting]]
    inference: InferenceFacts
    groups: tuple[GroupResult, ...]
    fold_choice: FoldChoice | None
    baseline: str | None
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    modality_gain: ModalityGain | None
    published: tuple[PublishedBeside, ...]


@dataclass(frozen=True)
class CrossCorpusResult:
    """One group on one corpus: that of its training, or another.

    Args:
        trained_on: Name of the training's corpus, with a digest of its rows.
        group: Name of the group, in the table of its own corpus where it has one.
        evaluated_on: Name of the corpus that the score is of, with a digest of its rows.
        rows: Which rows of it: "all rows", "its own test", or the split of the training.
        num_utterances: How many they are.
        classes: That the model and the corpus have.
        num_seeds: Runs.
        score: The comparison's metric.
    """

    trained_on: str
    group: str
    evaluated_on: str
    rows: str
    num_utterances: int
    classes: tuple[str, ...]
    num_seeds: int
    score: ScoreWithIntervals


@dataclass(frozen=True)
class StressedCondition:
    """A condition of ``mmemo stress`` and what a group is worth under it.

    Args:
        panel: Kind of the condition.
        line: Of several of a kind the one.
        level: How much of it, or its name.
        score: By seed.
        to_clean: Difference to the clean score, by seed.
    """

    panel: str
    line: str
    level: str
    score: SeedSummary
    to_clean: SeedSummary


@dataclass(frozen=True)
class StressedGroup:
    """A group of which runs were tried with ``mmemo stress``.

    Args:
        table: Number of the table that it is in, from 1.
        group: Its name.
        metric: What is told.
        num_utterances: That were tried, at least.
        clean: By seed of the runs that were tried.
        conditions: In the order of the runs' own results.
    """

    table: int
    group: str
    metric: str
    num_utterances: int
    clean: SeedSummary
    conditions: tuple[StressedCondition, ...]


@dataclass(frozen=True)
class ComparisonDocument:
    """Contents of ``comparison.json``: what ``mmemo compare`` has found.

    Args:
        metric: "weighted_f1", "uar" and so on: what ranks and what is tested.
        selected_on: Split that ranks the groups.
        reported_on: Split whose scores are reported.
        confidence: Coverage of the intervals.
        num_resamples: Resamples of bootstrap and randomisation, at least.
        seed: Seed of bootstrap and randomisation.
        tables: One for each protocol; leaky ones last, then by the number of runs.
        left_out: Runs that were found and are in no table.
        cross_corpus: Groups by the corpora that they were evaluated on; empty where each was on its
            own alone.
        direction: Whether the lowest or the highest of the metric ranks first.
        subgroup_metric: Of the scores of subgroups.
        harmful_class: That they are taken for; None for none.
        stressed: Groups of which runs were tried with ``mmemo stress``.
        stress_notes: Why results of it cannot be read, or are in no mean.
    """

    VERSION: ClassVar[int] = 3
    READ_VERSIONS: ClassVar[tuple[int, ...]] = (1, 2)

    metric: str
    selected_on: str
    reported_on: str
    confidence: float
    num_resamples: int
    seed: int
    tables: tuple[ComparisonTable, ...]
    left_out: tuple[LeftOut, ...]
    cross_corpus: tuple[CrossCorpusResult, ...] = ()
    direction: Direction = "max"
    subgroup_metric: str = "uar"
    harmful_class: str | None = None
    stressed: tuple[StressedGroup, ...] = ()
    stress_notes: tuple[str, ...] = ()


def read_comparison(path: Path) -> ComparisonDocument:
    """Read ``comparison.json``, as ``mmemo compare`` writes it.

    Raises:
        InputError: If it is missing, damaged, or of another version.
    """
    remedy = "write it again with `mmemo compare`"
    return read_document(path, ComparisonDocument, "a comparison", remedy)
