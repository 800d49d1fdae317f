"""One utterance as its model was given it, and which of its tokens are which word's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmemo.data.batch import AudioInput, TextInput
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.utterances import UtteranceDataset
from mmemo.explanation.explanation import Word
from mmemo.explanation.selection import no_such_key
from mmemo.models.protocols import TextEncoder
from mmemo.runs.predictor import Predictor, Spoken

Span = tuple[int, int]


@dataclass(frozen=True)
class UtteranceInput:
    """A batch of one utterance, as the run's own loader makes it, and what is in it.

    Sound is explained in the scale in which the encoder takes it, behind ``preprocess``: the
    normalisation of a whole waveform would mix every sample's influence into all others. For an
    encoder without normalisation it is the waveform itself.

    Args:
        key: The utterance's key.
        true: Index of its class; None where nobody has annotated it.
        audio: A batch of one for the audio encoder, or None. Behind the real samples there is
            padding only where the run has a fixed length or the sound is shorter than the
            encoder's least.
        sound: (T,) float32, the prepared sound that was heard, before ``preprocess``; T is the
            true end.
        sample_rate: Of the sound, in Hz.
        text: A batch of one for the text encoder, or None.
        transcript: As it is read: cleaned, with the speaker's name in front where the run has it.
        words: Of the transcript; none without a text encoder.
        token_words: (L, W), True for the words that each token stands for: a subword for one, a
            term of several words for all of them, special tokens and those of its context for
            none.
    """

    key: str
    true: int | None
    audio: AudioInput | None
    sound: Tensor | None
    sample_rate: int
    text: TextInput | None
    transcript: str
    words: tuple[Word, ...]
    token_words: Tensor

    @property
    def waveform(self) -> Tensor | None:
        """The real samples (1, T) in the encoder's scale."""
        return None if self.audio is None else self.audio.waveform[:, self.audio.mask[0]]

    def to(self, device: torch.device | str) -> UtteranceInput:
        """Copy on another device."""
        return replace(
            self,
            audio=self.audio and self.audio.to(device),
            text=self.text and self.text.to(device),
            token_words=self.token_words.to(device),
        )


def utterance_input(
    datamodule: EmotionDataModule, key: str, text_encoder: TextEncoder | None
) -> UtteranceInput:
    """An utterance of any split, through the run's own data set and collation.

    Features that are kept of frozen encoders are passed by: sound and tokens are handed out.

    Args:
        datamodule: The run's, with its encoders.
        key: The utterance's key.
        text_encoder: The model's, which tells whose tokens are whose; None without one.

    Raises:
        InputError: If no split has the key.
    """
    dataset, index = _find(datamodule, key)
    batch = datamodule.collator([dataset[index]])
    audio = batch.audio if isinstance(batch.audio, AudioInput) else None
    text = batch.text if isinstance(batch.text, TextInput) else None
    transcript = dataset.transcripts[index]
    words: tuple[Word, ...] = ()
    token_words = torch.zeros(0, 0, dtype=torch.bool)
    if text is not None and text_encoder is not None:
        words, token_words = read_words(text_encoder, transcript, text)
    return UtteranceInput(
        key=key,
        true=dataset.targets[index],
        audio=audio,
        sound=None if audio is None else dataset.sound(index),
        sample_rate=datamodule.prepared.sample_rate,
        text=text,
        transcript=transcript,
        words=words,
        token_words=token_words,
    )


def predictor_input(
    predictor: Predictor, spoken: Spoken, times: Sequence[tuple[float, float]] = ()
) -> UtteranceInput:
    """What a model is asked about, from no corpus.

    Args:
        predictor: The model with all that happens before it.
        spoken: What is asked.
        times: Start and end of each word in s, where they are known; left aside where the model
            reads other words than those.
    """
    batch = predictor.collator([predictor.example(spoken)])
    audio = batch.audio if isinstance(batch.audio, AudioInput) else None
    text = batch.text if isinstance(batch.text, TextInput) else None
    read = predictor.read(spoken.speaker, spoken.transcript or "")
    sound = predictor.used_sound(spoken.sound) if audio and spoken.sound is not None else None
    words: tuple[Word, ...] = ()
    token_words = torch.zeros(0, 0, dtype=torch.bool)
    if text is not None and predictor.encoders.text is not None:
        words, token_words = read_words(predictor.encoders.text, read, text)
    # The speaker's name in front is said by nobody.
    num_words = len(word_spans(predictor.read("", spoken.transcript or "")))
    if times and len(times) == num_words <= len(words):
        names, spoken_words = words[: len(words) - num_words], words[len(words) - num_words :]
        pairs = zip(spoken_words, times, strict=True)
        words = (*names, *(replace(word, start_s=s, end_s=e) for word, (s, e) in pairs))
    return UtteranceInput(
        key=spoken.key,
        true=None,
        audio=audio,
        sound=sound,
        sample_rate=predictor.preprocessing.sample_rate,
        text=text,
        transcript=read,
        words=words,
        token_words=token_words,
    )


def _find(datamodule: EmotionDataModule, key: str) -> tuple[UtteranceDataset, int]:
    for dataset in datamodule.datasets.values():
        if key in dataset.keys:
            real = copy(dataset)
            real.audio_features = real.text_features = None
            return real, dataset.keys.index(key)
    raise no_such_key(key, datamodule.datasets["test"].keys[0])


def read_words(
    encoder: TextEncoder, transcript: str, text: TextInput
) -> tuple[tuple[Word, ...], Tensor]:
    """The words of a transcript, and which of them each token that is read stands for.

    Args:
        encoder: Whose tokens they are.
        transcript: The utterance, without its context.
        text: A batch of it alone.

    Returns:
        The words; (L, W), True for the words of each token.
    """
    spans = word_spans(transcript)
    ids = text.input_ids[0]
    token_words = torch.zeros(len(ids), len(spans), dtype=torch.bool)
    own = encoder.own_tokens(transcript)
    if spans and own.ids:
        places = torch.arange(len(ids)) if text.own is None else text.own[0].nonzero()[:, 0]
        start, stop = find_own_tokens(ids[places].tolist(), own.ids)
        found = words_of_tokens(transcript, spans, own.spans[: stop - start])
        for place, (first, behind) in zip(places[start:stop].tolist(), found, strict=True):
            token_words[place, first:behind] = True
    words = [
        Word(transcript[start:stop], start, stop, is_read)
        for (start, stop), is_read in zip(spans, token_words.any(dim=0).tolist(), strict=True)
    ]
    return tuple(words), token_words


def word_spans(transcript: str) -> list[Span]:
    """Characters [start, stop) of each word."""
    return [match.span() for match in re.finditer(r"\S+", transcript)]


def words_of_tokens(transcript: str, words: Sequence[Span], tokens: Sequence[Span]) -> list[Span]:
    """The words that each token stands for.

    They begin with the one with the token's first character that is no white space, and end with
    that of its last: some tokenizers put a word's leading space into its span. White space alone
    belongs to the next word, or to the last.

    Args:
        transcript: The text.
        words: Characters of its words, at least one.
        tokens: Characters of its tokens.

    Returns:
        For each token [start, stop) of ``words``.
    """

    def word_at(place: int) -> int:
        behind = (index for index, (_, end) in enumerate(words) if place < end)
        return next(behind, len(words) - 1)

    found = []
    for start, stop in tokens:
        token = transcript[start:stop]
        first = start + len(token) - len(token.lstrip())
        last = max(first, start + len(token.rstrip()) - 1)
        found.append((word_at(first), word_at(last) + 1))
    return found


def word_sums(token_words: Tensor, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum what tokens have to words; a token of several words has an equal share for each.

    Args:
        token_words: (L, W), as of ``UtteranceInput``.
        values: (L,); those of tokens of no word are left aside.

    Returns:
        (W,).
    """
    of_word = token_words.cpu().numpy()
    places, words = of_word.nonzero()
    sums = np.zeros(of_word.shape[1])
    np.add.at(sums, words, values[places] / of_word.sum(axis=1)[places])
    return sums


def find_own_tokens(all_ids: Sequence[int], own_ids: Sequence[int]) -> Span:
    """Where a transcript's tokens stand among special ones; the last of them may be cut off.

    Args:
        all_ids: What the model reads.
        own_ids: The transcript's tokens, not cut.

    Returns:
        Positions [start, stop) in ``all_ids``; an empty span if none of them is there.
    """
    for length in range(min(len(all_ids), len(own_ids)), 0, -1):
        wanted = list(own_ids[:length])
        for start in range(len(all_ids) - length + 1):
            if list(all_ids[start : start + length]) == wanted:
                return start, start + length
    return 0, 0
