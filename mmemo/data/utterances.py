"""Utterances of one split as the loader hands them out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import overload

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmemo.audio.denoisers import Samples
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.data.augmentation import Augmentation, Draw
from mmemo.data.batch import Example
from mmemo.data.context import Context
from mmemo.data.dialogues import turns_of, whole_dialogues
from mmemo.data.frontends import AudioFrontend, TextFrontend, Tokens


class UtteranceDataset(Dataset[Example]):
    """Utterances of one split, preprocessed by the encoders when they are asked for.

    Args:
        rows: Rows of the prepared corpus' manifest.
        prepared: Where their sound is.
        labels: The classes; every row's label is one of them.
        audio_encoder: Whose ``preprocess`` is applied; None to leave the sound unread.
        text_encoder: Whose ``tokenize`` is applied; None to leave the text out.
        max_samples: Longer sound is cut there.
        texts: What is read of each utterance of the corpus, by source key.
        contexts: The utterances read beside each row's.
        augmentation: What is done to the sound of a draw, never to that of an index; None for
            nothing.
        split: What the split is called.
        in_dialogues: Whether each example tells its turn in its dialogue.
        silent: More rows, which are context of dialogues and not answered; ``contexts`` has
            theirs at its end. None for none.

    Raises:
        InputError: If dialogues are asked for of a split that repeats utterances.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        prepared: PreparedCorpus,
        labels: LabelSet,
        audio_encoder: AudioFrontend | None,
        text_encoder: TextFrontend | None,
        max_samples: int,
        texts: Mapping[str, str],
        contexts: Sequence[Context],
        augmentation: Augmentation | None = None,
        split: str = "",
        in_dialogues: bool = False,
        silent: pd.DataFrame | None = None,
    ) -> None:
        self.rows = rows.reset_index(drop=True)
        every = self.rows
        if silent is not None and not silent.empty:
            every = pd.concat([self.rows, silent], ignore_index=True)
        self.prepared = prepared
        self.max_samples = max_samples
        self.augmentation = augmentation
        self.preprocess = audio_encoder.preprocess if audio_encoder else None
        self.tokenize = text_encoder.tokenize if text_encoder else None
        self.keys: list[str] = every["key"].tolist()
        self.source_keys: list[str] = every["source_key"].tolist()
        self.targets = [labels.index(label) for label in self.rows[labels.column]]
        self.votes = rating_shares(self.rows, self.targets, labels)
        self.transcripts = [texts[key] for key in self.source_keys]
        self.before = [[texts[key] for key in context.before] for context in contexts]
        self.after = [[texts[key] for key in context.after] for context in contexts]
        columns = ["audio_file", "offset", "num_samples"]
        self.places = list(every[columns].itertuples(index=False, name=None))
        self.dialogues = whole_dialogues(every, split, len(self.rows)) if in_dialogues else None
        self.turns = turns_of(every) if in_dialogues else None
        self.audio_features: list[Tensor] | None = None
        self.text_features: list[Tensor] | None = None
        self.sound_is_padded = audio_encoder is not None and audio_encoder.fixed_samples is None

    def __len__(self) -> int:
        """Number of utterances, those among them that are not answered."""
        return len(self.keys)

    def __getitem__(self, index: int | Draw) -> Example:
        """The preprocessed utterance at an index, or as an epoch draws it."""
        draw, index = (index, index.index) if isinstance(index, Draw) else (None, index)
        waveform = features = None
        if self.audio_features is not None:
            features = self.audio_features[index]
        elif self.preprocess is not None:
            waveform = self.preprocess(self._augmented(index, draw))
        is_answered = index < len(self.targets)
        target = self.targets[index] if is_answered else 0
        example = Example(
            self.keys[index], target, waveform, None, features, is_answered=is_answered
        )
        if self.votes is not None and is_answered:
            example = replace(example, votes=self.votes[index])
        if self.turns is not None:
            example = replace(example, turn=self.turns[index])
        if self.text_features is not None:
            return replace(example, text_features=self.text_features[index])
        if self.tokenize is None:
            return example
        tokens = self.tokens(index)
        return replace(example, input_ids=torch.tensor(tokens.ids), own_tokens=tokens.own)

    def tokens(self, index: int) -> Tokens:
        """The utterance's tokens, and those of its context."""
        if self.tokenize is None:
            raise ValueError("expected a text encoder to tokenise for, got none")
        return self.tokenize(self.transcripts[index], self.before[index], self.after[index])

    def lengths(self) -> list[int]:
        """What an utterance costs (N,): samples of padded sound, else transcript characters."""
        if self.sound_is_padded and self.audio_features is None:
            return [min(num_samples, self.max_samples) for _, _, num_samples in self.places]
        texts = zip(self.transcripts, self.before, self.after, strict=True)
        return [sum(map(len, [own, *before, *after])) for own, before, after in texts]

    def batched_lengths(self) -> list[int]:
        """What that costs which batches are made of: utterances, or whole dialogues."""
        lengths = self.lengths()
        if self.dialogues is None:
            return lengths
        return [sum(lengths[place] for place in members) for members in self.dialogues]

    def _augmented(self, index: int, draw: Draw | None) -> Tensor:
        sound = self.sound(index)
        if draw is None or self.augmentation is None:
            return sound
        return self.augmentation(sound, self.prepared.sample_rate, draw)[: self.max_samples]

    def sound(self, index: int) -> Tensor:
        """Prepared sound (T,) at an index, as much of it as is heard; before the encoder's part."""
        audio_file, offset, num_samples = self.places[index]
        return self.prepared.read(audio_file, offset, min(num_samples, self.max_samples))


def rating_shares(rows: pd.DataFrame, targets: Sequence[int], labels: LabelSet) -> Tensor | None:
    """Raters' shares of votes for each class (N, C); None where nobody rated.

    They are for emotions: of classes of another column there are none. Votes for what is no class
    are left out; a row without any is certain of its label.
    """
    if labels.column != "emotion" or "ratings" not in rows or not rows["ratings"].notna().any():
        return None
    votes = torch.zeros(len(rows), len(labels))
    for row, (given, target) in enumerate(zip(rows["ratings"], targets, strict=True)):
        counts = json.loads(given) if isinstance(given, str) and given else {}
        for name, count in counts.items():
            if name in labels.classes:
                votes[row, labels.index(name)] = count
        if not votes[row].any():
            votes[row, target] = 1.0
    shares: Tensor = votes / votes.sum(dim=1, keepdim=True)
    return shares


class SplitSounds(Sequence[Samples]):
    """The sounds (T,) float32 of a split, read when they are asked for."""

    def __init__(self, dataset: UtteranceDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self._dataset)

    @overload
    def __getitem__(self, index: int) -> Samples: ...

    @overload
    def __getitem__(self, index: slice) -> list[Samples]: ...

    def __getitem__(self, index: int | slice) -> Samples | list[Samples]:
        """What is heard of the utterance at an index."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        sound: Samples = self._dataset.sound(index).numpy()
        return sound
