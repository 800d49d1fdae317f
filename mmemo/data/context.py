"""What was said before and after an utterance in its dialogue."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mmemo.corpora.utterance import own_name
from mmemo.data.text_cleaning import TextCleaning
from mmemo.values import check_whole

DIALOGUE = ["corpus_split", "dialogue_id"]
"""What names a dialogue: its number may begin anew in every split of the corpus."""


@dataclass(frozen=True)
class Context:
    """Keys of the utterances around one, oldest first."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def check_context(num_before: int, num_after: int) -> None:
    """Refuse numbers of utterances below 0.

    Raises:
        InputError: If there is one.
    """
    check_whole("data.context_utterances", num_before, 0)
    check_whole("data.future_utterances", num_after, 0)


def spoken_texts(
    states: pd.DataFrame, text_cleaning: TextCleaning | None, speaker_names: bool
) -> dict[str, str]:
    """What was said, by key: transcripts, cleaned where wanted, after "Name: " where wanted.

    Args:
        states: Rows of the prepared corpus: key, corpus, speaker, transcript.
        text_cleaning: Applied to transcripts, not to names; None for none.
        speaker_names: Whether the speaker's name is put in front, if it is known.
    """
    texts = {}
    columns = states[["key", "corpus", "speaker", "transcript"]].fillna("")
    for key, corpus, speaker, transcript in columns.itertuples(index=False, name=None):
        if own_name(corpus, key) != key:
            # Of several corpora: which one it is, is not for the model to read.
            speaker = own_name(corpus, speaker)
        text = text_cleaning(transcript) if text_cleaning else transcript
        texts[key] = f"{speaker}: {text}" if speaker_names and speaker else text
    return texts


def dialogue_contexts(
    states: pd.DataFrame,
    rows: pd.DataFrame,
    num_before: int,
    num_after: int,
    group_columns: Sequence[str] = (),
) -> list[Context]:
    """The context of every row: of the nearest utterances of its dialogue those of its split.

    What was said counts whatever its label is and whether it has sound; what has no transcript
    does not. An utterance of another split, or of several, is left out.

    Args:
        states: Every row of the prepared corpus: key, split, dialogue_id, utterance_id,
            transcript.
        rows: Rows of a split protocol: source_key, split, corpus_split, dialogue_id.
        num_before: Earlier utterances at most.
        num_after: Later utterances at most.
        group_columns: What the protocol keeps apart.

    Returns:
        A context for each row.
    """
    if num_before == num_after == 0:
        return [Context()] * len(rows)
    with_words = states[states["transcript"].fillna("") != ""].rename(
        columns={"split": "corpus_split"}
    )
    with_words = with_words.dropna(subset=["dialogue_id", "utterance_id"])
    with_words = with_words.sort_values("utterance_id", kind="stable")
    splits = utterance_splits(with_words, rows, group_columns)
    dialogues = {
        name: (part["utterance_id"].tolist(), part["key"].tolist())
        for name, part in with_words.groupby(DIALOGUE)
    }
    places = dict(zip(with_words["key"], with_words["utterance_id"], strict=True))
    contexts = []
    columns = ["source_key", "split", *DIALOGUE]
    for key, split, *dialogue in rows[columns].itertuples(index=False, name=None):
        order, keys = dialogues.get(tuple(dialogue), ([], []))
        if key not in places:
            contexts.append(Context())
            continue
        first = bisect_left(order, places[key])
        last = bisect_right(order, places[key])
        before = keys[max(first - num_before, 0) : first]
        after = keys[last : last + num_after]
        contexts.append(
            Context(
                tuple(k for k in before if splits.get(k) == split),
                tuple(k for k in after if splits.get(k) == split),
            )
        )
    return contexts


def utterance_splits(
    with_words: pd.DataFrame, rows: pd.DataFrame, group_columns: Sequence[str]
) -> dict[str, str]:
    """The one split of each utterance that has one.

    An utterance that the protocol has not dealt, such as one of an excluded class, has that of
    its dialogue and of its group, where all dealt rows of both are in one split.

    Args:
        with_words: Utterances: key, corpus_split, dialogue_id, and the columns of the groups.
        rows: Rows of a split protocol.
        group_columns: What the protocol keeps apart.
    """
    found: dict[str, set[str]] = {}
    for key, split in zip(rows["source_key"], rows["split"], strict=True):
        found.setdefault(key, set()).add(split)
    undealt = with_words[~with_words["key"].isin(found)]
    for columns in (DIALOGUE, list(group_columns)):
        if not columns:
            continue
        by_place = rows.groupby(columns)["split"].agg(set).to_dict()
        names = undealt[columns].itertuples(index=False, name=None)
        for key, name in zip(undealt["key"], names, strict=True):
            place = name if len(columns) > 1 else name[0]
            found.setdefault(key, set()).update(by_place.get(place, set()))
    return {key: next(iter(splits)) for key, splits in found.items() if len(splits) == 1}
