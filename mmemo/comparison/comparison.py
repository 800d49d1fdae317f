"""Runs compared: tables by protocol, scores with intervals, differences with tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmemo.comparison.cross_corpus import cross_corpus_results
from mmemo.comparison.document import ComparisonDocument, ComparisonTable
from mmemo.comparison.gain_results import ModalityGain
from mmemo.comparison.group_names import differing_settings, group_names
from mmemo.comparison.groups import RunGroup, group_runs
from mmemo.comparison.inference import Inference
from mmemo.comparison.modality_gain import modality_gain
from mmemo.comparison.notes import table_notes
from mmemo.comparison.published import PublishedResult, comparable
from mmemo.comparison.ranked_protocol import RankedProtocol, by_protocol
from mmemo.comparison.ranking_metric import ComparedMetrics, OwnMetrics
from mmemo.comparison.runs import LeftOut, RunResults, by_corpus
from mmemo.comparison.scored_groups import ScoredGroup, TableUtterances
from mmemo.comparison.stressed_groups import stressed_groups
from mmemo.corpora.leaks import protocol_stamp
from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import check_metric
from mmemo.evaluation.protocol import leak_warning
from mmemo.evaluation.subgroups import Subgroups
from mmemo.evaluation.units import check_unit

ALL_PAIRS_UP_TO = 6
"""Groups of a table up to which all pairs are compared by default; of more, each with the best."""


@dataclass(frozen=True)
class Comparison:
    """How runs are compared.

    Args:
        metric: "weighted_f1", "uar", "recall_anger" and so on, or one of the user's: what groups
            are sorted by on validation and what is tested on test.
        confidence: Coverage of the intervals, between 0 and 1.
        num_resamples: Resamples of bootstrap and randomisation, at least: many comparisons take
            more.
        seed: Seed of bootstrap and randomisation.
        unit: What they draw: "speaker", "dialogue" or "utterance"; None for what the split keeps
            together.
        all_pairs: Whether all pairs are compared where no baseline is named, however many.
        baseline: Name of the group that all others are compared with; None for all pairs, or, of
            many groups, for the best on validation.
        differences: False to leave the tests out.
        own: Gives the user's metrics, for the classes of a table; None where there are none.
        subgroups: Of test, that each group is scored by.
    """

    metric: str = "weighted_f1"
    confidence: float = 0.95
    num_resamples: int = 1000
    seed: int = 0
    unit: str | None = None
    all_pairs: bool = False
    baseline: str | None = None
    differences: bool = True
    own: OwnMetrics | None = None
    subgroups: Subgroups = field(default_factory=Subgroups)

    def __post_init__(self) -> None:
        """Refuse what cannot be computed."""
        if self.own is None:
            check_metric(self.metric)
        if not 0 < self.confidence < 1:
            raise InputError(f"confidence: expected a share between 0 and 1, got {self.confidence}")
        if self.num_resamples < 1:
            raise InputError(f"num_resamples: expected at least 1, got {self.num_resamples}")
        check_unit(self.unit)

    def compare(
        self,
        results: Sequence[RunResults],
        left_out: Sequence[LeftOut],
        published: Sequence[PublishedResult] = (),
    ) -> ComparisonDocument:
        """Compare runs: what tables, page and figures are made of.

        Args:
            results: The runs.
            left_out: Those that could not be read, to be told.
            published: Results of others, to stand beside those on their corpus.

        Raises:
            InputError: If no run is left, or the baseline is no group's name.
        """
        if not results:
            reasons = "; ".join(f"{run.run}: {run.reason}" for run in left_out[:3])
            raise InputError(f"expected at least one finished run, found none ({reasons})")
        results = by_corpus(results)
        groups, replaced = group_runs(results)
        by_key: dict[str, list[RunGroup]] = defaultdict(list)
        protocols: dict[str, RankedProtocol] = {}
        for group in groups:
            for part, protocol in by_protocol(group):
                key = repr(protocol)
                protocols[key] = protocol
                by_key[key].append(part)
        order = sorted(by_key, key=lambda key: _place(protocols[key], by_key[key]))
        first = protocols[order[0]]
        tables = [self._table(protocols[key], first, by_key[key], published) for key in order]
        self._check_baseline(tables)
        ranking = ComparedMetrics.of(self.metric, first.classes, self.own).ranking
        stressed, unread = stressed_groups(tables, results, self.metric)
        return ComparisonDocument(
            metric=self.metric,
            selected_on="val",
            reported_on="test",
            confidence=self.confidence,
            num_resamples=self.num_resamples,
            seed=self.seed,
            tables=tuple(tables),
            left_out=tuple(dict.fromkeys([*left_out, *replaced])),
            cross_corpus=cross_corpus_results(tables, results, self.metric),
            direction=ranking.direction,
            subgroup_metric=self.subgroups.metric,
            harmful_class=self.subgroups.harmful_class,
            stressed=stressed,
            stress_notes=unread,
        )

    def _table(
        self,
        protocol: RankedProtocol,
        first: RankedProtocol,
        groups: list[RunGroup],
        published: Sequence[PublishedResult],
    ) -> ComparisonTable:
        metrics = ComparedMetrics.of(self.metric, protocol.classes, self.own)
        utterances = TableUtterances(
            groups[0], protocol.classes, self.unit, metrics, self.subgroups
        )
        shown, names = differing_settings(groups), group_names(groups)
        rows = [
            ScoredGroup(name, settings, group, utterances)
            for group, settings, name in zip(groups, shown, names, strict=True)
        ]
        sign = metrics.ranking.sign
        rows.sort(key=lambda row: -sign * float(row.val_scores[self.metric].mean()))
        names = [row.name for row in rows]
        pairs = self._pairs(names) if self.differences else []
        inference = Inference(
            metrics, self.confidence, self.num_resamples, self.seed, self.unit is None
        )
        inferred = inference.run(rows, utterances, pairs)
        results = tuple(
            row.result(bounds) for row, bounds in zip(rows, inferred.bounds, strict=True)
        )
        gain = _modality_gain(rows)
        stamp = protocol_stamp(protocol.split, protocol.leaky)
        return ComparisonTable(
            protocol=protocol,
            stamp=stamp,
            leak_warning=leak_warning(rows[0].group.first.protocol),
            differs=first.differs(protocol),
            inference=inferred.facts,
            groups=results,
            fold_choice=inferred.fold_choice,
            baseline=self.baseline if self.baseline in names else None,
            differences=tuple(inferred.differences),
            notes=table_notes(rows, inferred, utterances.units, self.confidence, results, gain),
            modality_gain=gain,
            published=()
            if protocol.evaluated_on or protocol.part
            else comparable(published, protocol.corpus, protocol.classes, stamp, self.metric),
        )

    def _pairs(self, names: Sequence[str]) -> list[tuple[int, int]]:
        places = range(len(names))
        if self.baseline in names:
            base = names.index(str(self.baseline))
            return [(place, base) for place in places if place != base]
        if self.all_pairs or len(names) <= ALL_PAIRS_UP_TO:
            return [(a, b) for a in places for b in places if a < b]
        return [(0, place) for place in places if place]

    def _check_baseline(self, tables: Sequence[ComparisonTable]) -> None:
        names = [group.name for table in tables for group in table.groups]
        if self.baseline is not None and self.baseline not in names:
            raise InputError(
                f"baseline: expected the name of a group, one of {'; '.join(names)}; got "
                f"'{self.baseline}'"
            )


def _place(
    protocol: RankedProtocol, groups: Sequence[RunGroup]
) -> tuple[bool, bool, bool, str, int]:
    """What tables are sorted by: LEAKY ones last, before them other corpora, and one of several."""
    num_runs = sum(len(group.replicates) for group in groups)
    is_other, part = protocol.evaluated_on is not None, protocol.part or ""
    return protocol.leaky, is_other, protocol.part is not None, part, -num_runs


def _modality_gain(rows: Sequence[ScoredGroup]) -> ModalityGain | None:
    """Of the best group, by validation, of each kind."""
    best: dict[str, ScoredGroup] = {}
    for row in rows:
        best.setdefault(row.group.modalities, row)
    if "audio+text" not in best or len(best) < 2:
        return None
    tables = {
        kind: dict(zip(row.seeds, row.test_tables, strict=True)) for kind, row in best.items()
    }
    names = {kind: row.name for kind, row in best.items()}
    return modality_gain(tables["audio+text"], tables.get("audio"), tables.get("text"), names)
