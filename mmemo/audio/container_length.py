"""How long a media file says that it is, byte by byte, against how long it is.

FFmpeg takes the end of a file for the end of its sound in most formats. What a header announces
is read here from the formats' own structures: RIFF (Microsoft and IBM 1991; EBU Tech 3306 for
RF64), Wave64, AIFF (Apple 1989), AU, CAF, ASF, ISO base media (ISO/IEC 14496-12), Matroska (RFC
9559), Ogg (RFC 3533), MPEG transport streams (ISO/IEC 13818-1), MPEG audio (ISO/IEC
11172-3 and 13818-7).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

SLACK_BYTES = 256
"""Headers that count themselves or a padding byte are common; so few bytes are some ms of sound."""

PLACEHOLDER_BYTES = 0x7FFF_F000
"""Writers that cannot go back announce a 32-bit size from here on, or 0."""

MAX_CHUNKS = 100_000
TS_PACKET_BYTES = 188
TS_TAIL_PACKETS = 20_000
OGG_TAIL_BYTES = 2**17

Chunk = tuple[bytes, int, int]
"""Name, first byte of the content, and its size; -1 where that is not told."""


def missing_bytes(file: BinaryIO, format_name: str) -> int:
    """Bytes of sound that a file announces beyond its end; 0 where it is whole or does not tell.

    Args:
        file: The file, which is left at another place.
        format_name: FFmpeg's name of its container.
    """
    num_bytes = file.seek(0, os.SEEK_END)
    announced_end = _ENDS.get(format_name)
    if announced_end is None:
        return 0
    try:
        missing = announced_end(file, num_bytes) - num_bytes
    except (struct.error, IndexError):
        # The structure itself is broken off, or is another one than the name says.
        return 0
    return missing if missing > SLACK_BYTES else 0


def is_broken_off(packet: bytes) -> bool:
    """Whether an MPEG audio frame, layer I to III or AAC's ADTS, is shorter than it says itself."""
    if len(packet) < 7 or packet[0] != 0xFF or packet[1] & 0xE0 != 0xE0:
        return False
    if packet[1] & 0xF6 == 0xF0:
        return len(packet) < (packet[3] & 3) << 11 | packet[4] << 3 | packet[5] >> 5
    version, layer = packet[1] >> 3 & 3, packet[1] >> 1 & 3
    rate_index, frequency_index, padding = packet[2] >> 4, packet[2] >> 2 & 3, packet[2] >> 1 & 1
    if version == 1 or layer == 0 or rate_index in (0, 15) or frequency_index == 3:
        return False
    is_first = version == 3
    rate = 1000 * _BIT_RATES[is_first, layer if is_first or layer == 3 else 1][rate_index - 1]
    frequency = (44_100, 48_000, 32_000)[frequency_index] // {3: 1, 2: 2, 0: 4}[version]
    if layer == 3:
        return len(packet) < (12 * rate // frequency + padding) * 4
    num_eighths = 144 if is_first or layer == 2 else 72
    return len(packet) < num_eighths * rate // frequency + padding


_BIT_RATES = {
    (True, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by (version 1, 4 - layer); layers II and III of versions 2 and 2.5 share one row."""


def _at(file: BinaryIO, place: int, layout: str) -> tuple[int, ...]:
    file.seek(place)
    values: tuple[int, ...] = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return values


def _chunks(file: BinaryIO, start: int, end: int, order: str) -> Iterator[Chunk]:
    """Chunks of a name and a 32-bit size each, padded to even places."""
    for _ in range(MAX_CHUNKS):
        if start + 8 > end:
            return
        name, size = _named(file, start, f"{order}4sI")
        yield name, start + 8, size
        start += 8 + size + size % 2


def _named(file: BinaryIO, place: int, layout: str) -> tuple[bytes, int]:
    file.seek(place)
    name, size = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return name, size


def _declared(size: int) -> int:
    return 0 if size >= PLACEHOLDER_BYTES else size


def _riff_end(file: BinaryIO, num_bytes: int) -> int:
    file.seek(0)
    head = file.read(12)
    order = ">" if head[:4] in (b"RIFX", b"FORM") else "<"
    large = 0
    for name, start, size in _chunks(file, 12, num_bytes, order):
        if name == b"ds64":
            large = _at(file, start + 8, "<Q")[0]
        if name in (b"data", b"SSND"):
            return start + (large if large and size == 0xFFFF_FFFF else _declared(size))
        if name == b"LIST" and _named(file, start, "<4sI")[0] == b"movi":
            return start + _declared(size)
    return 0


def _wave64_end(file: BinaryIO, num_bytes: int) -> int:
    return _guid_end(file, num_bytes, 40, b"data", 8)


def _asf_end(file: BinaryIO, num_bytes: int) -> int:
    return _guid_end(file, num_bytes, 0, bytes.fromhex("3626b275"), 1)


def _guid_end(file: BinaryIO, num_bytes: int, start: int, wanted: bytes, padding: int) -> int:
    """Chunks named by 16 bytes; their 64-bit sizes count name and size too."""
    while start + 24 <= num_bytes:
        name, size = _named(file, start, "<16sQ")
        if name[:4] == wanted:
            return start + (size if size < 2**62 else 0)
        start += max(size + -size % padding, 24)
    return 0


def _au_end(file: BinaryIO, num_bytes: int) -> int:
    offset, size = _at(file, 4, ">II")
    return offset + _declared(size)


def _caf_end(file: BinaryIO, num_bytes: int) -> int:
    start = 8
    while start + 12 <= num_bytes:
        name, size = _named(file, start, ">4sq")
        if name == b"data" or size < 0:
            return start + 12 + max(size, 0)
        start += 12 + size
    return 0


def _box_end(file: BinaryIO, num_bytes: int) -> int:
    start = 0
    while start + 8 <= num_bytes:
        file.seek(start)
        head = file.read(16)
        size, name = struct.unpack(">I4s", head[:8])
        if size == 1:
            size = struct.unpack(">Q", head[8:])[0]
        if size < 8 or (start + size > num_bytes and name not in (b"mdat", b"moof", b"moov")):
            return 0
        start += size
    return start


def _matroska_end(file: BinaryIO, num_bytes: int) -> int:
    name, start, size = _element(file, 0)
    name, start, size = _element(file, start + size)
    if size >= 0:
        return start + size
    # Written as it came: the size of the whole is not told, that of its parts may be.
    for _ in range(MAX_CHUNKS):
        if start >= num_bytes:
            return start
        name, start, size = _element(file, start)
        if size < 0:
            return 0
        start += size
    return 0


def _element(file: BinaryIO, place: int) -> Chunk:
    file.seek(place)
    head = file.read(12)
    name_length = 9 - head[0].bit_length()
    length = 9 - head[name_length].bit_length()
    field = head[name_length : name_length + length]
    size = int.from_bytes(field, "big") & (1 << 7 * length) - 1
    is_declared = size != (1 << 7 * length) - 1
    return head[:name_length], place + name_length + length, size if is_declared else -1


def _ogg_end(file: BinaryIO, num_bytes: int) -> int:
    """The last page has to be whole, and marked as the last one."""
    tail_start = max(num_bytes - OGG_TAIL_BYTES, 0)
    file.seek(tail_start)
    tail = file.read(OGG_TAIL_BYTES)
    page = tail.rfind(b"OggS")
    if page < 0:
        return num_bytes + OGG_TAIL_BYTES
    num_segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + num_segments]
    end = tail_start + page + 27 + num_segments + sum(table)
    is_last = tail[page + 5] & 4
    return end if is_last and len(table) == num_segments else num_bytes + OGG_TAIL_BYTES


def _transport_end(file: BinaryIO, num_bytes: int) -> int:
    """Whole packets, the last one of each sound track ending what it began."""
    tail = max(num_bytes // TS_PACKET_BYTES - TS_TAIL_PACKETS, 0) * TS_PACKET_BYTES
    file.seek(tail)
    data = file.read()
    if data[:1] != b"\x47" or data[TS_PACKET_BYTES : TS_PACKET_BYTES + 1] != b"\x47":
        # Packets with times or checksums of their own are of another size.
        return 0
    if len(data) % TS_PACKET_BYTES:
        return num_bytes + TS_PACKET_BYTES + SLACK_BYTES
    left: dict[int, int] = {}
    for place in range(0, len(data), TS_PACKET_BYTES):
        packet = data[place : place + TS_PACKET_BYTES]
        track = (packet[1] & 0x1F) << 8 | packet[2]
        skipped = 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        payload = packet[skipped:] if packet[3] & 0x10 else b""
        if packet[1] & 0x40 and payload[:3] == b"\0\0\1" and payload[3] & 0xE0 == 0xC0:
            length = int.from_bytes(payload[4:6], "big")
            left[track] = 6 + length - len(payload) if length else 0
        elif track in left:
            left[track] -= len(payload)
    return num_bytes + max(left.values(), default=0)


_ENDS: dict[str, Callable[[BinaryIO, int], int]] = {
    "wav": _riff_end,
    "aiff": _riff_end,
    "avi": _riff_end,
    "w64": _wave64_end,
    "asf": _asf_end,
    "au": _au_end,
    "caf": _caf_end,
    "mov,mp4,m4a,3gp,3g2,mj2": _box_end,
    "matroska,webm": _matroska_end,
    "ogg": _ogg_end,
    "mpegts": _transport_end,
}

SIZED = frozenset(_ENDS)
"""FFmpeg's names of the containers that ``missing_bytes`` knows; of these it takes a size that the
writer could not know for one that is not reached."""
