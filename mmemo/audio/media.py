"""Any media file that FFmpeg's libraries read, as one mono waveform."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import av
import av.filter
import numpy as np
import torch
import torchaudio.functional
from av.audio.frame import AudioFrame
from torch import Tensor

LAYOUT_NAMES = {1: "mono", 2: "stereo"}
"""Some containers give a number of channels without a name."""

Samples = np.ndarray[tuple[int], np.dtype[np.float32]]

TRUNCATION_TOLERANCE_S = 0.5
DURATION_IS_KNOWN = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "wav", "flac")
"""FFmpeg's names of containers that store how long they are; of others it guesses."""

UNREADABLE = "unreadable"
COMMON_RATE, MAX_RATIO = 48_000, 1000


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
        waveform: (T,) float32 in [-1, 1], all channels mixed down; its beginning, where a limit
            was given.
        sample_rate: In Hz, the file's own; 48 kHz for the odd ones that ``MonoMixer`` tells of.
        channel_layout: FFmpeg's name of the file's layout ("mono", "stereo", "5.1").
        duration_s: Of the whole sound track, as decoded.
    """

    waveform: Tensor
    sample_rate: int
    channel_layout: str
    duration_s: float


def decode(source: str | Path, content: bytes | None = None, limit_s: float | None = None) -> Sound:
    """Decode the first sound track of a file and mix all its channels down to mono.

    The mix is FFmpeg's own matrix (ITU-R BS.775: centre at full, sides at -3 dB) scaled so that
    it cannot clip, as ``ffmpeg -ac 1`` does. The low-frequency channel is left out, as there.

    Args:
        source: The file; its name alone where the content is given.
        content: The file's content, where it has been read already.
        limit_s: Keep no more than this of the beginning, so that memory stays bounded; the rest
            is decoded all the same, to know how long it is and that it is sound.

    Raises:
        MediaError: "missing clip", "not a file", "unreadable", "corrupt container", "no audio",
            "empty audio" or "truncated", with the file's name and what was found.
    """
    if content is None:
        _check_file(Path(source))
    try:
        file = str(source) if content is None else io.BytesIO(content)
        with av.open(file, mode="r") as container:
            if not container.streams.audio:
                raise MediaError("no audio", f"{source}: the file has no sound track")
            stream = container.streams.audio[0]
            promised_s = float((stream.duration or 0) * (stream.time_base or 0))
            mixer = MonoMixer(limit_s)
            for frame in container.decode(stream):
                mixer.push(frame)
            waveform = mixer.finish()
            channel_layout = LAYOUT_NAMES.get(stream.layout.nb_channels, stream.layout.name)
            is_known = container.format.name in DURATION_IS_KNOWN
    except OSError as error:
        raise MediaError(UNREADABLE, f"{source}: cannot be read ({error})") from error
    except (av.error.FFmpegError, ValueError, AttributeError) as error:
        # PyAV raises the last two for streams whose codec or layout FFmpeg cannot tell.
        raise MediaError("corrupt container", f"{source}: cannot be decoded ({error})") from error
    if len(waveform) == 0:
        raise MediaError("empty audio", f"{source}: the sound track holds no samples")
    if is_known and mixer.duration_s < promised_s - TRUNCATION_TOLERANCE_S:
        raise MediaError(
            "truncated",
            f"{source}: {promised_s:.2f} s of sound announced, {mixer.duration_s:.2f} s found",
        )
    return Sound(torch.from_numpy(waveform), mixer.sample_rate, channel_layout, mixer.duration_s)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise MediaError("missing clip", f"{path}: no such file")
    if not path.is_file():
        raise MediaError("not a file", f"{path}: expected a media file, found a folder")


class MonoMixer:
    """Mixes decoded frames down as they come.

    ``sample_rate`` is that of the mix: the frames' own, but for odd ones (22,254 Hz, say), whose
    ratio to the usual rates is not one of small numbers; those are brought to 48 kHz here.

    Args:
        limit_s: Frames that begin after this are counted, not kept; None to keep all.
    """

    def __init__(self, limit_s: float | None) -> None:
        self.duration_s = 0.0
        self.sample_rate = 0
        self._limit_s = limit_s
        self._num_samples = 0
        self._pieces: list[Samples] = []
        self._graph: av.filter.Graph | None = None

    def push(self, frame: AudioFrame) -> None:
        """Mix one frame."""
        begins_s = self.duration_s
        self._num_samples += frame.samples
        self.duration_s = self._num_samples / frame.sample_rate
        if self._limit_s is None or begins_s < self._limit_s:
            if self._graph is None:
                self._open(frame)
            self._pull(frame)

    def finish(self) -> Samples:
        """The mix of all frames that were kept, (T,)."""
        if self._graph is None:
            return np.zeros(0, dtype=np.float32)
        self._pull(None)
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.float32)

    def _open(self, first: AudioFrame) -> None:
        self._graph = av.filter.Graph()
        self._source = self._graph.add_abuffer(
            sample_rate=first.sample_rate,
            format=first.format.name,
            layout=first.layout.name,
            time_base=first.time_base,
        )
        # Without rematrix_maxval a float mix is not scaled and can exceed full scale.
        options = "out_chlayout=mono:out_sample_fmt=flt:rematrix_maxval=1.0"
        self.sample_rate = first.sample_rate
        if COMMON_RATE // math.gcd(COMMON_RATE, first.sample_rate) > MAX_RATIO:
            self.sample_rate = COMMON_RATE
            options += f":out_sample_rate={COMMON_RATE}"
        mixer = self._graph.add("aresample", options)
        self._sink = self._graph.add("abuffersink")
        self._source.link_to(mixer)
        mixer.link_to(self._sink)
        self._graph.configure()

    def _pull(self, frame: AudioFrame | None) -> None:
        self._source.push(frame)
        while True:
            try:
                mixed = self._sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(mixed, AudioFrame):
                self._pieces.append(mixed.to_ndarray()[0])


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
