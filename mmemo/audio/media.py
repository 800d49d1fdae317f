"""Any media file that FFmpeg's libraries read, as one mono waveform."""

from __future__ import annotations

import errno
import io
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from scipy import signal

from mmemo.audio.container_length import SIZED, is_broken_off, missing_bytes
from mmemo.audio.denoisers import Samples

LAYOUT_NAMES = {1: "mono", 2: "stereo"}
"""Some containers give a number of channels without a name."""

TRUNCATION_TOLERANCE_S = 0.5
EXACT_TOLERANCE_S = 0.05
DURATION_IS_KNOWN = {
    "mov,mp4,m4a,3gp,3g2,mj2": TRUNCATION_TOLERANCE_S,
    "flac": EXACT_TOLERANCE_S,
    "nistsphere": EXACT_TOLERANCE_S,
    "tta": EXACT_TOLERANCE_S,
    "wv": EXACT_TOLERANCE_S,
}
"""FFmpeg's names of containers that store how long they are, and by how much sound may be shorter;
of others it guesses."""

FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,asf_o,au,avi,caf,dts,eac3,flac,flv,matroska,mov,mp3,"
    "mpeg,mpegts,nistsphere,oga,ogg,tak,truehd,tta,voc,w64,wav,webm,wv"
)
"""FFmpeg's names of the containers that are read. Playlists and session descriptions are none: they
open other files, and connections."""

NO_PROTOCOL = "none"

TAG_ERRORS: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)
"""Tags in an old encoding are no damage; from PyAV 19 on they never are."""

MPEG_AUDIO = ("mp1", "mp2", "mp3", "mp1float", "mp2float", "mp3float")
UNREADABLE = "unreadable"
COMMON_RATE, MAX_RATIO = 48_000, 1000

NUM_ZEROS, ROLLOFF, KAISER_BETA = 64, 0.9475937167399596, 14.769656459379492
"""Of the resampling filter: zero crossings on each side, cutoff as a share of the lower Nyquist
frequency, shape of the window."""


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
        duration_s: Length of the whole sound track, as decoded.
    """

    waveform: Samples
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
        MediaError: "missing clip", "not a file", "unreadable", "unsupported format", "corrupt
            container", "no audio", "empty audio" or "truncated", with the file's name and what was
            found.
    """
    try:
        with _opened(source, content) as file:
            return _decode(str(source), file, limit_s)
    except (av.error.FFmpegError, ValueError, AttributeError) as error:
        # PyAV raises the last two for streams whose codec or layout FFmpeg cannot tell.
        raise MediaError("corrupt container", f"{source}: cannot be decoded ({error})") from error
    except OSError as error:
        raise MediaError(UNREADABLE, f"{source}: cannot be read ({error})") from error


def _opened(source: str | Path, content: bytes | None) -> AbstractContextManager[BinaryIO]:
    """The file: FFmpeg is given its bytes, so that no name is taken for an address."""
    if content is not None:
        return io.BytesIO(content)
    path = Path(source)
    if not path.exists():
        raise MediaError("missing clip", f"{path}: no such file")
    if not path.is_file():
        found = "a folder" if path.is_dir() else "a device"
        raise MediaError("not a file", f"{path}: expected a media file, found {found}")
    return path.open("rb")


def _decode(source: str, file: BinaryIO, limit_s: float | None) -> Sound:
    if not file.read(1):
        raise MediaError("corrupt container", f"{source}: the file is empty")
    file.seek(0)
    mixer, last = MonoMixer(limit_s), None
    with _container(source, file) as container:
        if not container.streams.audio:
            raise MediaError("no audio", f"{source}: the file has no sound track")
        stream = container.streams.audio[0]
        for packet in container.demux(stream):
            last = packet if packet.size else last
            for frame in packet.decode():
                mixer.push(frame)
        waveform = mixer.finish()
        channel_layout = LAYOUT_NAMES.get(stream.layout.nb_channels, stream.layout.name)
        name = container.format.name
        promised_s = float((stream.duration or 0) * (stream.time_base or 0))
        is_mpeg_audio = stream.codec_context.name in MPEG_AUDIO or name == "aac"
        is_cut = last is not None and (
            (last.is_corrupt and name not in SIZED)
            or (is_mpeg_audio and is_broken_off(bytes(last)))
        )
    found = f"{mixer.duration_s:.2f} s found"
    if len(waveform) == 0:
        raise MediaError("empty audio", f"{source}: the sound track holds no samples")
    if mixer.duration_s < promised_s - DURATION_IS_KNOWN.get(name, math.inf):
        raise MediaError("truncated", f"{source}: {promised_s:.2f} s of sound announced, {found}")
    if missing := missing_bytes(file, name):
        raise MediaError(
            "truncated", f"{source}: the file ends {missing} bytes before its sound does, {found}"
        )
    if is_cut:
        raise MediaError("truncated", f"{source}: the file ends inside a piece of sound, {found}")
    return Sound(waveform, mixer.sample_rate, channel_layout, mixer.duration_s)


def _container(source: str, file: BinaryIO) -> InputContainer:
    options = {"format_whitelist": FORMATS, "protocol_whitelist": NO_PROTOCOL}
    try:
        # Not as ``options``, which PyAV 14 also hands to streams that are not known yet: it
        # crashes. Tags in an old encoding are no damage.
        container: InputContainer = av.open(file, mode="r", container_options=options, **TAG_ERRORS)
        return container
    except av.error.FFmpegError as error:
        if error.errno != errno.EINVAL:
            raise
        raise MediaError(
            "unsupported format", f"{source}: its kind of file is not one that is read as sound"
        ) from error


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
        self.sample_rate = first.sample_rate
        num_channels = first.layout.nb_channels
        try:
            self._build(first, [])
        except (av.error.FFmpegError, ValueError):
            # FFmpeg has no matrix for so many channels of no known places: their mean.
            sources = "+".join(f"c{channel}" for channel in range(num_channels))
            self._build(first, [("pan", f"mono|c0<{sources}")])

    def _build(self, first: AudioFrame, before: list[tuple[str, str]]) -> None:
        graph = av.filter.Graph()
        source = graph.add_abuffer(
            sample_rate=first.sample_rate,
            format=first.format.name,
            layout=first.layout.name,
            time_base=first.time_base,
        )
        # Without rematrix_maxval a float mix is not scaled and can exceed full scale.
        options = "out_chlayout=mono:out_sample_fmt=flt:rematrix_maxval=1.0"
        larger = max(COMMON_RATE, first.sample_rate)
        if larger // math.gcd(COMMON_RATE, first.sample_rate) > MAX_RATIO:
            self.sample_rate = COMMON_RATE
            options += f":out_sample_rate={COMMON_RATE}"
        sink = graph.add("abuffersink")
        end = source
        for name, arguments in (*before, ("aresample", options)):
            filter_ = graph.add(name, arguments)
            end.link_to(filter_)
            end = filter_
        end.link_to(sink)
        graph.configure()
        self._graph, self._source, self._sink = graph, source, sink

    def _pull(self, frame: AudioFrame | None) -> None:
        self._source.push(frame)
        while True:
            try:
                mixed = self._sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(mixed, AudioFrame):
                self._pieces.append(mixed.to_ndarray()[0])


def resample(waveform: Samples, from_rate: int, to_rate: int) -> Samples:
    """Resample (T,) by windowed sinc interpolation with a kaiser window.

    What torchaudio's ``resample`` does with the parameters that it documents as librosa's
    ``kaiser_best`` (its default window lets much more through just above the new Nyquist
    frequency), by SciPy, so that a process that prepares clips needs no torch.
    """
    if from_rate == to_rate or len(waveform) == 0:
        return waveform
    common = math.gcd(from_rate, to_rate)
    up, down = to_rate // common, from_rate // common
    kernel = _sinc_kernel(up, down)
    num_samples = -(-len(waveform) * up // down)
    resampled: Samples
    if up == 1:
        # By Fourier transforms of pieces all samples cost less than a third of them by products.
        resampled = signal.oaconvolve(waveform, kernel)[len(kernel) // 2 :: down][:num_samples]
    else:
        before = -(len(kernel) // 2) % down
        delayed = np.concatenate([np.zeros(before, np.float32), kernel])
        first = (len(kernel) // 2 + before) // down
        resampled = signal.upfirdn(delayed, waveform, up, down)[first : first + num_samples]
    return resampled.astype(np.float32)


@cache
def _sinc_kernel(up: int, down: int) -> Samples:
    """Low-pass filter of odd length at ``up`` times the old rate, of gain ``up``."""
    cutoff = ROLLOFF * min(up, down) / (up * down)
    half = math.ceil(NUM_ZEROS / cutoff)
    time = np.clip(np.arange(-half, half + 1) * cutoff, -NUM_ZEROS, NUM_ZEROS)
    window = np.i0(KAISER_BETA * np.sqrt(1 - (time / NUM_ZEROS) ** 2)) / np.i0(KAISER_BETA)
    kernel: Samples = np.sinc(time) * window * ROLLOFF * min(up, down) / down
    return kernel.astype(np.float32)
