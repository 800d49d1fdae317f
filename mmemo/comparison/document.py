"""What a comparison has found: the contents of ``comparison.json``.

Tables, sentences, figures and the page are made of these classes alone; ``read_comparison`` gives
them back from the file. A score is between 0 and 1, a p value two-sided; None is undefined.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from mmemo.comparison.published import PublishedBeside
from mmemo.comparison.ranked_protocol import RankedProtocol
from mmemo.comparison.runs import LeftOut, Setting
from mmemo.documents import read_document
from mmemo.evaluation.intervals import Interval
from mmemo.evaluation.run_metrics import Calibration
from mmemo.evaluation.seed_summary import SeedSummary
from mmemo.evaluation.significance import SeedTest
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
class SmallestP:
    """The least that p values counted from resamples can be."""

    bootstrap_p: float | None
    randomisation_p: float | None


@dataclass(frozen=True)
class InferenceFacts:
    """What intervals and tests of a table rest on.

    Args:
        unit: What is drawn anew: "dialogue".
        num_units: How many of them the test split has.
        effective_units: So many of equal size vary as much.
        is_unit_of_split: Whether that is what the split keeps together.
        kinds: What the two kinds of interval are of, by name.
        num_comparisons: Differences that p values are adjusted for.
        num_resamples: Resamples of bootstrap and randomisation.
        smallest_p: Least p values of one comparison.
        smallest_adjusted_p: Least p values when all comparisons are adjusted by Holm's method.
        is_jackknife: Whether the interval of these trained models leaves out one unit at a time,
            as units are few.
    """

    unit: str
    num_units: int
    effective_units: float
    is_unit_of_split: bool
    kinds: Mapping[str, str]
    num_comparisons: int
    num_resamples: int
    smallest_p: SmallestP
    smallest_adjusted_p: SmallestP
    is_jackknife: bool = False


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
class SeedMcNemar:
    """McNemar's test of the two runs of one seed.

    Args:
        seed: Seed of the two runs.
        p: Over units; None where there is one unit alone.
        only_a_right: Utterances that the first group's run alone gets right.
        only_b_right: Utterances that the second group's run alone gets right.
    """

    seed: int
    p: float | None
    only_a_right: int
    only_b_right: int


@dataclass(frozen=True)
class AdjustedP:
    """P values adjusted by Holm's method for all comparisons of the table."""

    setting_p: float | None
    bootstrap_p: float | None
    randomisation_p: float | None


@dataclass(frozen=True)
class Difference:
    """One group minus another on test.

    Args:
        a: Name of the first group.
        b: Name of the second group.
        difference: Mean over seeds of the first minus that of the second.
        interval: Bounds for the settings: seeds and test units drawn anew.
        setting_p: P value of no difference between the settings, by the same model.
        interval_models: Bounds for these trained models, by bootstrap over units.
        bootstrap_p: P value of no difference between these models, by the same resamples.
        holm: The three p values of the table's comparisons, adjusted.
        randomisation_p: P value by approximate randomisation of units over the common seeds.
        mcnemar: McNemar's test of each common seed.
        wilcoxon: Signed-rank test over the common seeds.
        sign_test: Sign test over the common seeds.
    """

    a: str
    b: str
    difference: float
    interval: Interval | None
    setting_p: float | None
    interval_models: Interval | None
    bootstrap_p: float | None
    holm: AdjustedP
    randomisation_p: float | None
    mcnemar: tuple[SeedMcNemar, ...]
    wilcoxon: SeedTest
    sign_test: SeedTest


@dataclass(frozen=True)
class GainRow:
    """Utterances of one kind, and how each model does on them: means over seeds.

    Args:
        value: The kind: a class, a range of durations.
        num: How many utterances.
        both: Score of the fused model.
        audio: Score of the model that only hears.
        text: Score of the model that only reads.
        gain_over_audio: Score of the fused model minus that of the model that only hears.
        gain_over_text: Score of the fused model minus that of the model that only reads.
    """

    value: str
    num: int
    both: float
    audio: float | None
    text: float | None
    gain_over_audio: SeedSummary | None
    gain_over_text: SeedSummary | None


@dataclass(frozen=True)
class Agreement:
    """Which of the unimodal models is right, in shares of the utterances, means over seeds.

    ``kappa`` is Cohen's (1960) of their predictions; None where it is undefined for each seed.
    """

    both_right: float
    only_audio_right: float
    only_text_right: float
    neither_right: float
    kappa: float | None


@dataclass(frozen=True)
class MeanScores:
    """Scores on test, means over seeds."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class ModalityGain:
    """Where the best fused model gains over the best unimodal ones, on the same utterances.

    Args:
        models: Name of the group by modalities: "audio+text", "audio", "text".
        seeds: Seeds that all models have.
        num_utterances: Utterances of the test split.
        by: Rows for each kind of breakdown: ``class`` (recall), ``class_f1``, ``duration_s``,
            ``num_words``, ``speaker`` (accuracy).
        agreement: How often the unimodal models agree; None where one is missing.
        oracle: Scores of an oracle that is right where either unimodal model is.
        fused: Scores of the fused model.
        notes: For the reader.
    """

    models: Mapping[str, str]
    seeds: tuple[int, ...]
    num_utterances: int
    by: Mapping[str, tuple[GainRow, ...]]
    agreement: Agreement | None
    oracle: MeanScores | None
    fused: MeanScores | None
    notes: tuple[str, ...]


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
        stress_notes: Why results of it cannot be read.
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
