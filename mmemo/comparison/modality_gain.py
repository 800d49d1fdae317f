"""Where a second modality helps: the fused model against each unimodal one, kind by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.inter_rater import cohens_kappa

from mmemo.comparison.gain_results import Agreement, GainRow, MeanScores, ModalityGain
from mmemo.evaluation.confusion_scores import (
    Floats,
    Tallies,
    accuracy,
    confusion_counts,
    f1_by_class,
    macro_f1,
)
from mmemo.evaluation.predictions import classes_of
from mmemo.evaluation.seed_summary import SeedSummary

MELD_LEADS = ("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross")
"""The series' six leads; each speaks more of MELD than any other speaker."""

NUM_LEADS = 6
DURATION_EDGES_S = (1.0, 2.0, 4.0, 8.0)
WORD_EDGES = (3, 6, 12, 24)

NO_DURATIONS = "No gain by duration: some of the predictions lack the sound's duration_s."

Tables = Mapping[int, pd.DataFrame]
Parts = list[tuple[str, NDArray[np.bool_]]]


def modality_gain(
    both: Tables, audio: Tables | None, text: Tables | None, names: Mapping[str, str]
) -> ModalityGain:
    """Compare a fused model with unimodal ones on the same test utterances, seed by seed.

    Args:
        both: Prediction tables of the fused model, by seed.
        audio: Tables of the model that only hears, by seed; None where there is none.
        text: Tables of the model that only reads, by seed; None where there is none.
        names: The models' names by modalities.

    Returns:
        Over the seeds that all have. A score is the accuracy, which within a class is its recall;
        by ``class_f1`` it is the class' F1. Without a common seed there is nothing but a note.

    Raises:
        ValueError: If the tables are not of the same utterances.
    """
    given = {"both": both, "audio": audio, "text": text}
    models = {name: tables for name, tables in given.items() if tables is not None}
    seeds = sorted(set.intersection(*(set(tables) for tables in models.values())))
    ordered = {
        name: [tables[s].sort_values("key", ignore_index=True, kind="stable") for s in seeds]
        for name, tables in models.items()
    }
    if not seeds:
        note = "No gain by modality: the models have no seed in common."
        return ModalityGain(names, (), 0, {}, None, None, None, (note,))
    utterances = _same_utterances(ordered)
    right = {
        name: np.stack([(table["pred"] == table["target"]).to_numpy() for table in tables])
        for name, tables in ordered.items()
    }
    has_durations = "duration_s" in utterances and bool(utterances["duration_s"].notna().any())
    by = {
        kind: tuple(_row(value, members, _accuracies(members, right)) for value, members in parts)
        for kind, parts in _kinds(utterances, has_durations).items()
    }
    has_unimodal = "audio" in right and "text" in right
    return ModalityGain(
        models=names,
        seeds=tuple(seeds),
        num_utterances=len(utterances),
        by={"class": by.pop("class"), "class_f1": _class_rows(ordered), **by},
        agreement=_agreement(ordered, right) if has_unimodal else None,
        oracle=_oracle(ordered, right) if has_unimodal else None,
        fused=_scores(_tallies(ordered["both"])),
        notes=() if has_durations else (NO_DURATIONS,),
    )


def _same_utterances(ordered: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """The fused model's table of the first seed, whose columns tell of the utterances."""
    first = ordered["both"][0]
    for name, tables in ordered.items():
        for table in tables:
            if not table[["key", "target"]].equals(first[["key", "target"]]):
                raise ValueError(
                    f"expected all tables to be of the same {len(first)} utterances and targets, "
                    f"got other ones, {len(table)} in number, of '{name}'"
                )
    return first


def _kinds(table: pd.DataFrame, has_durations: bool) -> dict[str, Parts]:
    words = np.array([len(str(text).split()) for text in table["transcript"]])
    kinds = {"class": [(name, (table["target"] == name).to_numpy()) for name in classes_of(table)]}
    if has_durations:
        durations_s = table["duration_s"].to_numpy(dtype=np.float64)
        kinds["duration_s"] = _ranges(durations_s, DURATION_EDGES_S, "s")
    kinds["num_words"] = _ranges(words, WORD_EDGES, "words")
    kinds["speaker"] = _speakers(table["speaker"])
    return {
        kind: [(value, members) for value, members in parts if members.any()]
        for kind, parts in kinds.items()
    }


def _ranges(values: NDArray[Any], edges: Sequence[float], unit: str) -> Parts:
    """Utterances between neighbouring edges, the lower one included; NaN is in no range."""
    parts = [(f"under {edges[0]:g} {unit}", values < edges[0])]
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        parts.append((f"{low:g} to under {high:g} {unit}", (values >= low) & (values < high)))
    return [*parts, (f"{edges[-1]:g} {unit} and more", values >= edges[-1])]


def _speakers(speaker: pd.Series[str]) -> Parts:
    """The six leads where they speak, else the six who speak most; and the rest."""
    counts = speaker.value_counts()
    if set(MELD_LEADS) <= set(counts.index):
        leads = list(MELD_LEADS)
    else:
        leads = sorted(counts.index, key=lambda name: (-counts[name], name))[:NUM_LEADS]
    parts = [(str(name), (speaker == name).to_numpy()) for name in leads]
    return [*parts, ("the rest", ~speaker.isin(leads).to_numpy())]


def _accuracies(
    members: NDArray[np.bool_], right: Mapping[str, NDArray[np.bool_]]
) -> dict[str, Floats]:
    return {name: seeds[:, members].mean(axis=1) for name, seeds in right.items()}


def _class_rows(ordered: Mapping[str, Sequence[pd.DataFrame]]) -> tuple[GainRow, ...]:
    utterances = ordered["both"][0]
    scores = {name: f1_by_class(_tallies(tables)) for name, tables in ordered.items()}
    return tuple(
        _row(value, members, {name: seeds[:, place] for name, seeds in scores.items()})
        for place, value in enumerate(classes_of(utterances))
        if (members := (utterances["target"] == value).to_numpy()).any()
    )


def _row(value: str, members: NDArray[np.bool_], scores: Mapping[str, Floats]) -> GainRow:
    """A row from the scores of each model, by seed."""

    def mean(name: str) -> float | None:
        return float(scores[name].mean()) if name in scores else None

    def gain(name: str) -> SeedSummary | None:
        return SeedSummary.of(scores["both"] - scores[name]) if name in scores else None

    return GainRow(
        value=value,
        num=int(members.sum()),
        both=float(scores["both"].mean()),
        audio=mean("audio"),
        text=mean("text"),
        gain_over_audio=gain("audio"),
        gain_over_text=gain("text"),
    )


def _agreement(
    ordered: Mapping[str, Sequence[pd.DataFrame]], right: Mapping[str, NDArray[np.bool_]]
) -> Agreement:
    audio, text = right["audio"], right["text"]
    pairs = zip(ordered["audio"], ordered["text"], strict=True)
    return Agreement(
        both_right=float((audio & text).mean()),
        only_audio_right=float((audio & ~text).mean()),
        only_text_right=float((~audio & text).mean()),
        neither_right=float((~audio & ~text).mean()),
        kappa=_mean_of_defined([_kappa(a["pred"], b["pred"]) for a, b in pairs]),
    )


def _kappa(a: pd.Series[str], b: pd.Series[str]) -> float | None:
    """Cohen's kappa (1960); None where both always answer one and the same class."""
    answers = sorted(set(a) | set(b))
    if len(answers) < 2:
        return None
    table = confusion_counts(pd.DataFrame({"target": a, "pred": b}), answers)
    return float(cohens_kappa(table, return_results=False))


def _mean_of_defined(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def _oracle(
    ordered: Mapping[str, Sequence[pd.DataFrame]], right: Mapping[str, NDArray[np.bool_]]
) -> MeanScores:
    """As if somebody knew for each utterance which of the unimodal models to trust.

    Where neither is right the text's answer stands: it counts against the F1 of that class.
    """
    chosen = [
        text.assign(pred=audio["pred"].where(audio_right, text["pred"]))
        for audio, text, audio_right in zip(
            ordered["audio"], ordered["text"], right["audio"], strict=True
        )
    ]
    return _scores(_tallies(chosen))


def _tallies(tables: Sequence[pd.DataFrame]) -> Tallies:
    """(S, C), of each seed."""
    confusions = [confusion_counts(table, classes_of(table)) for table in tables]
    return Tallies.of(np.stack(confusions))


def _scores(tallies: Tallies) -> MeanScores:
    """Mean over the seeds."""
    return MeanScores(float(accuracy(tallies).mean()), float(macro_f1(tallies).mean()))
