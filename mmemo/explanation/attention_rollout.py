"""Attention rollout: where an encoder's attention comes from. It is of no class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmemo.explanation.explanation import Attribution
from mmemo.explanation.frames import frames_between
from mmemo.explanation.inputs import UtteranceInput, word_sums
from mmemo.explanation.methods import Attributed, check_finite
from mmemo.explanation.passes import Passes, with_smaller_batches
from mmemo.explanation.perturbation import PerturbedUtterance
from mmemo.models.attentions import Attentions
from mmemo.models.protocols import AttendingAudioEncoder, AttendingTextEncoder

Floats = NDArray[np.float64]

NAME = "attention_rollout"
MEANING = (
    "Attention rollout is no attribution to a class: it says from where each encoder's layers "
    "have gathered, whatever the model answers, and knows neither fusion nor head"
)


@dataclass(frozen=True)
class AttentionRollout:
    """How much of each frame or token an encoder's attention carries into the utterance's vector.

    Source: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", equation 1: the
    product over layers of (mean attention over heads + identity) / 2, from the rows that the
    encoder pools. Shares are not negative and are of no class. Tokens that are no word's (special
    ones, and context) have their share too, which is not shown, and padding's likewise. Of
    encoders with ``layers=weighted`` it is up to the last layer. Nothing is drawn.
    """

    def attribute(self, utterance: PerturbedUtterance) -> Attributed:
        """Roll out each encoder that tells its attention; for the others why not.

        Raises:
            ExplanationError: If a value is not finite, or memory does not suffice.
        """
        inputs = utterance.inputs
        found, reasons = self._attentions(utterance)
        notes = [f"no attention rollout of {name}: {why}" for name, why in reasons.items()]
        if not found:
            return Attributed(None, tuple(notes))
        shares = {name: _pooled_rollout(attentions) for name, attentions in found.items()}
        frames: Floats | None = None
        words: Floats | None = None
        if "audio" in shares and utterance.waveform is not None:
            real = shares["audio"][found["audio"].mask[0].cpu().numpy()]
            frames = frames_between(real, utterance.waveform.shape[1], inputs.sample_rate)
        if "text" in shares:
            words = word_sums(inputs.token_words, shares["text"])
        attribution = Attribution(frames, words)
        check_finite(NAME, attribution, inputs.key)
        return Attributed(attribution, (MEANING, *notes))

    def _attentions(
        self, utterance: PerturbedUtterance
    ) -> tuple[dict[str, Attentions], dict[str, str]]:
        """By modality what encoders tell, and why the others do not."""
        inputs, classifier = utterance.inputs, utterance.classifier
        audio_encoder, text_encoder = classifier.audio_encoder, classifier.text_encoder
        found: dict[str, Attentions] = {}
        reasons: dict[str, str] = {}

        def compute(_: int) -> None:
            with torch.no_grad():
                if inputs.audio is not None and isinstance(audio_encoder, AttendingAudioEncoder):
                    found["audio"] = audio_encoder.attentions(inputs.audio)
                if inputs.text is not None and isinstance(text_encoder, AttendingTextEncoder):
                    found["text"] = text_encoder.attentions(inputs.text)

        with_smaller_batches(compute, 1, inputs.key)
        utterance.passes.count(forward=1)
        for name, encoder in (("audio", audio_encoder), ("text", text_encoder)):
            if encoder is None:
                continue
            kind = type(encoder).__name__
            if name not in found:
                reasons[name] = f"{kind} tells of no layers of attention"
            elif not found[name].layers:
                del found[name]
                reasons[name] = f"{kind} does not attend between the frames that it gives"
        return found, reasons

    def cost(self, inputs: UtteranceInput) -> Passes:
        """One pass."""
        return Passes(1, 0)


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """How much frame i of the last layer has of each frame of the input: (F, F), rows sum to 1.

    Args:
        layers: Attention (H, F, F) of each layer, bottom first.
    """
    num_frames = layers[0].shape[-1]
    identity = torch.eye(num_frames, dtype=torch.float64)
    rolled = identity
    for layer in layers:
        mixed = (layer.double().cpu().mean(dim=0) + identity) / 2
        rolled = mixed / mixed.sum(dim=-1, keepdim=True) @ rolled
    return rolled


def _pooled_rollout(attentions: Attentions) -> Floats:
    """Share (F,) of each frame of the input in the one utterance's vector."""
    rolled = rollout([layer[0] for layer in attentions.layers])
    shares: Floats = (attentions.pooled[0].double().cpu() @ rolled).numpy()
    return shares
