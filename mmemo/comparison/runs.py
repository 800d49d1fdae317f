"""Finished runs read back from their folders, without a model."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray
from pydantic import JsonValue

from mmemo.documents import damaged, read_document, read_text, reason
from mmemo.errors import InputError
from mmemo.evaluation.predictions import (
    CORPUS,
    PROBABILITY_PREFIX,
    class_names,
    open_predictions,
    restricted,
)
from mmemo.evaluation.protocol import Protocol
from mmemo.evaluation.run_metrics import RunMetrics
from mmemo.runs.run_files import RunInfo, TrainedOn, read_history
from mmemo.runs.run_folder import FIRST_VERSION, RESTORE, RunFolder

Setting: TypeAlias = JsonValue
"""The value of an option: a number, a text, None, or lists and mappings of them."""

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SPLITS = ("val", "test")
LABELS = ("target", "pred")

OTHER_CORPUS = "on_"
"""Begins the name of a folder with the results on another corpus."""

SAME_ACCURACY = 1e-4
"""metrics.json is of float32."""

SECTION_START = re.compile(r"^(?=[A-Za-z_])", re.M)
"""Before each key of a config that is in none of its sections."""

MAX_SECTIONS = 4096

UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError)
"""What reading a damaged file may raise."""


@dataclass(frozen=True)
class RunResults:
    """What one run, or a run without a modality, has to show.

    Args:
        folder: Where it lies.
        protocol: How its numbers came about, of ``metrics.json``.
        settings: The config as it was composed, flattened to dotted keys: what one setting is
            derived from another is the same text in all runs.
        info: Contents of ``run.json``.
        prepared_digest: Digest of the prepared sound that it was trained on.
        trained_on: Name of the corpus that it was trained on, with a digest of its rows.
        history: Metrics by epoch.
        val: Prediction table of the validation split, of results on another corpus among the
            classes that both have; target and pred are categories in the
            classes' order.
        test: Prediction table of the test split, or of what was evaluated of another corpus.
        folder_label: What the user calls the folder that it was found in.
        part: Of several corpora the one that the rows of test are of; None for all.
    """

    folder: RunFolder
    protocol: Protocol
    settings: Mapping[str, Setting]
    info: RunInfo
    prepared_digest: str
    trained_on: str
    history: pd.DataFrame
    val: pd.DataFrame
    test: pd.DataFrame
    folder_label: str | None = None
    part: str | None = None

    @property
    def label(self) -> str | None:
        """The user's own name for the run: of its folder, else of its config."""
        own = self.settings.get("label")
        return self.folder_label or (None if own is None else str(own))

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.protocol.seed

    @property
    def name(self) -> str:
        """Where the results lie, for people."""
        return str(self.folder.results)


def by_corpus(results: Iterable[RunResults]) -> list[RunResults]:
    """The runs and, of each of several corpora, the test rows of each corpus once more.

    Validation stays whole: the checkpoint was chosen on all of it.
    """
    found = []
    for run in results:
        found.append(run)
        # In a fold all of test may be of one corpus, and validation of the others.
        own = (run.val, run.test) if run.protocol.evaluated_on is None else (run.test,)
        names = {name for table in own if CORPUS in table for name in table[CORPUS].unique()}
        if CORPUS not in run.test or len(names) < 2:
            continue
        for name in run.test[CORPUS].unique():
            test = run.test[run.test[CORPUS] == name].reset_index(drop=True)
            found.append(replace(run, test=test, part=str(name)))
    return found


@dataclass(frozen=True)
class LeftOut:
    """A run that is not compared, and why."""

    run: str
    reason: str


def find_runs(folders: Iterable[Path]) -> list[RunFolder]:
    """Run folders in these folders and below, each once.

    Results without a modality, and on another corpus, are folders of their own behind their run's.

    Raises:
        InputError: If a folder does not exist or there is no run in it.
    """
    found: dict[Path, list[RunFolder]] = {}
    for folder in folders:
        runs_here = 0
        if not folder.is_dir():
            raise InputError(
                f"{folder}: expected a folder with runs, there is no such folder; name one that "
                "`mmemo train` printed, or the folder of a sweep"
            )
        for path, inside, files in os.walk(folder.absolute()):
            inside.sort()
            if "run.json" not in files:
                continue
            runs_here += 1
            run = RunFolder(Path(path))
            others = sorted(name for name in inside if name.startswith(OTHER_CORPUS))
            more = [
                RunFolder(run.path, missing, other)
                for other in (None, *others)
                for missing in (None, "audio", "text")
                if (missing, other) != (None, None)
            ]
            # One run may be reached in two ways: by a link, or by "..".
            found[run.path.resolve()] = [run, *(r for r in more if r.metrics_file.is_file())]
            inside.clear()
        if not runs_here:
            raise InputError(
                f"{folder}: expected a run folder or a folder with some, found no run.json in it "
                "or below; name one that `mmemo train` printed"
            )
    return [results for runs in found.values() for results in runs]


def read_runs(folders: Sequence[RunFolder]) -> tuple[list[RunResults], list[LeftOut]]:
    """Read runs; one that is not finished, or is damaged, is left out with the reason."""
    results, left_out = [], []
    for folder in folders:
        try:
            results.append(_read(folder))
        except InputError as error:
            left_out.append(LeftOut(str(folder.results), str(error)))
        except UNREADABLE as error:
            reason = f"its files cannot be read ({type(error).__name__}: {error})"
            left_out.append(LeftOut(str(folder.results), reason))
    return results, left_out


def labelled(
    results: Iterable[RunResults], folders: Sequence[Path], labels: Sequence[str]
) -> list[RunResults]:
    """The same runs, called by the innermost of the folders that they lie in.

    Args:
        results: The runs.
        folders: Folders that were searched.
        labels: The user's name for each folder.

    Raises:
        InputError: If there are more or fewer labels than folders.
    """
    if len(labels) != len(folders):
        raise InputError(
            f"label: expected one for each of the {len(folders)} folders, got {len(labels)} "
            f"({', '.join(labels)}); give them in the folders' order, label=[before,after]"
        )
    by_depth = sorted(zip(folders, labels, strict=True), key=lambda pair: -len(pair[0].parts))
    return [
        replace(
            run,
            folder_label=next(
                label for folder, label in by_depth if run.folder.path.is_relative_to(folder)
            ),
        )
        for run in results
    ]


def _read(folder: RunFolder) -> RunResults:
    info = folder.read_info()
    status = info.status
    if status != "finished":
        why = f": {info.error}" if info.error else ""
        raise InputError(f"expected a finished run, its status is {status}{why}")
    document = folder.read_metrics()
    protocol = document.protocol
    if protocol.evaluated_on is None:
        splits = _read_splits(document, folder)
    else:
        splits = _read_other_corpus(document, folder)
    history = read_history(folder.history_file)
    trained_on = read_document(
        folder.data_file, TrainedOn, "what the run was trained on", RESTORE, FIRST_VERSION
    ).prepared
    return RunResults(
        folder=folder,
        protocol=protocol,
        settings=_flattened(_read_composed(folder)),
        info=info,
        prepared_digest=trained_on.digest,
        trained_on=trained_on.corpus_and_digest,
        history=history,
        val=splits["val"],
        test=splits["test"],
    )


def _read_composed(folder: RunFolder) -> Mapping[str, Setting]:
    """The config as it was composed, as text: references in it are not followed."""
    path, what = folder.composed_config_file, "the config of a run"
    text = read_text(path, what, RESTORE)
    try:
        composed = _parsed(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise damaged(path, what, f"it is not YAML: {reason(error)}", RESTORE) from error
    if not isinstance(composed, Mapping):
        raise damaged(path, what, "it is not a mapping", RESTORE)
    return composed


def _parsed(text: str) -> Any:  # noqa: ANN401
    """The YAML of a config. Most of its sections are the same in many runs, and are read once."""
    sections = SECTION_START.split(text)
    try:
        parsed = [_parsed_section(section) for section in sections if section.strip()]
    # What stands in one section may refer to another.
    except yaml.YAMLError:
        return yaml.load(text, Loader)  # noqa: S506
    if parsed and all(isinstance(section, Mapping) for section in parsed):
        return {key: value for section in parsed for key, value in section.items()}
    return yaml.load(text, Loader)  # noqa: S506


@lru_cache(maxsize=MAX_SECTIONS)
def _parsed_section(text: str) -> Any:  # noqa: ANN401
    return yaml.load(text, Loader)  # noqa: S506


def _read_other_corpus(document: RunMetrics, folder: RunFolder) -> dict[str, pd.DataFrame]:
    """Predictions on another corpus, and the run's own of validation among the same classes."""
    own, classes = RunFolder(folder.path, folder.missing), document.protocol.classes
    val = _read_splits(own.read_metrics(), own, ("val",))["val"]
    shared = restricted(val, classes)
    coded = {column: pd.Categorical(shared[column], classes) for column in LABELS}
    return {"val": shared.assign(**coded), **_read_splits(document, folder, ("test",))}


def _read_splits(
    document: RunMetrics, folder: RunFolder, wanted_splits: Sequence[str] = SPLITS
) -> dict[str, pd.DataFrame]:
    """Predictions of some splits, that agree with the protocol and the metrics."""
    protocol, path = document.protocol, folder.predictions_file
    again = f"write it again with {folder.command('evaluate', 'run')}"
    table = open_predictions(path, coded=LABELS)
    classes = protocol.classes
    named, labels = class_names(table.column_names), {c: _coded(table[c]) for c in LABELS}
    found = {*named, *(name for names, _ in labels.values() for name in names)}
    if found != set(classes) or len(named) != len(classes):
        raise InputError(
            f"{path}: expected predictions of {', '.join(sorted(classes))}, got "
            f"{', '.join(sorted(map(str, found)))}; {again}"
        )
    probabilities = (table[PROBABILITY_PREFIX + name].to_numpy() for name in named)
    if not all(np.isfinite(column).all() for column in probabilities):
        raise InputError(f"{path}: expected probabilities, some are not finite; {again}")
    # Numbered once, in the classes' order, for all that is counted.
    numbers = {c: _renumbered(names, codes, classes) for c, (names, codes) in labels.items()}
    for column, codes in numbers.items():
        place = table.column_names.index(column)
        coded = pa.DictionaryArray.from_arrays(codes, pa.array(classes))
        table = table.set_column(place, column, coded)
    # At once, for both splits together: most of the time goes into each column.
    frame = table.to_pandas(ignore_metadata=True, use_threads=False)
    is_right = numbers["pred"] == numbers["target"]
    splits = {}
    for split in wanted_splits:
        is_of_split = pc.fill_null(pc.equal(table["split"], split), False)
        rows = np.flatnonzero(is_of_split.to_numpy())
        wanted, number = protocol.num_utterances[split], len(rows) or "none"
        if number != wanted:
            raise InputError(f"{path}: expected {wanted} rows of {split}, found {number}; {again}")
        recorded = document.splits.get(split)
        accuracy = float(is_right[rows].mean())
        if recorded is not None and abs(recorded.accuracy - accuracy) > SAME_ACCURACY:
            raise InputError(
                f"{path}: expected the accuracy on {split} that metrics.json tells "
                f"({recorded.accuracy:.4f}), got {accuracy:.4f}; {again}"
            )
        splits[split] = _rows_of(frame, rows)
    return splits


def _coded(column: pa.ChunkedArray) -> tuple[list[Any], NDArray[np.int64]]:
    """The names that stand in a coded column, and which of them each row (N,) has."""
    array = column.unify_dictionaries().combine_chunks()
    codes = array.indices.fill_null(len(array.dictionary)).to_numpy()
    used, codes = np.unique(codes, return_inverse=True)
    names = [*array.dictionary.to_pylist(), None]
    return [names[number] for number in used], codes


def _renumbered(
    names: Sequence[Any], codes: NDArray[np.int64], classes: Sequence[str]
) -> NDArray[np.int32]:
    return np.array([classes.index(name) for name in names], np.int32)[codes]


def _rows_of(frame: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Some rows, which mostly lie together."""
    is_slice = rows[-1] - rows[0] + 1 == len(rows)
    found = frame.iloc[rows[0] : rows[-1] + 1] if is_slice else frame.iloc[rows]
    return found.reset_index(drop=True)


def _flattened(config: Mapping[str, Setting], prefix: str = "") -> dict[str, Setting]:
    """Nested settings by dotted keys; lists stay whole."""
    flat: dict[str, Setting] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
