import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mmemo.audio import clip_worker
from mmemo.audio.journal import JournalWriter, Record
from mmemo.audio.media import decode, resample
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.clips import Clip
from mmemo.corpora.meld import MeldCorpus
from mmemo.data.selection import state_counts
from mmemo.errors import InputError
from tests.audio.conftest import FILES, Halver, contents, counting
from tests.conftest import MeldMaker, meld_row, write_csv


def test_prepared_sound_is_the_clip_resampled(make_meld: MeldMaker, tmp_path: Path) -> None:
    annotations = MeldCorpus(make_meld()).read()
    corpus = Preparer(tmp_path / "p", num_workers=0).prepare(annotations, None)
    assert corpus.sample_rate == 16_000
    row = corpus.kept.iloc[7]
    expected = torch.from_numpy(resample(decode(Path(row["media_path"])).waveform, 48_000, 16_000))
    found = corpus.read(row["audio_file"], row["offset"], row["num_samples"])
    torch.testing.assert_close(found, expected, atol=0.5 / 32767 + 1e-7, rtol=0)
    assert (row["source_rate"], row["channel_layout"]) == (48_000, "mono")


def test_denoiser_gets_its_own_rate(make_meld: MeldMaker, tmp_path: Path) -> None:
    annotations = MeldCorpus(make_meld()).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    halved, plain = preparer.prepare(annotations, Halver()), preparer.prepare(annotations, None)
    assert halved.folder != plain.folder, "two denoisers live side by side"
    a, b = halved.kept.iloc[0], plain.kept.iloc[0]
    torch.testing.assert_close(
        halved.read(a["audio_file"], a["offset"], a["num_samples"])[800:-800],
        plain.read(b["audio_file"], b["offset"], b["num_samples"])[800:-800] / 2,
        atol=1e-4,
        rtol=0,
    )


def test_every_row_is_kept_or_skipped_with_its_reason(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld()
    clips = root / "train_splits"
    (clips / "dia0_utt0.mp4").unlink()
    (clips / "dia0_utt1.mp4").write_bytes(b"nonsense")
    rows = [meld_row(0, index, "joy") for index in range(4)] + [meld_row(0, 4, "joy", text="")]
    write_csv(root / "train_sent_emo.csv", rows)
    corpus = Preparer(tmp_path / "p", num_workers=0).prepare(MeldCorpus(root).read(), None)
    counts = state_counts(corpus.manifest)
    assert counts.loc["train"].to_dict() == {
        "rows": 5,
        "kept": 2,
        "corrupt container": 1,
        "missing clip": 1,
        "missing field": 1,
    }
    assert counts.loc["all", ["rows", "kept"]].tolist() == [15, 12]
    skipped = pd.read_csv(corpus.folder / "skipped.csv").set_index("key")
    assert str(clips / "dia0_utt1.mp4") in skipped.loc["train/dia0_utt1", "detail"]
    assert skipped.loc["train/dia0_utt0", "reason"] == "missing clip"


def test_processes_give_the_same_bytes_as_one(make_meld: MeldMaker, tmp_path: Path) -> None:
    annotations = MeldCorpus(make_meld(per_split=10)).read()
    one = Preparer(tmp_path / "one", num_workers=0).prepare(annotations, None)
    two = Preparer(tmp_path / "two", num_workers=2).prepare(annotations, None)
    assert contents(one.folder) == contents(two.folder)


def test_preparing_twice_does_nothing(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = MeldCorpus(make_meld()).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    folder = preparer.prepare(annotations, None).folder
    times = {name: (folder / name).stat().st_mtime_ns for name in FILES}
    monkeypatch.setattr(clip_worker, "decode", None)
    preparer.prepare(annotations, None)
    assert {name: (folder / name).stat().st_mtime_ns for name in FILES} == times


def test_only_a_changed_clip_is_prepared_again(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_meld()
    clip = root / "train_splits" / "dia0_utt1.mp4"
    content = clip.read_bytes()
    clip.unlink()
    annotations = MeldCorpus(root).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    assert len(preparer.prepare(annotations, None).kept) == 14
    clip.write_bytes(content)
    decoded = []
    monkeypatch.setattr(clip_worker, "decode", counting(decoded))
    corpus = preparer.prepare(annotations, None)
    assert decoded == [clip]
    assert len(corpus.kept) == 15
    row = corpus.manifest.set_index("key").loc["train/dia0_utt1"]
    expected = torch.from_numpy(resample(decode(clip).waveform, 48_000, 16_000))
    found = corpus.read(row["audio_file"], row["offset"], row["num_samples"])
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)


def test_prepared_corpus_outlives_its_clips(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld()
    annotations = MeldCorpus(root).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    preparer.prepare(annotations, None)
    for clip in root.glob("*/*.mp4"):
        clip.unlink()
    assert len(preparer.prepare(annotations, None).kept) == 15


def test_all_clips_missing_is_an_error_that_names_the_reasons(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    annotations = MeldCorpus(make_meld(clips=False)).read()
    with pytest.raises(InputError, match=r"skipped\.csv: expected at least one clip with sound"):
        Preparer(tmp_path / "p", num_workers=0).prepare(annotations, None)


def test_unwritable_folder_is_found_before_any_clip(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"preparer\.folder: expected a folder that can be wri"):
        Preparer(tmp_path / "file" / "p").check(None)


def test_a_full_disk_keeps_what_is_done(
    make_meld: MeldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotations = MeldCorpus(make_meld()).read()
    preparer = Preparer(tmp_path / "p", num_workers=0)
    append = JournalWriter.append
    calls = []

    def append_until_full(writer: JournalWriter, record: Record, samples: bytes) -> None:
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        calls.append(record)
        append(writer, record, samples)

    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "append", append_until_full)
        with pytest.raises(InputError, match="No space left on device.*Finished clips are kept"):
            preparer.prepare(annotations, None)
    decoded = []
    monkeypatch.setattr(clip_worker, "decode", counting(decoded))
    assert len(preparer.prepare(annotations, None).kept) == 15
    assert len(decoded) == 11


def test_identity_follows_content_denoiser_rate_cut_and_choice(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    preparer = Preparer(tmp_path)
    root = make_meld(clips=False)
    before = MeldCorpus(root).read()
    write_csv(root / "dev_sent_emo.csv", [meld_row(0, 0, "joy", "Another text.")])
    after = MeldCorpus(root).read()
    names = {
        preparer.corpus_id(before, None),
        preparer.corpus_id(after, None),
        preparer.corpus_id(before, Halver()),
        Preparer(tmp_path, sample_rate=8_000).corpus_id(before, None),
        Preparer(tmp_path, max_duration_s=5.0).corpus_id(before, None),
        preparer.corpus_id(MeldCorpus(root, use_final_videos=True).read(), None),
    }
    assert len(names) == 6


def test_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a prepared corpus"):
        PreparedCorpus(tmp_path)


def test_quantising_clips_and_rounds() -> None:
    from mmemo.audio.clip_worker import to_int16

    samples = to_int16(np.array([0.0, 1.0, -1.0, 1.7, 0.5 / 32767 + 1e-6], np.float32))
    np.testing.assert_array_equal(samples, [0, 32767, -32767, 32767, 1])


def test_damaged_samples_are_found(make_meld: MeldMaker, tmp_path: Path) -> None:
    corpus = Preparer(tmp_path / "p", num_workers=0).prepare(MeldCorpus(make_meld()).read(), None)
    row = corpus.kept.iloc[3]
    with (corpus.folder / "audio.i16").open("r+b") as audio:
        audio.seek(2 * row["offset"] + 11)
        byte = audio.read(1)[0]
        audio.seek(-1, 1)
        audio.write(bytes([byte ^ 1]))
    assert PreparedCorpus(corpus.folder).damaged() == [row["key"]]


@pytest.mark.parametrize(("peak", "reason"), [(1e30, "out of scale"), (32_768.0, "out of scale")])
def test_sound_of_another_scale_is_skipped_with_its_reason(
    tmp_path: Path, peak: float, reason: str
) -> None:
    samples = np.zeros(1600, dtype="<f4")
    samples[800] = peak
    fields = (16, 3, 1, 16_000, 64_000, 4, 32)
    content = b"RIFF" + struct.pack("<I", 36 + samples.nbytes) + b"WAVEfmt "
    content += struct.pack("<IHHIIHH", *fields) + b"data" + struct.pack("<I", samples.nbytes)
    content += samples.tobytes()
    worker = clip_worker.ClipWorker(Halver(), 16_000, 30.0)
    record, data = worker.prepare(Clip("k", "a.wav", len(content), content=content))
    assert (record.status, record.reason, data) == ("skipped", reason, b"")
    assert f"a.wav: samples up to {peak:.3g} where full scale is 1" in record.detail
