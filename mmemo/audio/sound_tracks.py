"""Which of a file's sound tracks is heard, and whether it can be decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import av
import av.logging
from av.audio.stream import AudioStream
from av.container import InputContainer

from mmemo.audio.media_error import MediaError

CODEC_NAMES = {
    "mpegh_3d_audio": "MPEG-H 3D Audio",
    "mha1": "MPEG-H 3D Audio",
    "mhm1": "MPEG-H 3D Audio",
    "ac4": "AC-4",
    "ac-4": "AC-4",
    "enca": "encrypted sound",
    "drms": "encrypted sound",
}
"""Of the codecs without a decoder that are met most: FFmpeg's names of them, or of their tags."""

_LISTED = re.compile(r"Stream #\d+:(\d+).*?: Audio: (\w+)(?: \(([^/\n]+?) / 0x[0-9A-F]+\))?(.*)")


@dataclass(frozen=True)
class Track:
    """The sound track that is heard.

    Args:
        stream: What is decoded.
        note: What has to be known of the choice; nothing where there was none.
    """

    stream: AudioStream
    note: str = ""


def chosen_track(source: str, container: InputContainer, wanted: int | str | None) -> Track:
    """The wanted sound track, or the one that the file marks as its default, else the first.

    Of tracks that nothing was said of, those without a decoder are passed over.

    Args:
        source: The file, for messages.
        container: Open for reading.
        wanted: Its number among the sound tracks from 0, or its language as the file has it
            ("eng"); None for the default one.

    Raises:
        MediaError: "no audio", "no such track" or "no decoder".
    """
    streams = list(container.streams.audio)
    if not streams:
        raise MediaError(
            "no audio", f"{source}: the file has no sound track; give the file with its sound"
        )
    if wanted is not None:
        stream = _wanted(source, streams, wanted)
        _check_decoder(source, container, stream)
        return Track(stream)
    if len(streams) == 1:
        _check_decoder(source, container, streams[0])
        return Track(streams[0])
    first, *_ = marked = _default_first(container, streams)
    decodable = [stream for stream in marked if _has_decoder(stream)]
    if not decodable:
        _check_decoder(source, container, first)
    stream = decodable[0]
    note = f"of {_tracks(streams)}, number {streams.index(stream)} is heard"
    if stream is not first:
        note += f": there is no decoder for {codec_name(container, first)}"
    return Track(stream, note)


def codec_name(container: InputContainer, stream: AudioStream) -> str:
    """What a stream without a decoder is coded in, as far as FFmpeg can tell."""
    codec, tag, _ = _listing(container).get(stream.index, ("none", "", ""))
    unnamed = f"an unknown codec ({tag})" if tag else "an unknown codec"
    known = CODEC_NAMES.get(codec) or CODEC_NAMES.get(tag)
    return known or (unnamed if codec == "none" else codec)


def _listing(container: InputContainer) -> dict[int, tuple[str, str, str]]:
    """Codec, tag and the rest of what FFmpeg lists of each sound track, by its stream's number.

    PyAV itself hands out neither what a stream without a decoder is coded in nor, before 14.1,
    which track is the default one; and the list only while it listens to FFmpeg.
    """
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        # Not in PyAV's type stubs.
        listed = cast(Any, container).dumps_format()
    finally:
        av.logging.set_level(level)
    return {int(number): (codec, tag, rest) for number, codec, tag, rest in _LISTED.findall(listed)}


def _default_first(container: InputContainer, streams: list[AudioStream]) -> list[AudioStream]:
    listing = _listing(container)

    def is_other(stream: AudioStream) -> bool:
        return "(default)" not in listing.get(stream.index, ("", "", ""))[2]

    return sorted(streams, key=is_other)


def _has_decoder(stream: AudioStream) -> bool:
    return stream.codec_context is not None


def _wanted(source: str, streams: list[AudioStream], wanted: int | str) -> AudioStream:
    if isinstance(wanted, int):
        if wanted < len(streams):
            return streams[wanted]
    else:
        for stream in streams:
            if stream.language == wanted:
                return stream
    raise MediaError(
        "no such track",
        f"{source}: expected the sound track {wanted}, found {_tracks(streams)}; name another with "
        "audio_track, or null for the default one",
    )


def _tracks(streams: list[AudioStream]) -> str:
    languages = ", ".join(stream.language or "und" for stream in streams)
    return f"{len(streams)} sound track{'s' if len(streams) > 1 else ''} ({languages})"


def _check_decoder(source: str, container: InputContainer, stream: AudioStream) -> None:
    if _has_decoder(stream):
        return
    versions = av.library_versions
    release = ".".join(str(part) for part in versions["libavcodec"])
    raise MediaError(
        "no decoder",
        f"{source}: the file is in order, but its sound is {codec_name(container, stream)}, which "
        f"this FFmpeg (libavcodec {release}) cannot decode; convert it with a program that can, to "
        "WAV or FLAC",
    )
