"""Sound through a codec and back, by FFmpeg's libraries."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import check_probability, check_range, of_length
from mmemo.errors import InputError


@dataclass(frozen=True)
class _Way:
    """A codec as FFmpeg knows it.

    Args:
        container: That what is coded is put in: one that tells its delay.
        encoder: FFmpeg's name.
        rate: That is coded, in Hz.
        has_bit_rate: Whether it can be chosen.
        delay: Samples that stand before the sound once it is decoded.
    """

    container: str
    encoder: str
    rate: int
    has_bit_rate: bool
    delay: int = 0


WAYS = {
    "mp3": _Way("mp3", "mp3", 16_000, True),
    "aac": _Way("mp4", "aac", 16_000, True, delay=1024),
    "opus": _Way("ogg", "libopus", 16_000, True),
    "telephone": _Way("wav", "pcm_mulaw", 8_000, False),
}
"""The codecs; ``telephone`` is G.711's µ-law at 8 kHz."""


@dataclass(frozen=True)
class Codec:
    """Coded with loss and decoded again; codec and bit rate are drawn.

    Args:
        codecs: One or several of mp3, aac, opus and telephone, equally often.
        min_kbit_s: Least bit rate, where the codec has one.
        max_kbit_s: Most.
        probability: Share of the utterances that training applies it to.

    Raises:
        InputError: If there is no such codec, or a number is out of its range.
    """

    codecs: Sequence[str] = tuple(WAYS)
    min_kbit_s: float = 12.0
    max_kbit_s: float = 48.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        """Check names and numbers."""
        check_probability("codec", self.probability)
        check_range("codec", "kbit_s", self.min_kbit_s, self.max_kbit_s, 8.0, 256.0)
        unknown = [name for name in self.codecs if name not in WAYS]
        if unknown or not self.codecs:
            raise InputError(
                f"augmentation.codec.codecs: expected some of {', '.join(WAYS)}, got "
                f"{', '.join(map(str, self.codecs)) or 'none'}"
            )

    def __call__(self, waveform: Samples, sample_rate: int, rng: np.random.Generator) -> Samples:
        """(T,) to (T,)."""
        name = self.codecs[int(rng.integers(len(self.codecs)))]
        kbit_s = rng.uniform(self.min_kbit_s, self.max_kbit_s)
        return coded(waveform, sample_rate, name, kbit_s)


def coded(waveform: Samples, sample_rate: int, codec: str, kbit_s: float) -> Samples:
    """Sound (T,) as it is after a codec.

    Args:
        waveform: (T,) float32; what is above full scale is clipped by some codecs.
        sample_rate: In Hz.
        codec: Of ``WAYS``.
        kbit_s: Bit rate; the encoder takes the next that it knows.
    """
    # Imported here: FFmpeg is needed for no other perturbation.
    import av

    from mmemo.audio.media import decode, resample

    way = WAYS[codec]
    file = io.BytesIO()
    with av.open(file, "w", format=way.container) as output:
        stream = cast(Any, output.add_stream(way.encoder, rate=way.rate, layout="mono"))
        if way.has_bit_rate:
            stream.bit_rate = round(1000 * kbit_s)
        # So much of the end would be lost by the delay.
        samples = np.pad(resample(waveform, sample_rate, way.rate), (0, way.delay))
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = way.rate
        fitting = av.AudioResampler(stream.format, "mono", way.rate, stream.frame_size or None)
        for piece in (*fitting.resample(frame), *fitting.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    sound = decode(codec, file.getvalue())
    waveform_after = sound.waveform[way.delay * sound.sample_rate // way.rate :]
    return of_length(resample(waveform_after, sound.sample_rate, sample_rate), len(waveform))
