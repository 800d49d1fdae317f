"""The test split of a run as it is tried: sound as it was recorded, words, dialogues, units."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from mmemo.audio.denoisers import Samples
from mmemo.audio.prepared import FULL_SCALE, PreparedCorpus
from mmemo.corpora.clips import MISSING, Clip
from mmemo.corpora.utterance import own_name
from mmemo.data.context import dialogue_contexts
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.dialogues import turns_of
from mmemo.errors import InputError
from mmemo.evaluation.predictions import read_predictions
from mmemo.evaluation.units import Units, table_units
from mmemo.runs.data_card import check_same_data, check_same_split
from mmemo.runs.experiment import Experiment
from mmemo.runs.predictor import Spoken
from mmemo.runs.rebuilt_run import RebuiltModel, saved_parts
from mmemo.stress.sound_pool import Original
from mmemo.stress.words import Said, words_of

NUM_VOICES = 60
"""Utterances of the training split that babble is mixed of."""


@dataclass(frozen=True)
class StressSet:
    """Utterances of a run's test split.

    A model that reads dialogues is given those too that are in them and not answered: they stand
    behind the N others, and make M with them.

    Args:
        table: Rows of the prediction table, (N) rows.
        spoken: (M), as evaluation gives them to the model.
        said: (M), their words.
        context_keys: (M), keys of the earlier and of the later utterances that are read too.
        originals: (M), their sound; nothing for a model that hears nothing.
        voices: Sounds of the training split (T,) float32 at the prepared rate.
        units: What the split keeps together.
    """

    table: pd.DataFrame
    spoken: tuple[Spoken, ...]
    said: Said
    context_keys: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    originals: tuple[Original, ...]
    voices: tuple[Samples, ...]
    units: Units

    def __len__(self) -> int:
        """N."""
        return len(self.table)

    @property
    def transcripts(self) -> tuple[str, ...]:
        """(N), the annotated words."""
        return self.said.texts[: len(self)]

    @property
    def dialogues(self) -> list[list[int]]:
        """Places, of M, that are answered together; each alone where no dialogue is read."""
        found: dict[str, list[int]] = {}
        for place, one in enumerate(self.spoken):
            found.setdefault(one.dialogue or f"/{place}", []).append(place)
        return list(found.values())

    def parts(self, size: int) -> Iterator[list[int]]:
        """Places, of M, of about so many utterances at a time; no dialogue is cut in two."""
        part: list[int] = []
        for places in self.dialogues:
            part += places
            if len(part) >= size:
                yield part
                part = []
        if part:
            yield part

    @property
    def num_decoded(self) -> int:
        """Of how many of the N the clip is decoded again."""
        return sum(one.clip is not None for one in self.originals[: len(self)])

    def drawn(self, num: int, seed: int) -> StressSet:
        """So many of the N at random; where dialogues are read, whole ones until there are."""
        chosen: list[int] = []
        dialogues = self.dialogues
        for number in np.random.default_rng(seed).permutation(len(dialogues)):
            if sum(place < len(self) for place in chosen) >= num:
                break
            chosen += dialogues[number]
        return self.only(sorted(chosen))

    def only(self, places: Sequence[int]) -> StressSet:
        """Some of the M, in order."""
        chosen = list(places)
        answered = [place for place in chosen if place < len(self)]
        _, number = np.unique(self.units.number[answered], return_inverse=True)
        return replace(
            self,
            table=self.table.iloc[answered].reset_index(drop=True),
            spoken=tuple(self.spoken[p] for p in chosen),
            said=replace(
                self.said,
                texts=tuple(self.said.texts[p] for p in chosen),
                dialogues=tuple(self.said.dialogues[p] for p in chosen),
                orders=tuple(self.said.orders[p] for p in chosen),
            ),
            context_keys=tuple(self.context_keys[p] for p in chosen),
            originals=tuple(self.originals[p] for p in chosen if self.originals),
            units=Units(self.units.name, number.astype(np.int64)),
        )


@contextmanager
def open_test_set(
    model: RebuiltModel,
    prepared: str | Path | None,
    unit: str | None,
    seed: int,
    work_folder: Path,
    reads_dialogues: bool,
) -> Iterator[StressSet]:
    """The test split of a run.

    Args:
        model: The run's.
        prepared: The prepared corpus' folder, where it was moved since; else None.
        unit: What is drawn anew for intervals; None for what the split keeps together.
        seed: Of the choice of voices.
        work_folder: Where clips out of archives lie meanwhile.
        reads_dialogues: Whether the model's answers depend on the others of the dialogue.

    Raises:
        InputError: If the run was not evaluated, or its data is gone or another.
    """
    folder, experiment = model.folder, model.experiment
    corpus = PreparedCorpus(Path(prepared or folder.read_data_card().prepared.folder))
    check_same_data(folder, corpus)
    with saved_parts(folder):
        datamodule = experiment.build_plain_datamodule(corpus, model.encoders)
    check_same_split(folder, datamodule)
    every = read_predictions(folder.predictions_file)
    rows = datamodule.datasets["test"].rows
    test = every[every["split"] == "test"].set_index("key").loc[rows["key"]].reset_index()
    hears = model.encoders.audio is not None
    if reads_dialogues:
        silent = datamodule.silent[datamodule.silent["split"] == "test"]
        rows = pd.concat([rows, silent], ignore_index=True) if len(silent) else rows
    heard = corpus if hears else None
    spoken, context_keys = _spoken(datamodule, rows, heard, reads_dialogues)
    said = Said(
        tuple(rows["transcript"].fillna("").astype(str)),
        tuple(rows["corpus_split"].astype(str) + "/" + rows["dialogue_id"].astype(str)),
        tuple(rows["utterance_id"].astype(float)),
        tuple(_vocabulary(datamodule)),
    )
    units = table_units(test, every, folder.read_metrics().protocol, unit)
    with TemporaryDirectory(dir=work_folder, prefix=".clips-") as unpacked:
        originals = _originals(experiment, corpus, rows, Path(unpacked)) if hears else ()
        voices = _voices(datamodule, corpus, seed) if hears else ()
        yield StressSet(test, spoken, said, context_keys, originals, voices, units)


def _spoken(
    datamodule: EmotionDataModule,
    rows: pd.DataFrame,
    corpus: PreparedCorpus | None,
    reads_dialogues: bool,
) -> tuple[tuple[Spoken, ...], tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]:
    """What the model is asked of each row, and the keys of the context of each."""
    contexts = dialogue_contexts(
        datamodule.states,
        rows,
        datamodule.context_utterances,
        datamodule.future_utterances,
        datamodule.split.group_columns,
    )
    columns = datamodule.states[["key", "corpus", "speaker", "transcript"]].fillna("")
    by_key = {
        str(key): (own_name(name, who) if own_name(name, key) != key else str(who), str(words))
        for key, name, who, words in columns.itertuples(index=False, name=None)
    }
    names = zip(rows["key"].astype(str), rows["source_key"].astype(str), strict=True)
    found = []
    for (key, source), place, context in zip(names, _places(rows), contexts, strict=True):
        speaker, transcript = by_key[source]
        sound = None if corpus is None else corpus.checked_samples(*place)
        before, after = (tuple(by_key[k] for k in keys) for keys in (context.before, context.after))
        found.append(Spoken(key, sound, transcript or None, speaker, before, after))
    if reads_dialogues:
        found = [
            replace(one, dialogue=turn.dialogue, order=float(order))
            for one, turn, order in zip(found, turns_of(rows), rows["utterance_id"], strict=True)
        ]
    return tuple(found), tuple((context.before, context.after) for context in contexts)


def _places(rows: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Where the prepared sound of each row is: file, first sample, number of samples."""
    columns = rows[["audio_file", "offset", "num_samples"]].fillna(0)
    return [(str(f), int(o), int(n)) for f, o, n in columns.itertuples(index=False, name=None)]


def _vocabulary(datamodule: EmotionDataModule) -> list[str]:
    texts = datamodule.datasets["train"].rows["transcript"].fillna("").astype(str)
    return [word for text in texts for word in text.split() if words_of(word)]


def _voices(
    datamodule: EmotionDataModule, corpus: PreparedCorpus, seed: int
) -> tuple[Samples, ...]:
    rows = datamodule.datasets["train"].rows
    chosen = np.random.default_rng(seed).permutation(len(rows))[:NUM_VOICES]
    return tuple(
        corpus.checked_samples(*place).astype(np.float32) / np.float32(FULL_SCALE)
        for place in _places(rows.iloc[np.sort(chosen)])
    )


def _originals(
    experiment: Experiment, corpus: PreparedCorpus, rows: pd.DataFrame, unpacked: Path
) -> tuple[Original, ...]:
    """Each row's clip where it is at hand, else its prepared sound."""
    packed = _packed(experiment, rows, unpacked)
    loose = _loose(rows)
    found = []
    names = zip(rows["key"].astype(str), rows["source_key"].astype(str), strict=True)
    for (key, source), place in zip(names, _places(rows), strict=True):
        clip = loose.get(source) or packed.get(source)
        prepared = corpus.checked_samples(*place) if clip is None else None
        found.append(Original(key, clip, prepared))
    return tuple(found)


def _loose(rows: pd.DataFrame) -> dict[str, Clip]:
    """The files that rows were prepared from, those that are there and as large as they were."""
    found = {}
    names = ["source_key", "source", "source_bytes", "clip_start_s", "clip_end_s"]
    # Corpora that an earlier mmemo has prepared lack the last two.
    columns = rows.reindex(columns=names)
    for key, source, num_bytes, start_s, end_s in columns.itertuples(index=False, name=None):
        if pd.isna(source) or not os.path.isfile(source):  # noqa: PTH113 (as in clips)
            continue
        status = Path(source).stat()
        if status.st_size == num_bytes:
            clip = Clip(
                str(key),
                source,
                status.st_size,
                int(status.st_mtime),
                start_s=_number(start_s),
                end_s=_number(end_s),
            )
            found[clip.key] = clip
    return found


def _number(value: float | None) -> float | None:
    return None if pd.isna(value) else value


def _packed(experiment: Experiment, rows: pd.DataFrame, unpacked: Path) -> Mapping[str, Clip]:
    """The clips that lie in archives, unpacked; none where the archives are gone."""
    is_packed = rows["source"].astype(str).map(_is_in_archive)
    wanted = set(rows.loc[is_packed, "source_key"].astype(str))
    if not wanted:
        return {}
    found = {}
    try:
        annotations = experiment.build_corpus().read()
        annotations.clips.check()
        utterances = [one for one in annotations.utterances if one.key in wanted]
        for number, clip in enumerate(annotations.clips.clips(utterances, {})):
            if clip.num_bytes == MISSING or clip.content is None:
                continue
            path = unpacked / f"{number}-{clip.name}"
            path.write_bytes(clip.content)
            found[clip.key] = replace(clip, source=str(path), content=None)
    except InputError as error:
        print(f"archives of the clips cannot be read again: {error}")
    return found


def _is_in_archive(source: str) -> bool:
    archive, _, member = source.rpartition(":")
    return bool(member) and Path(archive).is_file() and not Path(source).is_file()
