"""Any media file that FFmpeg's libraries read, as one mono waveform."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import av.filter
import numpy as np
import torch
import torchaudio.functional
from av.audio.frame import AudioFrame
from torch import Tensor

TRUNCATION_TOLERANCE_S = 0.5


class MediaError(Exception):
    """A clip that yields no usable sound.

    ``reason`` is a short fixed phrase that can be counted; the message tells the one case.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        """The message alone."""
        return self.message


@dataclass(frozen=True)
class Sound:
    """A decoded sound track.

    Args:
        waveform: (T,) float32 in [-1, 1], all channels mixed down.
        sample_rate: In Hz, the file's own.
        channel_layout: FFmpeg's name of the file's layout ("mono", "stereo", "5.1").
    """

    waveform: Tensor
    sample_rate: int
    channel_layout: str


def decode(path: Path) -> Sound:
    """Decode the first sound track of a file and mix all its channels down to mono.

    The mix is FFmpeg's own matrix (ITU-R BS.775: centre at full, sides at -3 dB) scaled so that
    it cannot clip, as ``ffmpeg -ac 1`` does. The low-frequency channel is left out, as there.

    Raises:
        MediaError: "missing clip", "not a file", "corrupt container", "no audio", "empty audio"
            or "truncated", with the file's name and what was found.
    """
    if not path.exists():
        raise MediaError("missing clip", f"{path}: no such file")
    if not path.is_file():
        raise MediaError("not a file", f"{path}: expected a media file, found a folder")
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError("no audio", f"{path}: the file has no sound track")
            stream = container.streams.audio[0]
            frames = list(container.decode(stream))
            promised_s = float((stream.duration or 0) * (stream.time_base or 0))
            sample_rate = int(stream.rate)
            channel_layout = stream.layout.name
            waveform = _mix_down(frames)
    except (av.error.FFmpegError, ValueError, AttributeError) as error:
        # PyAV raises the last two for streams whose codec or layout FFmpeg cannot tell.
        raise MediaError("corrupt container", f"{path}: cannot be decoded ({error})") from error
    if len(waveform) == 0:
        raise MediaError("empty audio", f"{path}: the sound track holds no samples")
    decoded_s = len(waveform) / sample_rate
    if decoded_s < promised_s - TRUNCATION_TOLERANCE_S:
        raise MediaError(
            "truncated", f"{path}: {promised_s:.2f} s of sound announced, {decoded_s:.2f} s found"
        )
    return Sound(torch.from_numpy(waveform), sample_rate, channel_layout)


def _mix_down(frames: list[AudioFrame]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if not frames:
        return np.zeros(0, dtype=np.float32)
    graph = av.filter.Graph()
    first = frames[0]
    source = graph.add_abuffer(
        sample_rate=first.sample_rate,
        format=first.format.name,
        layout=first.layout.name,
        time_base=first.time_base,
    )
    # Without rematrix_maxval a float mix is not scaled and can exceed full scale.
    mixer = graph.add("aresample", "out_chlayout=mono:out_sample_fmt=flt:rematrix_maxval=1.0")
    sink = graph.add("abuffersink")
    source.link_to(mixer)
    mixer.link_to(sink)
    graph.configure()
    pieces: list[np.ndarray[tuple[int], np.dtype[np.float32]]] = []
    for frame in [*frames, None]:
        source.push(frame)
        while True:
            try:
                mixed = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break
            if isinstance(mixed, AudioFrame):
                pieces.append(mixed.to_ndarray()[0])
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Resample (T,) by windowed sinc interpolation with a kaiser window.

    The window's parameters are those that torchaudio documents as librosa's ``kaiser_best``;
    torchaudio's default window lets much more through just above the new Nyquist frequency.
    """
    if from_rate == to_rate:
        return waveform
    resampled: Tensor = torchaudio.functional.resample(
        waveform,
        from_rate,
        to_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return resampled
