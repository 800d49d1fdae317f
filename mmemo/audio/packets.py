"""The packets of a sound track: decoded one by one, the bad ones counted."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

MAX_FAILURES = 8
"""Attempts to find the next packet behind one that cannot be read, before the file is given up."""

WITHOUT_GAPS = ("flac", "ogg")
"""FFmpeg's names of containers whose packets follow each other without a pause: where a time is
left out, packets are lost. In others a pause of a recording leaves such a gap too."""

MPEG_AUDIO = ("mp1", "mp2", "mp3", "mp1float", "mp2float", "mp3float")

LEAST_GAP_S = 0.25
"""Shorter gaps between packets are their times' rounding."""


class Packets:
    """Decodes a track's packets in order and goes on behind those that cannot be.

    Args:
        container: Open for reading.
        stream: The sound track.
    """

    def __init__(self, container: InputContainer, stream: AudioStream) -> None:
        self.num_packets = 0
        """Those with content, and those that are known to be lost."""
        self.num_bad = 0
        """Undecodable, incomplete, decoded with errors, or lost."""
        self.lost_s = 0.0
        """Length of the sound that is known to be lost, in seconds."""
        self.gap_s = 0.0
        """Times that the packets leave out where that need not be damage, in seconds."""
        self.last: Packet[AudioStream] | None = None
        """The last packet with content."""
        self.ends_badly = False
        """Whether the last packet cannot be decoded."""
        self._container = container
        self._stream = stream
        self._has_gaps = container.format.name not in WITHOUT_GAPS
        self._is_mpeg_audio = stream.codec_context.name in MPEG_AUDIO
        self._end_s: float | None = None

    def frames(self) -> Iterator[AudioFrame]:
        """All frames that can be decoded.

        Raises:
            av.error.FFmpegError: If nothing more can be read long before the end.
        """
        # What is left behind at the end of a file may be called incomplete without being so.
        was_incomplete = False
        for packet in self._read():
            if packet is None:
                self.num_packets += 1
                self.num_bad += 1
                continue
            frames, is_bad = self._decode(packet)
            if packet.size:
                self.num_bad += was_incomplete
                self._count(packet, frames)
                was_incomplete = bool(packet.is_corrupt) and not is_bad
                self.ends_badly = is_bad
            self.num_bad += is_bad
            for frame in frames:
                self._correct(frame)
                yield frame

    def _read(self) -> Iterator[Packet[AudioStream] | None]:
        """The packets; None for one that cannot be read."""
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                failures += 1
                if failures > MAX_FAILURES:
                    raise
            yield None

    def _decode(self, packet: Packet[AudioStream]) -> tuple[list[AudioFrame], bool]:
        try:
            frames = list(packet.decode())
        except av.error.EOFError:
            return [], False
        except av.error.FFmpegError:
            self.lost_s += _seconds(packet, packet.duration)
            return [], True
        is_bad = not packet.is_corrupt and any(frame.is_corrupt for frame in frames)
        return frames, is_bad

    def _correct(self, frame: AudioFrame) -> None:
        """Give a frame the rate of its own header.

        FFmpeg's decoder of MPEG audio gives the first frame behind a change the rate before it.
        """
        rate = self._stream.codec_context.sample_rate
        if self._is_mpeg_audio and rate and frame.sample_rate != rate:
            frame.sample_rate = rate

    def _count(self, packet: Packet[AudioStream], frames: list[AudioFrame]) -> None:
        self.last = packet
        if packet.pts is None:
            # FLAC's frames behind a damaged one come in one piece, and without a time.
            self.num_packets += max(len(frames), 1)
            if self._end_s is not None:
                self._end_s += sum(frame.samples / frame.sample_rate for frame in frames)
            return
        self.num_packets += 1
        begin_s, duration_s = _seconds(packet, packet.pts), _seconds(packet, packet.duration)
        gap_s = 0.0 if self._end_s is None else begin_s - self._end_s
        if self._has_gaps:
            self.gap_s += gap_s if gap_s > LEAST_GAP_S else 0.0
        elif duration_s > 0 and gap_s > duration_s / 2:
            num_lost = round(gap_s / duration_s) or 1
            self.num_packets += num_lost
            self.num_bad += num_lost
            self.lost_s += gap_s
        self._end_s = begin_s + duration_s


def _seconds(packet: Packet[AudioStream], value: int | None) -> float:
    return float((value or 0) * (packet.time_base or 0))
