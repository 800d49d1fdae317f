"""Pretrained speech models, whatever they take, behind one face: sound in, layers of frames out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError

OPTION = "audio_encoder"

Padding = Literal["longest", "fixed"]


class SpeechBackbone(nn.Module, ABC):
    """A pretrained speech model.

    ``model`` is transformers' module, ``config`` what is saved to build it again.
    ``min_samples``, ``fixed_samples`` and ``sample_rate`` are as in ``AudioFrontend``;
    ``frame_dim`` is D.
    """

    model: Any
    config: Any
    sample_rate: int
    min_samples: int
    fixed_samples: int | None
    frame_dim: int

    def preprocess(self, waveform: Tensor) -> Tensor:
        """Prepare one utterance (T,); as it is, unless a model wants otherwise."""
        return waveform

    def call_projections(self) -> None:
        """Compute attention by calling its linear layers, around which updates can be put.

        Nothing has to be done for a model that does so by itself.
        """

    @abstractmethod
    def forward(self, audio: AudioInput, all_layers: bool) -> tuple[list[Tensor], Tensor]:
        """Frames (B, F, D) of the last layer, or of the transformer's input and each layer.

        Returns:
            The layers, bottom first, and the mask (B, F), True where a frame is real.
        """


def layers_of(output: Any, all_layers: bool) -> list[Tensor]:  # noqa: ANN401
    """Hidden states of a transformers output; the last one behind the model's last norm."""
    last: Tensor = output.last_hidden_state
    if not all_layers:
        return [last]
    *inner, top = output.hidden_states
    return [*inner, last if last.shape == top.shape else top]


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """(B, F), True for the first ``lengths`` frames of each row, at least one."""
    positions = torch.arange(num_frames, device=lengths.device)
    return positions < lengths.clamp(min=1)[:, None]


def check_fixed(
    padding: Padding, model_type: str, reason: str = "which hears one length whatever a clip's"
) -> None:
    """Refuse real lengths for a model that cannot answer alike whatever it is padded to.

    Raises:
        InputError: If they are asked for.
    """
    if padding != "fixed":
        raise InputError(
            f"{OPTION}.padding: expected fixed for {model_type}, {reason}, got {padding}; set "
            f"{OPTION}.padding=fixed"
        )
