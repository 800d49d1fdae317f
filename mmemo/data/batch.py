"""What goes from the loader to the model: examples, batches, and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmemo.data.dialogues import Dialogues, Turn
from mmemo.errors import InputError


@dataclass(frozen=True)
class Example:
    """One utterance, preprocessed. A modality that no encoder wants is None.

    Args:
        key: The utterance's key.
        target: Class index.
        waveform: (T,) float32.
        input_ids: (L,) int64.
        audio_features: (N, D) float32, what a frozen encoder made of the sound; stands in for it.
        own_tokens: Where the utterance's own tokens begin and end; None where all are its own.
        text_features: (N, D) float32, the same of the text.
        votes: (C,) float32, the raters' shares of votes; None where there are no raters.
        turn: Where it stands in its dialogue; None where batches are of single utterances.
        is_answered: Whether it is answered; False for what is context alone, whose target means
            nothing.
    """

    key: str
    target: int
    waveform: Tensor | None
    input_ids: Tensor | None
    audio_features: Tensor | None = None
    own_tokens: tuple[int, int] | None = None
    text_features: Tensor | None = None
    votes: Tensor | None = None
    turn: Turn | None = None
    is_answered: bool = True


@dataclass(frozen=True)
class AudioInput:
    """Padded sound: ``waveform`` (B, T); ``mask`` (B, T), True where it is real.

    The waveform is float32 whatever the type of a model's weights: an encoder converts what its
    weights take, behind its spectrum if it has one.
    """

    waveform: Tensor
    mask: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> AudioInput:
        """Copy on another device."""
        waveform = self.waveform.to(device, non_blocking=non_blocking)
        return AudioInput(waveform, self.mask.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> AudioInput:
        """Copy in page-locked memory."""
        return AudioInput(self.waveform.pin_memory(), self.mask.pin_memory())


@dataclass(frozen=True)
class AudioFeatures:
    """Sound that was encoded before: ``pooled`` (B, N, D), of each of N layers."""

    pooled: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> AudioFeatures:
        """Copy on another device."""
        return AudioFeatures(self.pooled.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> AudioFeatures:
        """Copy in page-locked memory."""
        return AudioFeatures(self.pooled.pin_memory())


@dataclass(frozen=True)
class TextFeatures:
    """Text that was encoded before: ``pooled`` (B, N, D), of each of N layers."""

    pooled: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TextFeatures:
        """Copy on another device."""
        return TextFeatures(self.pooled.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TextFeatures:
        """Copy in page-locked memory."""
        return TextFeatures(self.pooled.pin_memory())


@dataclass(frozen=True)
class TextInput:
    """Padded tokens.

    Args:
        input_ids: (B, L).
        mask: (B, L), True where they are real.
        own: (B, L), True for the utterance's own tokens; None where no context is among them.
    """

    input_ids: Tensor
    mask: Tensor
    own: Tensor | None = None

    @property
    def pooled_mask(self) -> Tensor:
        """(B, L), True for the tokens whose vectors are averaged."""
        return self.mask if self.own is None else self.own

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TextInput:
        """Copy on another device."""
        own = None if self.own is None else self.own.to(device, non_blocking=non_blocking)
        input_ids = self.input_ids.to(device, non_blocking=non_blocking)
        return TextInput(input_ids, self.mask.to(device, non_blocking=non_blocking), own)

    def pin_memory(self) -> TextInput:
        """Copy in page-locked memory."""
        own = None if self.own is None else self.own.pin_memory()
        return TextInput(self.input_ids.pin_memory(), self.mask.pin_memory(), own)


@dataclass(frozen=True)
class Batch:
    """Utterances side by side.

    ``target`` is (B,); ``votes`` (B, C), the raters' shares of votes, None where there are none;
    ``dialogues`` tells which of them are a dialogue, None where they are single utterances. With
    dialogues, sound and text may be of more utterances than these B: those behind them are
    context, and not answered.
    """

    keys: tuple[str, ...]
    target: Tensor
    audio: AudioInput | AudioFeatures | None
    text: TextInput | TextFeatures | None
    votes: Tensor | None = None
    dialogues: Dialogues | None = None

    def __len__(self) -> int:
        """Number of utterances B that are answered."""
        return len(self.keys)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Copy on another device."""
        return Batch(
            self.keys,
            self.target.to(device, non_blocking=non_blocking),
            self.audio and self.audio.to(device, non_blocking),
            self.text and self.text.to(device, non_blocking),
            None if self.votes is None else self.votes.to(device, non_blocking=non_blocking),
            self.dialogues and self.dialogues.to(device, non_blocking),
        )

    def pin_memory(self) -> Batch:
        """Copy in page-locked memory, from where a GPU copies fastest; called by the loader."""
        return Batch(
            self.keys,
            self.target.pin_memory(),
            self.audio and self.audio.pin_memory(),
            self.text and self.text.pin_memory(),
            None if self.votes is None else self.votes.pin_memory(),
            self.dialogues and self.dialogues.pin_memory(),
        )


@dataclass(frozen=True)
class Collator:
    """Pads examples to one length each for sound and text.

    Args:
        min_samples: Shortest waveform that the audio encoder takes.
        fixed_samples: Length that every waveform is padded to; None for the longest in the batch.
        pad_token_id: Token that fills short texts.
    """

    min_samples: int = 1
    fixed_samples: int | None = None
    pad_token_id: int = 0

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Collate one or more examples of the same modalities, all of dialogues or none."""
        order = sorted(range(len(examples)), key=lambda place: not examples[place].is_answered)
        turns = [e.turn for e in examples if e.turn is not None]
        examples = [examples[place] for place in order]
        answered = [e for e in examples if e.is_answered]
        waveforms = [e.waveform for e in examples if e.waveform is not None]
        sound = [e.audio_features for e in examples if e.audio_features is not None]
        text = [e.text_features for e in examples if e.text_features is not None]
        votes = [e.votes for e in answered if e.votes is not None]
        return Batch(
            keys=tuple(e.key for e in answered),
            target=torch.tensor([e.target for e in answered]),
            audio=AudioFeatures(torch.stack(sound)) if sound else self._pad_audio(waveforms),
            text=TextFeatures(torch.stack(text)) if text else self._pad_text(examples),
            votes=torch.stack(votes) if votes else None,
            dialogues=Dialogues.of(turns).renumbered(order) if turns else None,
        )

    def _pad_audio(self, waveforms: list[Tensor]) -> AudioInput | None:
        if not waveforms:
            return None
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        size = self.fixed_samples or max(int(lengths.max()), self.min_samples)
        if int(lengths.max()) > size:
            raise InputError(
                f"expected waveforms of at most {size} samples (the audio encoder's "
                f"fixed_duration_s), got {int(lengths.max())}; set data.max_duration_s no higher"
            )
        waveform = torch.zeros(len(waveforms), size)
        for row, samples in zip(waveform, waveforms, strict=True):
            row[: len(samples)] = samples
        return AudioInput(waveform, torch.arange(size) < lengths[:, None])

    def _pad_text(self, examples: Sequence[Example]) -> TextInput | None:
        tokens = [e.input_ids for e in examples if e.input_ids is not None]
        if not tokens:
            return None
        lengths = torch.tensor([len(ids) for ids in tokens])[:, None]
        input_ids = pad_sequence(tokens, batch_first=True, padding_value=self.pad_token_id)
        positions = torch.arange(input_ids.shape[1])
        mask = positions < lengths
        if all(e.own_tokens is None for e in examples):
            return TextInput(input_ids, mask)
        spans = [e.own_tokens or (0, len(ids)) for e, ids in zip(examples, tokens, strict=True)]
        start, stop = torch.tensor(spans)[:, :, None].unbind(dim=1)
        return TextInput(input_ids, mask, (start <= positions) & (positions < stop))
