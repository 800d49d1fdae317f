import gzip
import io
import json
import os
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from mmemo.audio import clip_worker
from mmemo.audio.journal import JournalWriter, Record, Shard
from mmemo.audio.media import MediaError, Sound, decode
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.demo_clips import write_clip
from mmemo.corpora.meld import MeldCorpus
from mmemo.errors import InputError
from tests.audio.conftest import counting, pack, sounds
from tests.conftest import CLIP_RATE, MeldMaker, tone


def rewrite(path: Path, duration_s: float) -> None:
    write_clip(path, tone(200.0, duration_s)[None], CLIP_RATE, "mono", (0, 0, 0))


def test_a_clip_of_the_same_size_that_was_changed_is_prepared_again(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    root = make_meld()
    clip = root / "train_splits" / "dia0_utt1.mp4"
    preparer = Preparer(tmp_path / "p", num_workers=0)
    before = preparer.prepare(MeldCorpus(root).read(), None)
    size = clip.stat().st_size
    rewrite(clip, 0.2)
    clip.write_bytes(clip.read_bytes().ljust(size, b"\0"))
    os.utime(clip, (1, 1))
    after = preparer.prepare(MeldCorpus(root).read(), None)
    lengths = [
        c.kept.set_index("key").loc["train/dia0_utt1", "num_samples"] for c in (before, after)
    ]
    assert lengths[1] < lengths[0]


def test_shards_that_overlap_in_time_leave_a_true_manifest(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    root = make_meld()
    annotations = MeldCorpus(root).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    for index in range(2):
        preparer.prepare_shard(annotations, None, Shard(index, 2))
    for clip in root.glob("*/*.mp4"):
        rewrite(clip, 0.6)
        os.utime(clip, (1, 1))
    write = JournalWriter.append
    meanwhile = []

    def append(writer: JournalWriter, record: Record, samples: bytes) -> None:
        if not meanwhile:
            meanwhile.append(True)
            preparer.prepare_shard(annotations, None, Shard(1, 2))
        write(writer, record, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalWriter, "append", append)
        progress = preparer.prepare_shard(annotations, None, Shard(0, 2))
    kept = PreparedCorpus(progress.folder).kept
    np.testing.assert_allclose(kept["num_samples"] / 16_000, 0.6, atol=0.05)


def test_a_killed_shard_still_finds_the_better_clips(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld()
    folder = root / "output_repeated_splits_test"
    for index in range(5):
        rewrite(folder / f"zz_{index}.mp4", 0.6)
    pack(root)
    with tarfile.open(root / "test.tar.gz") as packed:
        # Python 3.11 has the argument filter from 3.11.4 on only, and 3.12 warns without.
        packed.extraction_filter = lambda member, path: member
        packed.extractall(tmp_path / "again")
    names = sorted((tmp_path / "again").glob("*/*.mp4"))
    with tarfile.open(root / "test.tar.gz", "w:gz") as archive:
        for path in names:
            final = path.name.replace("zz_", "final_videos_testdia0_utt")
            archive.add(path, f"output_repeated_splits_test/{final}")
    annotations = MeldCorpus(root, use_final_videos=True).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    preparer.prepare_shard(annotations, None, Shard(0, 2))
    write = JournalWriter.append

    def append_until_killed(writer: JournalWriter, record: Record, samples: bytes) -> None:
        if "final" in record.source:
            raise KeyboardInterrupt
        write(writer, record, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalWriter, "append", append_until_killed)
        with pytest.raises(KeyboardInterrupt):
            preparer.prepare_shard(annotations, None, Shard(1, 2))
    progress = preparer.prepare_shard(annotations, None, Shard(1, 2))
    assert progress.complete
    kept = PreparedCorpus(progress.folder).kept
    assert kept.loc[kept["split"] == "test", "source"].str.contains("final_videos").all()


def test_an_archive_goes_before_a_folder_that_was_unpacked_in_part(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    root = make_meld()
    pack(root)
    (root / "train_splits").mkdir()
    assert (
        len(Preparer(tmp_path / "p", num_workers=0).prepare(MeldCorpus(root).read(), None).kept)
        == 15
    )


def test_a_clip_that_could_not_be_read_is_tried_again(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = MeldCorpus(make_meld()).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)

    def refuse(source: str, *_: object) -> Sound:
        if "utt2" in source:
            raise MediaError("unreadable", f"{source}: cannot be read (stale file handle)")
        return decode(source)

    with monkeypatch.context() as patch:
        patch.setattr(clip_worker, "decode", refuse)
        assert len(preparer.prepare(annotations, None).kept) == 12
    assert len(preparer.prepare(annotations, None).kept) == 15


def test_sound_that_a_copy_cut_short_is_refused(make_meld: MeldMaker, tmp_path: Path) -> None:
    corpus = Preparer(tmp_path / "p", num_workers=0).prepare(MeldCorpus(make_meld()).read(), None)
    audio = corpus.folder / "audio.i16"
    corpus.check_size()
    audio.write_bytes(audio.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"audio\.i16: expected at least \d+ bytes of prepared sound"
    ):
        corpus.check_size()
    assert PreparedCorpus(corpus.folder).damaged() == [corpus.kept.iloc[-1]["key"]]


def stored(root: Path, flips: int = 0) -> bytes:
    """The training clips in a .tar.gz without compression, one byte of each second one changed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for index, path in enumerate(sorted((root / "train_splits").glob("*.wav"))):
            data = bytearray(path.read_bytes())
            member = tarfile.TarInfo(f"train_splits/{path.stem}.mp4")
            member.size, member.mtime = len(data), 1234
            data[1001] ^= 64 * (index % 2) * flips
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def gzipped(content: bytes, of: bytes) -> bytes:
    """Stored in gzip with the checksum that other content of that length has."""
    return gzip.compress(content, 0)[:-8] + gzip.compress(of, 0)[-8:]


@pytest.mark.parametrize("fresh_is_packed", [True, False])
def test_what_came_out_of_a_damaged_archive_is_not_kept(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_is_packed: bool
) -> None:
    root = make_meld(per_split=6)
    folder = root / "train_splits"
    for index in range(6):
        (folder / f"dia0_utt{index}.mp4").unlink()
        with wave.open(str(folder / f"dia0_utt{index}.wav"), "wb") as clip:
            clip.setparams((1, 2, 16_000, 0, "NONE", ""))
            clip.writeframes((1000 * tone(200.0 + index, 0.3, 16_000)).astype("<i2").tobytes())
    whole, damaged = stored(root), stored(root, flips=1)
    for path in folder.glob("*.wav"):
        os.utime(path.rename(path.with_suffix(".mp4")), (1234, 1234))
    undisturbed = Preparer(tmp_path / "whole", num_workers=0).prepare(MeldCorpus(root).read(), None)
    unpacked = folder.rename(tmp_path / "unpacked")
    archive = root / "train.tar.gz"
    archive.write_bytes(gzipped(damaged, of=whole))
    preparer = Preparer(tmp_path / "p", num_workers=0)
    with pytest.raises(InputError, match=r"train\.tar\.gz: .*CRC check failed.*get the file again"):
        preparer.prepare(MeldCorpus(root).read(), None)
    (journal,) = (tmp_path / "p").glob("*/audio.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [record["status"] for record in records] == ["kept"] * 6, "none is called missing"
    assert not journal.with_name("manifest.parquet").exists()
    # Without the archive nothing tells which of them are right.
    archive.unlink()
    with pytest.raises(InputError, match=r"expected the folder with the clips"):
        preparer.prepare(MeldCorpus(root).read(), None)
    if fresh_is_packed:
        archive.write_bytes(gzipped(whole, of=whole))
    else:
        unpacked.rename(folder)
    decoded: list[Path] = []
    monkeypatch.setattr(clip_worker, "decode", counting(decoded))
    corpus = preparer.prepare(MeldCorpus(root).read(), None)
    train = [path for path in decoded if "train_splits" in str(path)]
    assert len(train) == (3 if fresh_is_packed else 6), "what was right is not decoded again"
    torch.testing.assert_close(sounds(corpus), sounds(undisturbed), rtol=0, atol=0)
