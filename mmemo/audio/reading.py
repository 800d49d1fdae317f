"""How media files are read: which sound track, and how much damage is borne."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmemo.errors import InputError
from mmemo.values import check_real, check_whole

MAX_BAD_SHARE = 0.05
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Reading:
    """How media files are read.

    Args:
        audio_track: Of several sound tracks the one that is heard: its number from 0, or its
            language as the file has it ("eng"); None for the one that the file marks as default.
        max_bad_share: Share of a track's packets that may be undecodable; what is left of it is
            kept.
    """

    audio_track: int | str | None = None
    max_bad_share: float = MAX_BAD_SHARE

    def check(self, where: str) -> None:
        """Refuse what is no choice.

        Args:
            where: Prefix of the options' names.

        Raises:
            InputError: If a value is out of its range.
        """
        check_real(f"{where}max_bad_share", self.max_bad_share, 0, below=1)
        if isinstance(self.audio_track, str):
            if not _LANGUAGE.fullmatch(self.audio_track):
                raise InputError(
                    f"{where}audio_track: expected a number from 0, or a language as eng, got "
                    f"'{self.audio_track}'"
                )
        elif self.audio_track is not None:
            check_whole(f"{where}audio_track", self.audio_track, 0)

    def mark(self) -> str:
        """What a folder's name says of it: nothing of the usual way."""
        track = "" if self.audio_track is None else f"-track{self.audio_track}"
        has_own_share = self.max_bad_share != MAX_BAD_SHARE
        return track + (f"-bad{self.max_bad_share:g}" if has_own_share else "")


DEFAULT_READING = Reading()
