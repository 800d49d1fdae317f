"""Energies of sound in mel bands, and their floor."""

from __future__ import annotations

from mmemo.audio.torchaudio_check import load_torchaudio
from mmemo.errors import InputError
from mmemo.models.precision import FixedBuffers
from mmemo.values import check_real, check_whole

LEAST_ENERGY = 1e-6
"""Added before the logarithm: digital silence has none."""


class MelSpectrogram(FixedBuffers, load_torchaudio().transforms.MelSpectrogram):  # type: ignore[misc]
    """Mel energies in float32."""


def window_and_hop(sample_rate: int, window_ms: float, hop_ms: float) -> tuple[int, int]:
    """Samples of an analysis window, and from frame to frame.

    Raises:
        InputError: If they are not two samples and one at least.
    """
    check_whole("audio_encoder.sample_rate", sample_rate, 1)
    check_real("audio_encoder.window_ms", window_ms, 0)
    check_real("audio_encoder.hop_ms", hop_ms, 0)
    window, hop = (round(ms * sample_rate / 1000) for ms in (window_ms, hop_ms))
    if window < 2 or hop < 1:
        raise InputError(
            "audio_encoder.window_ms, hop_ms: expected at least two samples and one at "
            f"{sample_rate} Hz, got {window_ms} and {hop_ms} ms"
        )
    return window, hop
