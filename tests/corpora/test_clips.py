import io
import random
import tarfile
from pathlib import Path

import pytest

from mmemo.corpora.clip_archive import ClipArchive
from mmemo.corpora.clips import MISSING, Clip, ClipFiles, Prepared
from mmemo.corpora.meld_raw import CLIP_NAME
from mmemo.corpora.utterance import Utterance
from mmemo.errors import InputError


def utterance(name: str, folder: Path = Path("clips")) -> Utterance:
    return Utterance(
        corpus="c",
        key=name,
        split="test",
        dialogue_id=0,
        utterance_id=0,
        speaker="Ada",
        transcript="Hi.",
        emotion="joy",
        media_path=str(folder / f"{name}.mp4"),
    )


def add(archive: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = b"0") -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, "dia0_utt0.mp4"
    member.mtime = 1234
    archive.addfile(member, io.BytesIO(content))


def pack(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content, kind in members:
            add(archive, name, content, kind)
    return path


FILE, SYMLINK, HARD_LINK, DEVICE = (
    tarfile.REGTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.CHRTYPE,
)


def read(path: Path, *names: tuple[str, ...], done: dict[str, Prepared] | None = None):  # noqa: ANN201
    keys = [name[-1].removesuffix(".mp4") for name in names]
    source = ClipArchive(path, dict(zip(keys, names, strict=True)), CLIP_NAME)
    return list(source.clips([utterance(key) for key in keys], done or {}))


def test_members_are_read_in_one_pass_by_their_file_names(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "test.tar.gz",
        ("out/dia0_utt1.mp4", b"one", FILE),
        ("out/._dia0_utt0.mp4", b"stub", FILE),
        ("out/dia0_utt0.mp4", b"zero", FILE),
        ("out/dia9_utt9.mp4", b"unlabelled", FILE),
    )
    clips = read(path, ("dia0_utt0.mp4",), ("dia0_utt1.mp4",))
    assert clips == [
        Clip("dia0_utt1", "test.tar.gz:out/dia0_utt1.mp4", 3, 1234, b"one", crc32=2053932785),
        Clip("dia0_utt0", "test.tar.gz:out/dia0_utt0.mp4", 4, 1234, b"zero", crc32=2883514770),
    ]
    done = {"dia0_utt1": Prepared("dia0_utt1.mp4", 3, 1234)}
    assert [c.key for c in read(path, ("dia0_utt0.mp4",), ("dia0_utt1.mp4",), done=done)] == [
        "dia0_utt0"
    ]


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("/etc/dia0_utt0.mp4", FILE, "leads out of the archive"),
        ("out/../../dia0_utt0.mp4", FILE, "leads out of the archive"),
        ("out/dia0_utt0.mp4", SYMLINK, "not a plain file"),
        ("out/dia0_utt0.mp4", HARD_LINK, "not a plain file"),
        ("out/dia0_utt0.mp4", DEVICE, "not a plain file"),
    ],
)
def test_dangerous_members_are_refused(tmp_path: Path, name: str, kind: bytes, reason: str) -> None:
    content = b"x" if kind == FILE else b""
    path = pack(tmp_path / "test.tar.gz", (name, content, kind))
    (clip,) = read(path, ("dia0_utt0.mp4",))
    assert (clip.num_bytes, clip.content) == (MISSING, None)
    assert f"test.tar.gz:{name}: refused" in clip.problem
    assert reason in clip.problem


FINAL, PLAIN = "final_videos_testdia0_utt0.mp4", "dia0_utt0.mp4"


@pytest.mark.parametrize("order", [(PLAIN, FINAL), (FINAL, PLAIN)])
def test_the_better_name_is_handed_out_last(tmp_path: Path, order: tuple[str, str]) -> None:
    path = pack(tmp_path / "test.tar.gz", *((f"out/{n}", n.encode(), FILE) for n in order))
    clips = read(path, (FINAL, PLAIN))
    assert clips[-1].content == FINAL.encode()
    done = {"dia0_utt0": Prepared(FINAL, len(FINAL), 1234)}
    assert read(path, (FINAL, PLAIN), done=done) == []
    assert [clip.name for clip in read(path, (PLAIN,))] == [PLAIN]


def test_missing_member_is_told_at_the_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "dev.tar.gz", ("x/dia0_utt1.mp4", b"one", FILE))
    found, missing = read(path, ("dia0_utt0.mp4",), ("dia0_utt1.mp4",))
    assert found.key == "dia0_utt1"
    assert missing.problem == f"{path}: no member dia0_utt0.mp4"


def test_a_torn_archive_gives_what_it_holds_and_then_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.tar.gz"
    noise = random.Random(0).randbytes(2**16)
    pack(path, *((f"dia0_utt{i}.mp4", noise, FILE) for i in range(3)))
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    names = {f"dia0_utt{i}": (f"dia0_utt{i}.mp4",) for i in range(3)}
    clips = ClipArchive(path, names, CLIP_NAME).clips([utterance(k) for k in names], {})
    assert next(clips).content == noise
    with pytest.raises(InputError, match=r"train\.tar\.gz: expected a complete \.tar\.gz"):
        list(clips)


def test_files_are_found_by_the_best_name(tmp_path: Path) -> None:
    (tmp_path / PLAIN).write_bytes(b"plain")
    row = utterance("dia0_utt0", tmp_path)
    source = ClipFiles({"dia0_utt0": (FINAL, PLAIN)})
    assert [c.source for c in source.clips([row], {})] == [str(tmp_path / PLAIN)]
    (tmp_path / FINAL).write_bytes(b"final")
    assert [c.source for c in source.clips([row], {})] == [str(tmp_path / FINAL)]
    modified_s = int((tmp_path / FINAL).stat().st_mtime)
    assert list(source.clips([row], {"dia0_utt0": Prepared(FINAL, 5, modified_s)})) == []
    assert len(list(source.clips([row], {"dia0_utt0": Prepared(FINAL, 5, modified_s - 9)}))) == 1
    (gone,) = ClipFiles().clips([utterance("dia1_utt0", tmp_path)], {})
    assert gone.problem == f"{tmp_path / 'dia1_utt0.mp4'}: no such file"
