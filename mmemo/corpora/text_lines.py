"""Lines of a text file of annotations, as a corpus' release has them."""

from __future__ import annotations

from pathlib import Path

from mmemo.errors import InputError


def read_text_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, or else in Windows-1252, without their line ends.

    Raises:
        InputError: If it cannot be read, or holds a NUL byte.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: expected a text file of the corpus, could not read it "
            f"({error.strerror or error}); unpack the corpus again"
        ) from error
    if b"\0" in content:
        raise InputError(f"{path}: expected a text file, found a NUL byte; unpack the corpus again")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    return text.splitlines()


def text_files(folder: Path) -> list[Path]:
    """The ``.txt`` files of a folder, by name; none where there is no folder.

    What macOS leaves beside files (``._name``) is none of them.
    """
    return sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))
