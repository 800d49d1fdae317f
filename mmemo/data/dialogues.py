"""Whole dialogues: which utterances are one, in which order, and who speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmemo.corpora.utterance import MISSING_FIELD
from mmemo.data.context import DIALOGUE, utterance_splits
from mmemo.data.selection import CLASS_EXCLUDED
from mmemo.errors import InputError


@dataclass(frozen=True)
class Turn:
    """Where an utterance stands: in which dialogue of its split, and whose it is.

    Utterances of nobody in particular (``speaker`` "") are one speaker's.
    """

    dialogue: str
    speaker: str


@dataclass(frozen=True)
class Dialogues:
    """How a batch's utterances (B) are dealt to its G dialogues of at most N utterances.

    Args:
        places: (G, N), which utterance of the batch is spoken when; 0 behind a dialogue's end.
        mask: (G, N), True where there is an utterance; each of the batch is at one place.
        speaker: (G, N), who speaks, numbered from 0 as they appear in each dialogue; 0 behind its
            end.
    """

    places: Tensor
    mask: Tensor
    speaker: Tensor

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> Dialogues:
        """Those of utterances that stand in their dialogues' order, whatever is between them."""
        found: dict[str, list[int]] = {}
        for place, turn in enumerate(turns):
            found.setdefault(turn.dialogue, []).append(place)
        speakers = []
        for members in found.values():
            numbers: dict[str, int] = {}
            speakers.append([numbers.setdefault(turns[p].speaker, len(numbers)) for p in members])
        places = pad_sequence([torch.tensor(m) for m in found.values()], batch_first=True)
        lengths = torch.tensor([len(members) for members in found.values()])
        mask = torch.arange(places.shape[1]) < lengths[:, None]
        speaker = pad_sequence([torch.tensor(numbers) for numbers in speakers], batch_first=True)
        return cls(places, mask, speaker)

    @classmethod
    def alone(cls, num_utterances: int, device: torch.device) -> Dialogues:
        """Every utterance (B) as a dialogue of its own."""
        places = torch.arange(num_utterances, device=device)[:, None]
        return cls(places, torch.ones_like(places, dtype=torch.bool), torch.zeros_like(places))

    def renumbered(self, order: Sequence[int]) -> Dialogues:
        """The same of a batch whose utterances stand in another order: new place to old one."""
        new = torch.argsort(torch.tensor(order))
        return Dialogues(torch.where(self.mask, new[self.places], 0), self.mask, self.speaker)

    def arranged(self, vectors: Tensor) -> Tensor:
        """Vectors (B, D) by dialogue (G, N, D); zeros behind a dialogue's end."""
        zero = vectors.new_zeros(())
        return torch.where(self.mask[:, :, None], vectors[self.places], zero)

    def flattened(self, vectors: Tensor) -> Tensor:
        """Vectors by dialogue (G, N, D) in the batch's order (B, D)."""
        order = torch.argsort(self.places[self.mask])
        flat: Tensor = vectors[self.mask][order]
        return flat

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Dialogues:
        """Copy on another device."""
        return Dialogues(
            self.places.to(device, non_blocking=non_blocking),
            self.mask.to(device, non_blocking=non_blocking),
            self.speaker.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Dialogues:
        """Copy in page-locked memory."""
        return Dialogues(
            self.places.pin_memory(), self.mask.pin_memory(), self.speaker.pin_memory()
        )


def turns_of(rows: pd.DataFrame) -> list[Turn]:
    """The turn of each row of one split: dialogue_id, corpus_split, speaker."""
    names = rows[DIALOGUE].itertuples(index=False, name=None)
    speakers = rows["speaker"].fillna("").astype(str)
    return [
        Turn(f"{split}/{dialogue}", speaker)
        for (split, dialogue), speaker in zip(names, speakers, strict=True)
    ]


def silent_rows(
    states: pd.DataFrame,
    rows: pd.DataFrame,
    group_columns: Sequence[str],
    min_duration_s: float,
    needs_sound: bool,
    needs_transcript: bool,
) -> pd.DataFrame:
    """What was said in the dialogues of a split without being one of its rows.

    Utterances of classes that the label set leaves out, and without a label: they are heard and
    read as context, and nothing is answered on them. One that the model could not take is left
    out, and so is one that may be of another split, or of none.

    Args:
        states: Every row of the prepared corpus, with its state.
        rows: Rows of a split protocol.
        group_columns: What the protocol keeps apart.
        min_duration_s: Shorter sound is left out, where sound is needed.
        needs_sound: Whether the model hears.
        needs_transcript: Whether it reads.

    Returns:
        Rows as ``rows`` has them, each in the split that its dialogue is in.
    """
    unlabelled = (states["reason"] == MISSING_FIELD) & states["detail"].isin(
        ["emotion empty", "sentiment empty"]
    )
    chosen = (states["reason"] == CLASS_EXCLUDED) | unlabelled
    if needs_sound:
        chosen &= (states["num_samples"].fillna(0) > 0) & (
            states["duration_s"].astype(float) >= min_duration_s
        )
    if needs_transcript:
        chosen &= states["transcript"].fillna("") != ""
    silent = states[chosen].rename(columns={"split": "corpus_split"})
    silent = silent.dropna(subset=["dialogue_id", "utterance_id"])
    splits = utterance_splits(silent, rows, group_columns)
    silent = silent.assign(source_key=silent["key"], split=silent["key"].map(splits))
    return silent[silent["split"].notna()]


def whole_dialogues(rows: pd.DataFrame, split: str, num_answered: int) -> list[list[int]]:
    """The rows of each dialogue of one split, as they follow one another.

    None of another split is among them, and no dialogue in which nothing is asked.

    Args:
        rows: Rows of a split: source_key, corpus_split, dialogue_id, utterance_id.
        split: What it is called.
        num_answered: How many of the rows, the first, are answered.

    Raises:
        InputError: If the split repeats utterances.
    """
    copied = rows["source_key"].duplicated()
    if copied.any():
        raise InputError(
            f"data.dialogue_batches: expected each utterance once, the split '{split}' has "
            f"{rows['source_key'][copied].iloc[0]} several times; a split that copies utterances "
            "has no whole dialogues: choose another split, or data.dialogue_batches=false"
        )
    numbered = rows.reset_index(drop=True).sort_values("utterance_id", kind="stable")
    groups = numbered.groupby(DIALOGUE, sort=False, dropna=False).indices
    ordered = numbered.index.to_numpy()
    whole = [ordered[places].tolist() for places in groups.values()]
    return sorted(members for members in whole if min(members) < num_answered)


def check_several_utterances(dialogues: Sequence[Sequence[int]]) -> None:
    """Check that there is a dialogue to learn from.

    Raises:
        InputError: If each has one utterance.
    """
    if all(len(members) == 1 for members in dialogues):
        raise InputError(
            f"data.dialogue_batches: expected dialogues of several utterances, each of the "
            f"{len(dialogues)} training utterances is alone in its own; name the columns of "
            "dialogue and order (corpus.columns.dialogue, corpus.columns.order), or leave context "
            "out"
        )
