"""What is wrong with a media file that yields no sound."""

from __future__ import annotations


class MediaError(Exception):
    """A clip that yields no usable sound.

    ``reason`` is a short fixed phrase that can be counted; the message tells the one case and what
    to do about it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        """The message alone."""
        return self.message
