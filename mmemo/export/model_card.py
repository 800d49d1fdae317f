"""A model card made of a run's files: what it is for, how good it is, and where it fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from mmemo.corpora.leaks import LEAKY
from mmemo.evaluation.calibration import is_at_bound
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.protocol import leak_warning, split_stamp
from mmemo.evaluation.run_metrics import RunMetrics
from mmemo.reporting.numbers import (
    UNDEFINED,
    counted,
    in_words,
    interval,
    metric_name,
    percent,
    score,
)
from mmemo.reporting.tables import escape_markdown, markdown, table_of
from mmemo.runs.run_files import DataCard
from mmemo.runs.run_folder import RunFolder
from mmemo.version import __version__

MIN_GROUP_ROWS = 10
"""Fewer rows of a speaker tell little."""

MAX_SHOWN = 5


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Args:
        run: Name of the run's folder.
        metrics: Of the run.
        data: What it was trained on.
        test: Prediction table of test.
        others: The run's results on other corpora.
        licence: Of the model; None where it is not said.
        corpus_licence: The corpus' terms; None for what the data card says of them.
    """

    run: str
    metrics: RunMetrics
    data: DataCard
    test: pd.DataFrame
    others: tuple[RunMetrics, ...]
    licence: str | None
    corpus_licence: str | None

    @classmethod
    def of(cls, run: RunFolder, licence: str | None, corpus_licence: str | None) -> CardFacts:
        """From a run's folder.

        Raises:
            InputError: If a file of it is missing or damaged.
        """
        table = read_predictions(run.predictions_file)
        names = sorted(path.name for path in run.path.glob("on_*") if path.is_dir())
        others = [RunFolder(run.path, other=name) for name in names]
        return cls(
            run=run.path.name,
            metrics=run.read_metrics(),
            data=run.read_data_card(),
            test=table[table["split"] == "test"],
            others=tuple(o.read_metrics() for o in others if o.metrics_file.is_file()),
            licence=licence,
            corpus_licence=corpus_licence,
        )

    @property
    def scores(self) -> dict[str, tuple[float, float]]:
        """By metric the score on test and that of the majority baseline."""
        test = self.metrics.splits["test"]
        base = test.majority_baseline
        occur = sum(scores.support > 0 for scores in test.per_class.values())
        # Of one class that is always answered the recall is 1, of all others 0.
        is_there = test.per_class[base.majority_class].support > 0
        recall = {} if test.uar is None else {"uar": (test.uar, is_there / occur)}
        return {
            "accuracy": (test.accuracy, base.accuracy),
            "macro_f1": (test.macro.f1, base.macro_f1),
            "weighted_f1": (test.weighted.f1, base.weighted_f1),
            **recall,
        }


def model_card(facts: CardFacts) -> str:
    """The card as Markdown, with what the hub reads of it in front."""
    protocol = facts.metrics.protocol
    warning = leak_warning(protocol)
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(facts), sort_keys=False, allow_unicode=True)}---",
        f"# {escape_markdown(facts.run)}",
        *([f"**{escape_markdown(warning)}**"] if warning else []),
        _task(facts),
        "## Use",
        "```bash\nmmemo predict run=DIR input=clip.wav\n```",
        f"`DIR` is this folder. mmemo {__version__} wrote it; weights are read without pickle.",
        "## Training data and protocol",
        _data(facts),
        _protocol(facts),
        "## Scores on test",
        _scores(facts),
        "## Calibration",
        _calibration(facts),
        "## Where it fails",
        *_failures(facts),
    ]
    if facts.others:
        parts += ["## On other corpora", *map(_elsewhere, facts.others)]
    parts += ["## Limits", LIMITS]
    return "\n\n".join(parts) + "\n"


LIMITS = (
    "The labels are what annotators have heard or read, not what a speaker felt. The numbers are "
    "of the corpus and protocol above alone: other speakers, languages, microphones and kinds of "
    "talk were not tested unless a section says so. Do not decide about people by it."
)


def _front_matter(facts: CardFacts) -> dict[str, Any]:
    protocol = facts.metrics.protocol
    uses_audio = protocol.audio_encoder != "none"
    tags = ["emotion-recognition", *(["speech"] if uses_audio else []), "mmemo"]
    tags += [LEAKY] if protocol.leaky else []
    results = [
        {"type": kind, "name": name, "value": round(facts.scores[metric][0], 4)}
        for metric, kind, name in (
            ("accuracy", "accuracy", "accuracy"),
            ("macro_f1", "f1", "macro F1"),
        )
    ]
    task = "audio-classification" if uses_audio else "text-classification"
    dataset = {
        "name": protocol.corpus,
        "type": protocol.corpus,
        "split": f"test, {split_stamp(protocol)}",
    }
    return {
        **({"license": facts.licence} if facts.licence else {}),
        "library_name": "mmemo",
        "pipeline_tag": task,
        "tags": tags,
        "metrics": ["accuracy", "f1"],
        "model-index": [
            {
                "name": facts.run,
                "results": [{"task": {"type": task}, "dataset": dataset, "metrics": results}],
            }
        ],
    }


def _task(facts: CardFacts) -> str:
    protocol = facts.metrics.protocol
    by_input = {"sound": protocol.audio_encoder, "transcript": protocol.text_encoder}
    there = {name: encoder for name, encoder in by_input.items() if encoder != "none"}
    encoders = "; ".join(f"{name}: {encoder}" for name, encoder in there.items())
    return escape_markdown(
        f"Tells the emotion of an utterance from its {' and '.join(there)}: one of "
        f"{', '.join(protocol.classes)}. Encoders: {encoders}."
    )


def _data(facts: CardFacts) -> str:
    protocol, prepared = facts.metrics.protocol, facts.data.prepared
    sizes = ", ".join(f"{count} of {split}" for split, count in protocol.num_utterances.items())
    unknown = (
        "not stated by who made this card; look up its terms before you use or pass on the weights"
    )
    licence = facts.corpus_licence or prepared.licence or unknown
    place = f", from {prepared.homepage}" if prepared.homepage else ""
    return escape_markdown(
        f"Corpus: {protocol.corpus}{place} ({prepared.name}), {sizes} utterances. Its licence: "
        f"{licence}."
    )


def _protocol(facts: CardFacts) -> str:
    protocol = facts.metrics.protocol
    fields = {
        "split": split_stamp(protocol),
        "the corpus' split": protocol.corpus_split,
        "label set": protocol.labels,
        "denoiser": protocol.denoiser or "none",
        "loss": protocol.loss,
        "sampling": protocol.sampling,
        "selection": protocol.selection,
        "epoch of the checkpoint": protocol.checkpoint_epoch + 1,
        "seed": protocol.seed,
        "earlier utterances that are read": protocol.context_utterances,
        "later utterances that are read": protocol.future_utterances,
    }
    rows = [[name, value] for name, value in in_words(fields).items()]
    return markdown(table_of("protocol", "", ["", "protocol"], "ll", rows))


def _scores(facts: CardFacts) -> str:
    metrics = facts.metrics
    test, found = metrics.splits["test"], metrics.intervals
    rows = []
    for metric, (value, baseline) in facts.scores.items():
        bounds = found.test.get(metric) if found else None
        rows.append([metric_name(metric), score(value), interval(bounds), score(baseline)])
    confidence = percent(found.confidence) if found else ""
    header = [
        "",
        "test",
        f"{confidence} interval",
        f"always {test.majority_baseline.majority_class}",
    ]
    drawn = ""
    if found is not None:
        drawn = found.note or (f"Intervals: {found.kind}; {counted(found.num_units, found.unit)}.")
    table = markdown(table_of("scores", "", header, "lrrr", rows))
    stamp = f"N = {test.num_utterances}, split {split_stamp(metrics.protocol)}."
    return f"{table}\n\n{escape_markdown(f'{stamp} {drawn} One seed of one training.')}"


def _calibration(facts: CardFacts) -> str:
    found = facts.metrics.calibration
    if found is None:
        return "Not measured."
    temperature = found.temperature.mean
    decided = " (an end of the range: validation decides none)" if is_at_bound(temperature) else ""
    return (
        f"Expected calibration error of the top class on test: {score(found.ece.mean)}; with the "
        f"temperature {temperature:.2f}, fitted on validation{decided}: "
        f"{score(found.ece_scaled.mean)}. Brier score: {score(found.brier.mean)}, "
        f"{score(found.brier_scaled.mean)} with it."
    )


def _failures(facts: CardFacts) -> list[str]:
    classes = facts.metrics.splits["test"].per_class
    by_f1 = sorted(classes.items(), key=lambda item: item[1].f1)
    rows = [
        [name, *(score(v) for v in (one.f1, one.precision, one.recall)), str(one.support)]
        for name, one in by_f1
    ]
    header = ["class, worst first", "F1", "precision", "recall", "N"]
    parts = [markdown(table_of("classes", "", header, "lrrrr", rows))]
    wrong = facts.test[facts.test["target"] != facts.test["pred"]]
    pairs = Counter(zip(wrong["target"].map(str), wrong["pred"].map(str), strict=True))
    if pairs:
        described_pairs = ", ".join(
            f"{target} taken for {pred} ({count})"
            for (target, pred), count in pairs.most_common(MAX_SHOWN)
        )
        parts.append(escape_markdown(f"Most frequent confusions: {described_pairs}."))
    return [*parts, *_speakers(facts.test)]


def _speakers(test: pd.DataFrame) -> list[str]:
    """The speakers it is worst on, of those with some rows."""
    speakers = test["speaker"].fillna("").astype(str)
    is_right = (test["target"] == test["pred"]).groupby(speakers)
    groups = pd.DataFrame({"accuracy": is_right.mean(), "num": is_right.size()})
    groups = groups[(groups["num"] >= MIN_GROUP_ROWS) & (groups.index != "")]
    if len(groups) < 2:
        return [f"No two speakers have {MIN_GROUP_ROWS} test utterances: none are compared."]
    worst = groups.sort_values("accuracy", kind="stable").head(MAX_SHOWN)
    rows = [
        [str(name), score(float(row["accuracy"])), str(int(row["num"]))]
        for name, row in worst.iterrows()
    ]
    header = ["speaker, worst first", "accuracy", "N"]
    return [markdown(table_of("speakers", "", header, "lrr", rows))]


def _elsewhere(metrics: RunMetrics) -> str:
    other, test = metrics.protocol.evaluated_on, metrics.splits["test"]
    bounds = metrics.intervals.test.get("macro_f1") if metrics.intervals else None
    shown = interval(bounds) if bounds else UNDEFINED
    sentences: Sequence[str] = []
    if other is not None:
        sentences = other.sentences(metrics.protocol.corpus, test.num_utterances)
    return escape_markdown(
        f"{' '.join(sentences)} Macro F1 {score(test.macro.f1)} (interval {shown}; always "
        f"{test.majority_baseline.majority_class}: {score(test.majority_baseline.macro_f1)})."
    )
