"""Grad-CAM over the maps of a spectrogram CNN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from captum import attr
from torch import Tensor, nn

from mmemo.explanation.explanation import Attribution
from mmemo.explanation.frames import frames_between
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.methods import Attributed, check_finite
from mmemo.explanation.passes import Passes, with_smaller_batches
from mmemo.explanation.perturbation import PerturbedUtterance

NAME = "grad_cam"


@dataclass(frozen=True)
class GradCam:
    """Activations of the last block's maps, each weighted by the mean gradient of F, by captum.

    Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2. The sum over maps (F,) is put
    between the middles of equal stretches of the sound and interpolated to frames of 20 ms; bands
    of frequency are averaged. It is of the sound alone, as coarse as the maps are, and no part of
    F: maps have no baseline, and values sum to nothing. Nothing is drawn.

    Args:
        relu: Cut what speaks against the class, as equation 2 does; False keeps the sign, as the
            other methods have it.
    """

    relu: bool = False

    def attribute(self, utterance: PerturbedUtterance) -> Attributed:
        """Attribute F to frames; no attribution for a model without maps, and why.

        Raises:
            ExplanationError: If a value is not finite, or memory does not suffice.
        """
        encoder, waveform = utterance.classifier.audio_encoder, utterance.waveform
        if encoder is None or waveform is None:
            return Attributed(None, ("no Grad-CAM: the model hears nothing",))
        # Looked up, as a module's parts are: a check of the protocol does not, from Python 3.12 on.
        maps = getattr(encoder, "maps", None)
        if not isinstance(maps, nn.Module):
            return Attributed(
                None,
                (
                    f"no Grad-CAM: {type(encoder).__name__} has no maps of a spectrogram CNN; "
                    "audio_encoder=logmel_cnn has",
                ),
            )
        if "audio" in utterance.no_gradient:
            return Attributed(None, (f"no Grad-CAM: {utterance.no_gradient['audio']}",))
        key = utterance.inputs.key
        tracked = waveform.detach().clone().requires_grad_()

        def compute(_: int) -> Tensor:
            method = attr.LayerGradCam(lambda sound: utterance.output(sound, None), maps)
            found: Tensor = method.attribute(tracked, relu_attributions=self.relu)
            utterance.passes.count(backward=1)
            return found.detach()

        with torch.enable_grad():
            found, _ = with_smaller_batches(compute, 1, key)
        values = found[0, 0].double().cpu().numpy()
        values = values.reshape(len(values), -1).mean(axis=1)
        inputs, num_samples = utterance.inputs, waveform.shape[1]
        num_real = max(1, round(len(values) * num_samples / _num_heard(inputs)))
        frames = frames_between(values[:num_real], num_samples, inputs.sample_rate)
        attribution = Attribution(frames, None)
        check_finite(NAME, attribution, key)
        return Attributed(attribution)

    def cost(self, inputs: UtteranceInput) -> Passes:
        """One pass and its gradient where there is sound."""
        return Passes(1, 1) if inputs.audio else Passes(0, 0)


def _num_heard(inputs: UtteranceInput) -> int:
    """Samples that the encoder takes, padding included."""
    if inputs.audio is None:
        raise ValueError(f"{inputs.key}: expected sound, got none")
    return int(np.prod(inputs.audio.waveform.shape[1:]))
