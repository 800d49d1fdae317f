"""Any media file that FFmpeg's libraries read, as one mono waveform."""

from __future__ import annotations

import errno
import io
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from av.container import InputContainer
from scipy import signal

from mmemo.audio.damage import COPY_AGAIN, check_complete, check_damage
from mmemo.audio.denoisers import Samples
from mmemo.audio.media_error import MediaError
from mmemo.audio.packets import Packets
from mmemo.audio.reading import DEFAULT_READING, Reading
from mmemo.audio.sound_tracks import Track, chosen_track

LAYOUT_NAMES = {1: "mono", 2: "stereo"}
"""Some containers give a number of channels without a name."""

FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,asf_o,au,avi,caf,dts,eac3,flac,flv,matroska,mov,mp3,"
    "mpeg,mpegts,nistsphere,oga,ogg,tak,truehd,tta,voc,w64,wav,webm,wv"
)
"""FFmpeg's names of the containers that are read. Playlists and session descriptions are none: they
open other files, and connections."""

NO_PROTOCOL = "none"

TAG_ERRORS: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}
)
"""Tags in an old encoding are no damage; from PyAV 19 on they never are."""

UNREADABLE = "unreadable"
COMMON_RATE, MAX_RATIO = 48_000, 1000

NUM_ZEROS, ROLLOFF, KAISER_BETA = 64, 0.9475937167399596, 14.769656459379492
"""Of the resampling filter: zero crossings on each side, cutoff as a share of the lower Nyquist
frequency, shape of the window."""


@dataclass(frozen=True)
class Sound:
    """A decoded sound track.

    Args:
        waveform: (T,) float32 in [-1, 1], all channels mixed down; its beginning, where a limit
            was given.
        sample_rate: In Hz, the file's own; 48 kHz for the odd ones that ``MonoMixer`` tells of.
        channel_layout: FFmpeg's name of the file's layout ("mono", "stereo", "5.1").
        duration_s: Length of the whole sound track, as decoded.
        num_packets: Of how many packets the track consists.
        num_bad_packets: How many of them could not be decoded, and are left out.
        notes: What a user should know of it, in words.
    """

    waveform: Samples
    sample_rate: int
    channel_layout: str
    duration_s: float
    num_packets: int = 0
    num_bad_packets: int = 0
    notes: tuple[str, ...] = ()


def decode(
    source: str | Path,
    content: bytes | None = None,
    limit_s: float | None = None,
    reading: Reading = DEFAULT_READING,
) -> Sound:
    """Decode one sound track of a file and mix all its channels down to mono.

    The mix is FFmpeg's own matrix (ITU-R BS.775: centre at full, sides at -3 dB) scaled so that
    it cannot clip, as ``ffmpeg -ac 1`` does. The low-frequency channel is left out, as there.

    Args:
        source: The file; its name alone where the content is given.
        content: The file's content, where it has been read already.
        limit_s: Keep no more than this of the beginning, so that memory stays bounded; the rest
            is decoded all the same, to know how long it is and that it is sound.
        reading: Which track is taken, and how much damage is borne.

    Raises:
        MediaError: "missing clip", "not a file", "unreadable", "unsupported format", "corrupt
            container", "no audio", "no such track", "no decoder", "empty audio", "damaged audio"
            or "truncated", with the file's name, what was found and what to do.
    """
    try:
        with _opened(source, content) as file:
            return _decode(str(source), file, limit_s, reading)
    except (av.error.FFmpegError, ValueError, AttributeError) as error:
        # PyAV raises the last two for streams whose codec or layout FFmpeg cannot tell.
        raise MediaError(
            "corrupt container", f"{source}: cannot be decoded ({error}); {COPY_AGAIN}"
        ) from error
    except OSError as error:
        raise MediaError(
            UNREADABLE, f"{source}: cannot be read ({error}); see to its permissions and its disk"
        ) from error


def _opened(source: str | Path, content: bytes | None) -> AbstractContextManager[BinaryIO]:
    """The file: FFmpeg is given its bytes, so that no name is taken for an address."""
    if content is not None:
        return io.BytesIO(content)
    path = Path(source)
    if not path.exists():
        raise MediaError(
            "missing clip", f"{path}: no such file; see to its name and to the folder of the clips"
        )
    if not path.is_file():
        found = "a folder" if path.is_dir() else "a device"
        raise MediaError(
            "not a file", f"{path}: expected a media file, found {found}; name the file itself"
        )
    return path.open("rb")


def _decode(source: str, file: BinaryIO, limit_s: float | None, reading: Reading) -> Sound:
    if not file.read(1):
        raise MediaError("corrupt container", f"{source}: the file is empty; {COPY_AGAIN}")
    file.seek(0)
    mixer = MonoMixer(limit_s)
    with _container(source, file) as container:
        track = chosen_track(source, container, reading.audio_track)
        packets = Packets(container, track.stream)
        for frame in packets.frames():
            mixer.push(frame)
        waveform = mixer.finish()
        check_complete(source, file, container.format.name, track.stream, packets, mixer.duration_s)
        channel_layout = _layout_name(track.stream.layout)
    check_damage(source, packets, mixer.duration_s, reading.max_bad_share)
    return Sound(
        waveform,
        mixer.sample_rate,
        channel_layout,
        mixer.duration_s,
        packets.num_packets,
        packets.num_bad,
        tuple(_notes(track, packets, mixer)),
    )


def _notes(track: Track, packets: Packets, mixer: MonoMixer) -> Iterator[str]:
    if packets.num_bad:
        yield f"{packets.num_bad} of {packets.num_packets} packets of sound cannot be decoded"
    if packets.gap_s:
        yield f"{packets.gap_s:.2f} s are left out between packets: a pause, or a loss"
    if track.note:
        yield track.note
    if len(mixer.kinds) > 1:
        kinds = ", ".join(f"{rate} Hz {layout}" for rate, layout in mixer.kinds)
        yield f"the sound changes inside the file ({kinds})"


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
            "unsupported format",
            f"{source}: its kind of file is not one that is read as sound; convert it to WAV or "
            "FLAC, or leave its row out",
        ) from error


class MonoMixer:
    """Mixes decoded frames down as they come.

    ``sample_rate`` is that of the mix: the frames' own, but for odd ones (22,254 Hz, say), whose
    ratio to the usual rates is not one of small numbers; those are brought to 48 kHz here. Where
    the rate changes on the way, all is brought to the highest.

    Args:
        limit_s: Frames that begin after this are counted, not kept; None to keep all.
    """

    def __init__(self, limit_s: float | None) -> None:
        self.duration_s = 0.0
        self.sample_rate = 0
        self.kinds: list[tuple[int, str]] = []
        """Rate and channels of each stretch of frames that are alike, without repetitions."""
        self._limit_s = limit_s
        self._before_s = 0.0
        self._num_samples = 0
        self._format: tuple[int, str, str] | None = None
        self._stretches: list[_Stretch] = []

    def push(self, frame: AudioFrame) -> None:
        """Mix one frame."""
        kind = (frame.sample_rate, _layout_name(frame.layout))
        if self._format != (*kind, frame.format.name):
            self._format = (*kind, frame.format.name)
            self._before_s, self._num_samples = self.duration_s, 0
            self.kinds += [] if kind in self.kinds else [kind]
            self._finish_stretch()
            if self._is_wanted():
                self._stretches.append(_Stretch(frame))
        is_wanted = self._is_wanted()
        self._num_samples += frame.samples
        self.duration_s = self._before_s + self._num_samples / frame.sample_rate
        if is_wanted:
            self._stretches[-1].push(frame)

    def _is_wanted(self) -> bool:
        return self._limit_s is None or self.duration_s < self._limit_s

    def _finish_stretch(self) -> None:
        if self._stretches:
            self._stretches[-1].finish()

    def finish(self) -> Samples:
        """The mix of all frames that were kept, (T,)."""
        self._finish_stretch()
        rates = {stretch.sample_rate for stretch in self._stretches}
        if not rates:
            return np.zeros(0, dtype=np.float32)
        self.sample_rate = max(rates)
        if any(self.sample_rate // math.gcd(self.sample_rate, r) > MAX_RATIO for r in rates):
            self.sample_rate = COMMON_RATE
        return np.concatenate(
            [resample(s.waveform(), s.sample_rate, self.sample_rate) for s in self._stretches]
        )


class _Stretch:
    """Frames of one format, mixed down by one of FFmpeg's graphs.

    Args:
        first: The first of them.
    """

    def __init__(self, first: AudioFrame) -> None:
        self.sample_rate = first.sample_rate
        self._pieces: list[Samples] = []
        self._is_finished = False
        num_channels = first.layout.nb_channels
        try:
            self._build(first, [])
        except (av.error.FFmpegError, ValueError):
            # FFmpeg has no matrix for so many channels of no known places: their mean.
            sources = "+".join(f"c{channel}" for channel in range(num_channels))
            self._build(first, [("pan", f"mono|c0<{sources}")])

    def waveform(self) -> Samples:
        """What was mixed, (T,)."""
        return np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.float32)

    def finish(self) -> None:
        """Take what the graph holds back; once."""
        if not self._is_finished:
            self._is_finished = True
            self.push(None)

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

    def push(self, frame: AudioFrame | None) -> None:
        """Mix one frame; None for the end."""
        self._source.push(frame)
        while True:
            try:
                mixed = self._sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(mixed, AudioFrame):
                self._pieces.append(mixed.to_ndarray()[0])


def _layout_name(layout: AudioLayout) -> str:
    return LAYOUT_NAMES.get(layout.nb_channels, layout.name)


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
