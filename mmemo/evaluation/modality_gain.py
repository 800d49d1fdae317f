"""Where a second modality helps: the fused model against each unimodal one, kind by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.inter_rater import cohens_kappa

from mmemo.evaluation.confusion_scores import Floats, confusion_counts, macro_f1
from mmemo.evaluation.predictions import DURATION, classes_of

MELD_LEADS = ("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross")
"""The series' six leads; each speaks more of MELD than any other speaker."""

NUM_LEADS = 6
DURATION_EDGES_S = (0.0, 1.0, 2.0, 4.0, 8.0)
WORD_EDGES = (0, 3, 6, 12, 24)

Tables = Mapping[int, pd.DataFrame]


def modality_gain(both: Tables, audio: Tables | None, text: Tables | None) -> dict[str, Any]:
    """Compare a fused model with unimodal ones on the same test utterances, seed by seed.

    Args:
        both: Prediction tables of the fused model, by seed.
        audio: Those of the model that only hears; None where there is none.
        text: Those of the model that only reads; None where there is none.

    Returns:
        ``seeds`` (those that all have), ``num_utterances``, ``by`` kind of utterance the accuracy
        of each and the gain of the fused one, ``agreement`` and ``oracle`` of the unimodal ones
        (right where either is), and the scores of ``fused``. Shares and scores are means over
        seeds; None where a model is missing.
    """
    given = {"both": both, "audio": audio, "text": text}
    models = {name: tables for name, tables in given.items() if tables is not None}
    seeds = sorted(set.intersection(*(set(tables) for tables in models.values())))
    if not seeds:
        return {"seeds": [], "num_utterances": 0, "by": {}, "agreement": None, "oracle": None}
    ordered = {
        name: [tables[seed].sort_values("key").reset_index(drop=True) for seed in seeds]
        for name, tables in models.items()
    }
    utterances = ordered["both"][0]
    right = {
        name: np.stack([(table["pred"] == table["target"]).to_numpy() for table in tables])
        for name, tables in ordered.items()
    }
    has_both = "audio" in right and "text" in right
    return {
        "seeds": seeds,
        "num_utterances": len(utterances),
        "by": {
            kind: [_row(value, members, right) for value, members in parts]
            for kind, parts in _kinds(utterances).items()
        },
        "agreement": _agreement(ordered, right) if has_both else None,
        "oracle": _oracle(ordered, right) if has_both else None,
        "fused": _scores(utterances, [table["pred"] for table in ordered["both"]]),
    }


Parts = list[tuple[str, NDArray[np.bool_]]]


def _kinds(table: pd.DataFrame) -> dict[str, Parts]:
    words = np.array([len(str(text).split()) for text in table["transcript"]])
    kinds = {
        "class": [(name, (table["target"] == name).to_numpy()) for name in classes_of(table)],
        "num_words": _ranges(words, WORD_EDGES, "words"),
        "speaker": _speakers(table["speaker"]),
    }
    # Tables written before the column was: that kind is left out.
    if DURATION in table:
        kinds[DURATION] = _ranges(table[DURATION].to_numpy(), DURATION_EDGES_S, "s")
    return {
        kind: [(value, members) for value, members in parts if members.any()]
        for kind, parts in kinds.items()
    }


def _ranges(values: NDArray[Any], edges: Sequence[float], unit: str) -> Parts:
    parts = []
    for low, high in zip(edges, [*edges[1:], np.inf], strict=True):
        name = f"{low:g} {unit} and more" if np.isinf(high) else f"{low:g} to under {high:g} {unit}"
        parts.append((name, (values >= low) & (values < high)))
    return parts


def _speakers(speaker: pd.Series[str]) -> Parts:
    """The six leads where they speak, else the six who speak most; and the rest."""
    found = set(speaker.dropna())
    leads = MELD_LEADS if set(MELD_LEADS) <= found else speaker.value_counts().index[:NUM_LEADS]
    parts = [(str(name), (speaker == name).to_numpy()) for name in leads]
    return [*parts, ("the rest", ~speaker.isin(list(leads)).to_numpy())]


def _row(
    value: str, members: NDArray[np.bool_], right: Mapping[str, NDArray[np.bool_]]
) -> dict[str, Any]:
    shares = {name: seeds[:, members].mean(axis=1) for name, seeds in right.items()}
    row: dict[str, Any] = {"value": value, "num": int(members.sum())}
    for name in ("both", "audio", "text"):
        row[name] = float(shares[name].mean()) if name in shares else None
    for name in ("audio", "text"):
        gain = shares["both"] - shares[name] if name in shares else None
        row[f"gain_over_{name}"] = None if gain is None else _summary(gain)
    return row


def _agreement(
    tables: Mapping[str, list[pd.DataFrame]], right: Mapping[str, NDArray[np.bool_]]
) -> dict[str, float | None]:
    audio, text = right["audio"], right["text"]
    classes = classes_of(tables["audio"][0])
    kappas = [
        _kappa(_confusion(heard["pred"], read["pred"], classes))
        for heard, read in zip(tables["audio"], tables["text"], strict=True)
    ]
    known = [kappa for kappa in kappas if kappa is not None]
    return {
        "both_right": float((audio & text).mean()),
        "only_audio_right": float((audio & ~text).mean()),
        "only_text_right": float((~audio & text).mean()),
        "neither_right": float((~audio & ~text).mean()),
        "kappa": float(np.mean(known)) if known else None,
    }


def _oracle(
    tables: Mapping[str, list[pd.DataFrame]], right: Mapping[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """As if somebody knew for each utterance which of the unimodal models to trust."""
    chosen = [
        audio["pred"].where(audio_right, text["pred"])
        for audio, text, audio_right in zip(
            tables["audio"], tables["text"], right["audio"], strict=True
        )
    ]
    return _scores(tables["audio"][0], chosen)


def _scores(utterances: pd.DataFrame, preds: Sequence[pd.Series[str]]) -> dict[str, float]:
    target, classes = utterances["target"], classes_of(utterances)
    macro = [macro_f1(_confusion(target, pred, classes)) for pred in preds]
    return {
        "accuracy": float(np.mean([(target == pred).mean() for pred in preds])),
        "macro_f1": float(np.mean(macro)),
    }


def _confusion(target: pd.Series[str], pred: pd.Series[str], classes: Sequence[str]) -> Floats:
    table = pd.DataFrame({"target": target, "pred": pred})
    confusion: Floats = confusion_counts(table, classes, np.zeros(len(table), np.int64), 1)[0]
    return confusion


def _kappa(confusion: Floats) -> float | None:
    """Cohen's kappa; None where both give every utterance the same one class."""
    if np.count_nonzero(confusion) == 1 and np.trace(confusion) > 0:
        return None
    return float(cohens_kappa(confusion, return_results=False))


def _summary(values: NDArray[np.float64]) -> dict[str, Any]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "values": [float(v) for v in values]}
