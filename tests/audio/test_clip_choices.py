import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mmemo.audio import clip_worker
from mmemo.audio.journal import Shard
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.demo_clips import write_clip
from mmemo.corpora.meld import MeldCorpus
from tests.audio.conftest import Halver, counting, pack, sounds
from tests.conftest import CLIP_RATE, MeldMaker, tone


def test_packed_and_unpacked_clips_give_the_same_sound(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_meld()
    (root / "test_sent_emo.csv").rename(root / "output_repeated_splits_test" / "test_sent_emo.csv")
    unpacked = Preparer(tmp_path / "u", num_workers=0).prepare(MeldCorpus(root).read(), None)
    pack(root)
    preparer = Preparer(tmp_path / "p", num_workers=0)
    annotations = MeldCorpus(root).read()
    packed = preparer.prepare(annotations, None)
    torch.testing.assert_close(sounds(packed), sounds(unpacked), rtol=0, atol=0)
    assert packed.folder.name == unpacked.folder.name
    assert sorted(p.name for p in root.iterdir() if p.is_dir()) == [], "nothing was unpacked"
    source = packed.kept.set_index("key").loc["train/dia0_utt2", "source"]
    assert source == "train.tar.gz:train_splits/dia0_utt2.mp4"
    with monkeypatch.context() as patch:
        patch.setattr(clip_worker, "decode", None)
        patch.setattr(tarfile, "open", None)
        preparer.prepare(annotations, None)


def test_a_changed_archive_is_read_again(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld()
    whole = shutil.copytree(root / "train_splits", tmp_path / "train_splits")
    (root / "train_splits" / "dia0_utt1.mp4").unlink()
    pack(root)
    preparer = Preparer(tmp_path / "p", num_workers=0)
    before = preparer.prepare(MeldCorpus(root).read(), None)
    row = before.manifest.set_index("key").loc["train/dia0_utt1"]
    assert row["reason"] == "missing clip"
    assert "train.tar.gz: no member dia0_utt1.mp4" in row["detail"]
    with tarfile.open(root / "train.tar.gz", "w:gz") as archive:
        archive.add(whole, "train_splits")
    assert len(preparer.prepare(MeldCorpus(root).read(), None).kept) == 15


def test_final_videos_are_used_only_when_asked_for(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld()
    folder = root / "output_repeated_splits_test"
    final = folder / "final_videos_testdia0_utt0.mp4"
    write_clip(final, tone(200.0, 0.5)[None], CLIP_RATE, "mono", (0, 0, 0))
    preparer = Preparer(tmp_path / "p", num_workers=0)
    for packed in (False, True):
        if packed:
            pack(root)
        for used, name, duration_s in ((False, "dia0_utt0.mp4", 0.3), (True, final.name, 0.5)):
            corpus = preparer.prepare(MeldCorpus(root, use_final_videos=used).read(), None)
            row = corpus.kept.set_index("key").loc["test/dia0_utt0"]
            assert Path(row["source"]).name == name
            assert row["source_duration_s"] == pytest.approx(duration_s, abs=0.05)
            assert len(corpus.manifest) == 15


@pytest.mark.parametrize("denoiser", [None, Halver()])
def test_long_sound_is_cut_as_if_the_rest_did_not_matter(
    make_meld: MeldMaker, tmp_path: Path, denoiser: Halver | None
) -> None:
    annotations = MeldCorpus(make_meld(duration_s=2.0)).read()
    whole = Preparer(tmp_path / "w", num_workers=0).prepare(annotations, denoiser)
    preparer = Preparer(tmp_path / "c", num_workers=0, max_duration_s=0.75)
    cut = preparer.prepare(annotations, denoiser)
    assert set(cut.kept["num_samples"]) == {12_000}
    assert cut.manifest["cut"].all()
    assert not whole.manifest["cut"].any()
    np.testing.assert_allclose(cut.manifest["source_duration_s"], 2.0, atol=0.05)
    for key, samples in sounds(cut).items():
        torch.testing.assert_close(samples, sounds(whole)[key][:12_000], atol=1e-4, rtol=0)


def test_shards_write_apart_and_make_one_corpus(make_meld: MeldMaker, tmp_path: Path) -> None:
    annotations = MeldCorpus(make_meld(per_split=7)).read()
    whole = Preparer(tmp_path / "whole", num_workers=0).prepare(annotations, None)
    preparer = Preparer(tmp_path / "shards", num_workers=0)
    for index, num_finished in ((2, 7), (0, 14), (1, 21)):
        progress = preparer.prepare_shard(annotations, None, Shard(index, 3))
        assert (progress.num_finished, progress.complete) == (num_finished, num_finished == 21)
    corpus = PreparedCorpus(progress.folder)
    assert sorted(set(corpus.kept["audio_file"])) == [f"audio-{i}-of-3.i16" for i in range(3)]
    torch.testing.assert_close(sounds(corpus), sounds(whole), rtol=0, atol=0)
    assert (corpus.damaged(), corpus.digest()) == ([], whole.digest())
    total = sum(path.stat().st_size for path in progress.folder.glob("*.i16"))
    assert total == (whole.folder / "audio.i16").stat().st_size, "nothing is stored twice"


def test_what_shards_left_is_finished_by_one(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = MeldCorpus(make_meld(per_split=4)).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    preparer.prepare_shard(annotations, None, Shard(1, 4))
    decoded: list[Path] = []
    monkeypatch.setattr(clip_worker, "decode", counting(decoded))
    assert len(preparer.prepare(annotations, None).kept) == 12
    assert len(decoded) == 9
