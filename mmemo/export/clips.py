"""Clips that an exported model is held against the run's own with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mmemo.data.batch import Batch, Collator, Example
from mmemo.data.frontends import Tokens
from mmemo.data.utterances import UtteranceDataset
from mmemo.export.graph import NUM_SAMPLES, NUM_TOKENS, OWN_TOKENS, SAMPLES, TOKEN_IDS
from mmemo.runs.encoders import Encoders

MADE_DURATIONS_S = (0.3, 4.0)
MADE_WORDS = (
    *("well", "I", "never", "thought", "that", "you", "would"),
    *("come", "back", "so", "soon", "after", "all", "of", "this"),
)


@dataclass(frozen=True)
class Clip:
    """Prepared samples (T,) and tokens of one utterance; None for what the model does not take."""

    samples: Tensor | None
    tokens: Tokens | None


def real_clips(dataset: UtteranceDataset, encoders: Encoders, num_clips: int) -> list[Clip]:
    """Clips of a data set from the shortest to the longest, evenly spaced."""
    order = np.argsort(dataset.lengths(), kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, num_clips).round().astype(int))
    return [
        Clip(
            dataset.sound(int(index)) if encoders.audio is not None else None,
            dataset.tokens(int(index)) if encoders.text is not None else None,
        )
        for index in order[places]
    ]


def made_clips(encoders: Encoders, num_clips: int, max_samples: int) -> list[Clip]:
    """Noise of several lengths and sentences of several words, where no corpus is at hand."""
    random = torch.Generator().manual_seed(0)
    clips = []
    for duration_s, num_words in zip(
        np.linspace(*MADE_DURATIONS_S, num_clips),
        np.linspace(1, len(MADE_WORDS), num_clips).round().astype(int),
        strict=True,
    ):
        samples = tokens = None
        if encoders.audio is not None:
            length = min(max_samples, round(duration_s * encoders.audio.sample_rate))
            samples = 0.1 * torch.randn(length, generator=random)
        if encoders.text is not None:
            tokens = encoders.text.tokenize(" ".join(MADE_WORDS[:num_words]))
        clips.append(Clip(samples, tokens))
    return clips


def batched(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """The shortest and the longest alone, three together, then all of them."""
    yield [clips[0]]
    yield [clips[-1]]
    yield list(clips[:: max(1, len(clips) // 3)][:3])
    yield list(clips)


def collate(clips: Sequence[Clip], encoders: Encoders) -> Batch:
    """As the loader does it for the run's own model."""
    audio, text = encoders.audio, encoders.text
    collator = Collator(
        min_samples=audio.min_samples if audio else 1,
        fixed_samples=audio.fixed_samples if audio else None,
        pad_token_id=text.pad_token_id if text else 0,
    )
    return collator(
        [
            Example(
                str(place),
                0,
                audio.preprocess(clip.samples) if audio and clip.samples is not None else None,
                torch.tensor(clip.tokens.ids) if clip.tokens else None,
                own_tokens=clip.tokens.own if clip.tokens else None,
            )
            for place, clip in enumerate(clips)
        ]
    )


def graph_inputs(
    clips: Sequence[Clip], encoders: Encoders, names: Sequence[str]
) -> dict[str, Tensor]:
    """The same clips as the graph takes them, by name, padded as the loader does it."""
    batch = collate(clips, encoders)
    inputs: dict[str, Tensor] = {}
    audio: Tensor | None = getattr(batch.audio, "waveform", None)
    if audio is not None:
        samples = torch.zeros_like(audio)
        for row, clip in zip(samples, clips, strict=True):
            if clip.samples is not None:
                row[: len(clip.samples)] = clip.samples
        inputs[SAMPLES] = samples
        inputs[NUM_SAMPLES] = torch.tensor([len(c.samples) for c in clips if c.samples is not None])
    ids: Tensor | None = getattr(batch.text, "input_ids", None)
    if ids is not None:
        tokens = [clip.tokens for clip in clips if clip.tokens is not None]
        inputs[TOKEN_IDS] = ids
        inputs[NUM_TOKENS] = torch.tensor([len(one.ids) for one in tokens])
        inputs[OWN_TOKENS] = torch.tensor([one.own or (0, len(one.ids)) for one in tokens])
    return {name: inputs[name] for name in names}
