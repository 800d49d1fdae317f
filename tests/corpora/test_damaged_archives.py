"""Archives that are damaged, cut off, or made to harm."""

import gzip
import random
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmemo.corpora import tar_members
from mmemo.corpora.clip_archive import ClipArchive
from mmemo.corpora.clips import MISSING, Clip
from mmemo.corpora.meld_raw import CLIP_NAME
from mmemo.errors import InputError
from tests.corpora.test_clips import utterance

NAMES = [f"dia0_utt{index}.mp4" for index in range(6)]
CONTENTS = {name: random.Random(name).randbytes(700 + 300 * len(name)) for name in NAMES}
BLOCK = tarfile.BLOCKSIZE


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **pax: str) -> bytes:
    """A header and its content, as they stand in an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.pax_headers = len(content), kind, dict(pax)
    style = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    return info.tobuf(style) + content + bytes(-len(content) % BLOCK)


def tar(*members: bytes) -> bytes:
    return b"".join(members) + bytes(2 * BLOCK)


WHOLE = tar(*(member(f"train/{name}", content) for name, content in CONTENTS.items()))


def read(path: Path, packed: bytes) -> list[Clip]:
    path.write_bytes(packed)
    keys = [name.removesuffix(".mp4") for name in NAMES]
    source = ClipArchive(path, {k: (n,) for k, n in zip(keys, NAMES, strict=True)}, CLIP_NAME)
    return list(source.clips([utterance(key) for key in keys], {}))


def flipped(data: bytes, place: int, random_: random.Random) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << random_.randrange(8))]) + data[place + 1 :]


def mutations(seed: int) -> Iterator[bytes]:
    """Damage of each kind at a random place: to what was packed, and to the package."""
    random_ = random.Random(seed)
    packed = gzip.compress(WHOLE, 6, mtime=0)
    # Behind gzip's own header, in which a name or a time may be anything.
    yield flipped(packed, random_.randrange(10, len(packed)), random_)
    yield packed[: random_.randrange(len(packed))]
    yield gzip.compress(WHOLE[: random_.randrange(len(WHOLE) - 2 * BLOCK)])
    yield packed + random_.randbytes(random_.randrange(1, 3 * BLOCK))
    place = random_.randrange(10, len(packed))
    yield packed[:place] + packed[place + random_.randrange(1, 900) :]
    header = random_.choice([found.start() for found in re.finditer(rb"train/dia0", WHOLE)])
    yield gzip.compress(flipped(WHOLE, header + random_.randrange(BLOCK - 12), random_))
    yield gzip.compress(WHOLE[:header] + random_.randbytes(BLOCK) + WHOLE[header + BLOCK :])
    half = random_.randrange(1, len(WHOLE))
    second = gzip.compress(WHOLE[half:])
    yield gzip.compress(WHOLE[:half]) + second[: random_.randrange(1, len(second))]


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_is_taken_for_a_missing_clip_or_another_sound(tmp_path: Path, seed: int) -> None:
    for number, packed in enumerate(mutations(seed)):
        with pytest.raises(InputError, match=r"train\.tar\.gz: .* damaged or was cut off"):
            pytest.fail(f"mutation {number}: {read(tmp_path / 'train.tar.gz', packed)}")


def test_what_came_before_the_damage_is_handed_out(tmp_path: Path) -> None:
    path = tmp_path / "train.tar.gz"
    path.write_bytes(gzip.compress(WHOLE)[:-6])
    keys = [name.removesuffix(".mp4") for name in NAMES]
    source = ClipArchive(path, {k: (n,) for k, n in zip(keys, NAMES, strict=True)}, CLIP_NAME)
    clips = source.clips([utterance(key) for key in keys], {})
    for name in NAMES:
        clip = next(clips)
        assert (clip.content, clip.crc32) == (CONTENTS[name], zlib.crc32(CONTENTS[name]))
    with pytest.raises(InputError, match="Finished clips are kept"):
        next(clips)


def test_gzip_of_several_parts_is_one_archive(tmp_path: Path) -> None:
    for half in (1, 1000, 4096, len(WHOLE) - 1):
        packed = gzip.compress(WHOLE[:half]) + gzip.compress(WHOLE[half:]) + bytes(512)
        clips = read(tmp_path / "train.tar.gz", packed)
        assert {clip.name: clip.content for clip in clips} == CONTENTS


OTHERS = [member(name, CONTENTS[name]) for name in NAMES[1:]]


def first(**pax: str) -> bytes:
    return member(NAMES[0], CONTENTS[NAMES[0]], **pax)


def sparse() -> bytes:
    """GNU's own sparse format: one piece of 512 bytes in a file of a gibibyte."""
    header = bytearray(member(NAMES[0], bytes(BLOCK), kind=tarfile.GNUTYPE_SPARSE)[:BLOCK])
    header[386:398], header[398:410] = b"00000000000\0", b"00000001000\0"
    header[483:495] = b"10000000000\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(BLOCK)


def test_a_member_that_must_not_be_read_is_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_members, "MAX_MEMBER_BYTES", 10_000)
    for hostile, reason in (
        (member(NAMES[0], bytes(10_001)), "10001 bytes, more than 10000"),
        (sparse(), "sparse"),
        (first(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**30)}), "sparse"),
        (member(NAMES[0] + "/", b"x"), "not a plain file"),
    ):
        found = read(tmp_path / "train.tar.gz", gzip.compress(tar(hostile, *OTHERS)))
        assert {c.name: c.content for c in found if c.content} == dict(list(CONTENTS.items())[1:])
        (refused,) = [clip for clip in found if clip.num_bytes == MISSING]
        assert refused.key == "dia0_utt0"
        assert reason in refused.problem
        assert f"train.tar.gz:{NAMES[0]}" in refused.problem


def test_headers_that_unfold_are_bounded(tmp_path: Path) -> None:
    def chain(count: int) -> bytes:
        return b"".join(
            member("././@LongLink", NAMES[0].encode(), kind=tarfile.GNUTYPE_LONGNAME)
            for _ in range(count)
        )

    for bomb in (
        member("././@LongLink", bytes(2**21), kind=tarfile.GNUTYPE_LONGNAME),
        member("././@PaxHeader", b"9" * 2**21, kind=tarfile.XHDTYPE),
        member("././@PaxHeader", bytes(2**21), kind=tarfile.XGLTYPE),
        chain(3000),
        first(**{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"})[
            : 3 * BLOCK
        ]
        + b"99999999\n"
        + b"0\n" * 2**20,
        first(**{"GNU.sparse.map": "1,x"}),
    ):
        with pytest.raises(InputError, match="damaged or was cut off"):
            read(tmp_path / "train.tar.gz", gzip.compress(tar(bomb, *OTHERS)))


@pytest.mark.parametrize("mtime", ["nan", "inf", "-inf", "1e300", "-1e300", str(2**70), "soon"])
def test_a_time_that_is_none_is_unknown(tmp_path: Path, mtime: str) -> None:
    clips = read(tmp_path / "train.tar.gz", gzip.compress(tar(first(mtime=mtime), *OTHERS)))
    assert {clip.name: clip.content for clip in clips} == CONTENTS
    assert clips[0].modified_s == 0


def test_a_name_that_is_no_utf8_can_be_written(tmp_path: Path) -> None:
    hostile = member(f"tr\udcffain/{NAMES[0]}", CONTENTS[NAMES[0]])
    clips = read(tmp_path / "train.tar.gz", gzip.compress(tar(hostile, *OTHERS)))
    assert clips[0].source == f"train.tar.gz:tr\\udcffain/{NAMES[0]}"
    assert clips[0].source.encode()
    assert clips[0].name == NAMES[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\3\4zip", b"\x1f\x8b", gzip.compress(b"no tar", mtime=0)],
    ids=["empty", "zip", "cut", "no tar"],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"train\.tar\.gz: expected a complete \.tar\.gz"):
        read(tmp_path / "train.tar.gz", content)
