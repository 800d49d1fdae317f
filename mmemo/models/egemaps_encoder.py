"""eGeMAPS: hand-made features of the voice, by openSMILE."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmemo.data.batch import AudioInput
from mmemo.extras import import_package
from mmemo.models.protocols import Features

PITCH_WINDOW_S = 0.06
"""The longest analysis window of the feature set: openSMILE has no answer for less sound."""


class EgemapsEncoder(nn.Module):
    """The 88 functionals of eGeMAPSv02: pitch, loudness, formants, spectrum and rhythm.

    Source: Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice
    Research and Affective Computing", IEEE Trans. Affective Computing 7(2), computed by openSMILE.
    Nothing in it is trained. An utterance has one frame, its functionals: the low-level
    descriptors behind them would double the time, about 0.04 s for each second of sound.
    Sound of less than 60 ms is followed by silence up to that length.

    Args:
        sample_rate: In Hz.

    Raises:
        InputError: If openSMILE is not installed.
    """

    fixed_samples: int | None = None
    frozen = True
    packages = ("opensmile",)

    def __init__(self, sample_rate: int = 16_000) -> None:
        super().__init__()
        opensmile = import_package("audio_encoder=egemaps", "opensmile", "egemaps")
        self.smile = opensmile.Smile(
            opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals
        )
        self.sample_rate = sample_rate
        self.min_samples = round(PITCH_WINDOW_S * sample_rate)
        self.output_dim = self.smile.num_features
        self.feature_names: tuple[str, ...] = tuple(self.smile.feature_names)
        self.frame_dim = self.smile.num_features

    def preprocess(self, waveform: Tensor) -> Tensor:
        """The waveform as it is: its level is one of the features."""
        return waveform

    def forward(self, audio: AudioInput) -> Features:
        """Describe (B, T) by (B, 88), and by the same as one frame (B, 1, 88)."""
        lengths = audio.mask.sum(dim=1).clamp(min=self.min_samples).tolist()
        sound = audio.waveform.detach().float().cpu()
        sounds = [
            waveform[:length] for waveform, length in zip(sound.numpy(), lengths, strict=True)
        ]
        # openSMILE lets other threads work while it does.
        with ThreadPoolExecutor(min(len(sounds), os.cpu_count() or 1)) as pool:
            described = np.stack(list(pool.map(self._describe, sounds)))
        functionals = torch.from_numpy(described).to(audio.waveform.device)
        frames = functionals[:, None]
        return Features(frames, torch.ones_like(frames[..., 0], dtype=torch.bool), functionals)

    def pooled_layers(self, audio: AudioInput) -> Tensor:
        """The functionals as one layer: (B, 1, 88)."""
        frames: Tensor = self(audio).frames
        return frames

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, 1, 88) to (B, 88)."""
        return pooled[:, 0]

    def _describe(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The functionals (88,) of sound (T,), float32."""
        return np.asarray(self.smile(samples, self.sample_rate)[0, :, 0], dtype=np.float32)

    def save_assets(self, folder: Path) -> None:
        """Nothing is needed: there are no weights."""
