"""Energies of sound in mel bands, and their floor."""

from __future__ import annotations

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.models.precision import FixedBuffers

LEAST_ENERGY = 1e-6
"""Added before the logarithm: digital silence has none."""


class MelSpectrogram(FixedBuffers, load_torchaudio().transforms.MelSpectrogram):  # type: ignore[misc]
    """Mel energies in float32."""
