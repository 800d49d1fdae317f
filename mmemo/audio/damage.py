"""Whether what was decoded of a file is all that it says to hold, and how much of it is damaged."""

from __future__ import annotations

import math
from typing import BinaryIO

from av.audio.stream import AudioStream

from mmemo.audio.container_length import SIZED, is_broken_off, missing_bytes
from mmemo.audio.media_error import MediaError
from mmemo.audio.packets import MPEG_AUDIO, Packets

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

COPY_AGAIN = "copy it again from where it came, or leave its row out"


def check_complete(
    source: str,
    file: BinaryIO,
    format_name: str,
    stream: AudioStream,
    packets: Packets,
    duration_s: float,
) -> None:
    """Compare what was decoded with what the file says that there is.

    Args:
        source: The file, for messages.
        file: The file itself.
        format_name: FFmpeg's name of its container.
        stream: The sound track, whose container is open.
        packets: What was read of it.
        duration_s: Length of what was decoded.

    Raises:
        MediaError: "corrupt container", "empty audio" or "truncated".
    """
    name, last = format_name, packets.last
    found = f"{duration_s:.2f} s found; {COPY_AGAIN}"
    if duration_s == 0:
        if packets.num_bad:
            raise MediaError(
                "corrupt container",
                f"{source}: none of the {packets.num_packets} packets of its sound can be decoded; "
                f"{COPY_AGAIN}",
            )
        raise MediaError(
            "empty audio", f"{source}: the sound track holds no samples; leave its row out"
        )
    promised_s = float((stream.duration or 0) * (stream.time_base or 0))
    if duration_s + packets.lost_s < promised_s - DURATION_IS_KNOWN.get(name, math.inf):
        raise MediaError("truncated", f"{source}: {promised_s:.2f} s of sound announced, {found}")
    if missing := missing_bytes(file, name):
        raise MediaError(
            "truncated", f"{source}: the file ends {missing} bytes before its sound does, {found}"
        )
    is_mpeg_audio = stream.codec_context.name in MPEG_AUDIO or name == "aac"
    is_cut = last is not None and (
        (last.is_corrupt and name not in SIZED)
        or (is_mpeg_audio and is_broken_off(bytes(last)))
        or (packets.ends_badly and name not in SIZED and name not in DURATION_IS_KNOWN)
    )
    if is_cut:
        raise MediaError("truncated", f"{source}: the file ends inside a piece of sound, {found}")


def check_damage(source: str, packets: Packets, duration_s: float, max_share: float) -> None:
    """Refuse a track of which too much cannot be decoded.

    Args:
        source: The file, for messages.
        packets: What was read of it.
        duration_s: Length of what was decoded.
        max_share: Share of its packets that may be bad.

    Raises:
        MediaError: "damaged audio".
    """
    share = packets.num_bad / max(packets.num_packets, 1)
    if share > max_share:
        raise MediaError(
            "damaged audio",
            f"{source}: {packets.num_bad} of {packets.num_packets} packets of sound cannot be "
            f"decoded ({share:.1%}, at most {max_share:.1%} are left out), {duration_s:.2f} s can; "
            f"{COPY_AGAIN}; preparer.max_bad_share is the share that is borne",
        )
