"""Members of a packed archive, read in one pass and verified to its last byte."""

from __future__ import annotations

import gzip
import io
import math
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mmemo.errors import InputError

MAX_MEMBER_BYTES = 2**27
"""A member is held in memory, several at a time: 128 MiB, minutes of video."""

MAX_HEADER_BYTES = 2**16
"""What stands before a member: names and attributes; more is a header that lies."""

_CHUNK_BYTES = 2**20
_LATEST_S = 2**40
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError, OverflowError)


@dataclass(frozen=True)
class Member:
    """A member of an archive that was looked for.

    Args:
        name: Its path in the archive, in characters that can be written anywhere.
        file_name: The path's last part.
        modified_s: When it was last changed, in whole seconds since 1970; 0 where the archive
            does not tell.
        content: Its bytes; empty where it is refused.
        refusal: Why it must not be read; '' where it may be.
    """

    name: str
    file_name: str
    modified_s: int
    content: bytes
    refusal: str


def tar_members(path: Path, is_wanted: Callable[[str], bool]) -> Iterator[Member]:
    """The members of a ``.tar.gz`` whose file names are wanted.

    The archive is complete when its end mark (blocks of zeros, POSIX.1-1988) was read, nothing
    else stands behind it, and gzip's checksum and length (RFC 1952) fit what was read. That is
    known once the last member was handed out: an error tells that the content of all members that
    came before it may be wrong.

    Args:
        path: The archive.
        is_wanted: Told of each member's file name.

    Raises:
        InputError: If the archive is damaged, incomplete, or none.
    """
    try:
        with gzip.open(path) as unpacked:
            stream = _HeaderBound(cast(BinaryIO, unpacked))
            with tarfile.open(fileobj=stream, mode="r:", tarinfo=_CheckedTarInfo) as archive:
                while (info := archive.next()) is not None:
                    file_name = PurePosixPath(info.name).name
                    if is_wanted(file_name):
                        yield _read(archive, info, stream, file_name)
                    # The library keeps all it has seen: an archive of millions would fill memory.
                    archive.members = []  # type: ignore[attr-defined]
                    archive.pax_headers = {}
                    stream.begin_header()
            _read_to_end(stream)
    except (*_DAMAGE, RecursionError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: expected a complete .tar.gz archive, it is damaged or was cut off ({what}); "
            "get the file again. Finished clips are kept, and those that the new file has "
            "otherwise are prepared anew"
        ) from error


def _read(
    archive: tarfile.TarFile, info: tarfile.TarInfo, stream: _HeaderBound, file_name: str
) -> Member:
    # Bytes that are no UTF-8 arrive as lone surrogates, which no file or terminal takes.
    name = str(PurePosixPath(info.name)).encode("utf-8", "backslashreplace").decode()
    refusal = _refusal(info)
    content = b""
    if not refusal:
        stream.end_header()
        file = archive.extractfile(info)
        content = file.read() if file else b""
        if len(content) != info.size:
            raise EOFError(f"{name} is cut off")
    return Member(name, file_name, _whole_seconds(info.mtime), content, refusal)


def _refusal(info: tarfile.TarInfo) -> str:
    path = PurePosixPath(info.name)
    if info.issparse():
        return "a sparse file, pack it as a plain one"
    if not info.isreg() or info.name.endswith("/"):
        return "not a plain file"
    if path.is_absolute() or ".." in path.parts:
        return "its name leads out of the archive's folder"
    if info.size > MAX_MEMBER_BYTES:
        return f"{info.size} bytes, more than {MAX_MEMBER_BYTES}"
    return ""


def _whole_seconds(time_s: float) -> int:
    return int(time_s) if math.isfinite(time_s) and abs(time_s) < _LATEST_S else 0


def _read_to_end(stream: _HeaderBound) -> None:
    """What stands behind the end mark; the last read checks gzip's checksum and length."""
    stream.end_header()
    while piece := stream.read(_CHUNK_BYTES):
        if piece.count(0) != len(piece):
            raise tarfile.ReadError("bytes behind the archive's end mark")


class _HeaderBound(io.RawIOBase):
    """A stream of which only so much is read as one header.

    Extended headers tell their own size, chain, or go on until a mark comes: each would fill
    memory with what a few packed bytes unfold to.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left: int | None = MAX_HEADER_BYTES

    def begin_header(self) -> None:
        """Bound what is read from here on."""
        self._left = MAX_HEADER_BYTES

    def end_header(self) -> None:
        """Bound it no more: its size was looked at."""
        self._left = None

    def read(self, size: int | None = -1, /) -> bytes:
        """Read so many bytes."""
        if self._left is not None:
            if size is None or size < 0 or size > self._left:
                raise tarfile.ReadError(f"a header of more than {MAX_HEADER_BYTES} bytes")
            self._left -= size
        return self._stream.read(-1 if size is None else size)

    def tell(self) -> int:
        """Bytes read."""
        return self._stream.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Read on to a place.

        Raises:
            tarfile.ReadError: If the place was passed already, or lies behind the end.
        """
        if offset < self.tell():
            raise tarfile.ReadError("a header that leads back")
        while self.tell() < offset:
            if not self._stream.read(min(_CHUNK_BYTES, offset - self.tell())):
                raise EOFError("the archive ends inside a member")
        return offset


class _CheckedTarInfo(tarfile.TarInfo):
    """A header that is damaged raises: the library takes it for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _CheckedTarInfo:
        try:
            info = super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError("it ends without its end mark") from error
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
        if info.size < 0:
            raise tarfile.ReadError(f"a member of {info.size} bytes")
        return info
