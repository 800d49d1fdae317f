"""A small MELD.Raw with everything that the real one does wrong, packed and unpacked."""

import json
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.demo_clips import write_clip
from tests.audio.conftest import pack
from tests.commands.conftest import Cli
from tests.conftest import CLIP_RATE, meld_row, tone, write_csv

TRAIN, VAL, TEST = "train_splits", "dev_splits_complete", "output_repeated_splits_test"


def clip(path: Path, duration_s: float = 0.5, layout: str = "stereo") -> None:
    channels = np.tile(tone(300.0, duration_s), (6 if layout == "5.1" else 2, 1))
    write_clip(path, channels, CLIP_RATE, layout, (0, 0, 0))


def write_silent_film(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=5)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        for index in range(5):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            image.pts = index
            container.mux(video.encode(image))
        container.mux(video.encode(None))


def write_train(root: Path) -> None:
    folder = root / TRAIN
    clip(folder / "dia0_utt0.mp4", layout="5.1")
    (folder / "dia0_utt1.mp4").write_bytes(b"not a film")
    write_silent_film(folder / "dia0_utt2.mp4")
    clip(folder / "dia0_utt3.mp4", duration_s=0.04)
    clip(folder / "dia0_utt4.mp4")
    clip(folder / "dia0_utt5.mp4")
    clip(folder / "dia0_utt6.mp4", duration_s=3.0)
    clip(folder / "dia0_utt7.mp4")
    clip(folder / "dia0_utt9.mp4", duration_s=2.0)
    torn = (folder / "dia0_utt9.mp4").read_bytes()
    (folder / "dia0_utt9.mp4").write_bytes(torn[: len(torn) // 2])
    clip(folder / "dia7_utt7.mp4")
    rows = [meld_row(0, i, "joy", f"Line {i}.") for i in (0, 1, 2, 3, 6, 9)]
    rows += [meld_row(0, 4, "disgust"), meld_row(0, 5, "joy", "")]
    rows += [meld_row(0, 7, "anger", "It\x92s fine\x85")]
    write_csv(root / "train_sent_emo.csv", rows)


def write_val(root: Path) -> None:
    clip(root / VAL / "dia0_utt0.mp4")
    times = {"StartTime": "0:01:02,5", "EndTime": "00:01:02,25"}
    write_csv(root / "dev_sent_emo.csv", [meld_row(0, 0, "joy") | times, meld_row(0, 1, "joy")])


def write_test(root: Path) -> None:
    for name in ("dia0_utt0", "dia0_utt1"):
        clip(root / TEST / f"{name}.mp4")
    clip(root / TEST / "final_videos_testdia0_utt0.mp4", duration_s=0.9)
    (root / TEST / "._dia0_utt0.mp4").write_bytes(b"\x00\x05\x16\x07")
    (root / TEST / "._dia0_utt2.mp4").write_bytes(b"\x00\x05\x16\x07")
    rows = [meld_row(0, 0, "joy"), meld_row(0, 1, "anger"), meld_row(0, 2, "anger")]
    write_csv(root / "test_sent_emo.csv", rows)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("final", [False, True])
def test_every_row_ends_in_one_state(cli: Cli, tmp_path: Path, packed: bool, final: bool) -> None:
    root = tmp_path / "MELD.Raw"
    for name in (TRAIN, VAL, TEST):
        (root / name).mkdir(parents=True)
    write_train(root)
    write_val(root)
    write_test(root)
    if packed:
        pack(root)
    printed = cli(
        "prepare",
        "corpus=meld",
        f"corpus.root={root}",
        f"corpus.use_final_videos={json.dumps(final)}",
        f"cache_dir={tmp_path / 'cache'}",
        "denoiser=off",
        "preparer.num_workers=0",
        "preparer.max_duration_s=1.5",
        "min_duration_s=0.1",
    ).stdout
    assert "labels=five: 6 of 14 rows kept, 8 skipped" in printed
    assert "rows with text of a wrong encoding, repaired: 1\n" in printed
    assert "longer than 1.5 s and cut there: 1" in printed
    (folder,) = (tmp_path / "cache" / "prepared").glob("meld-*-1.5s")
    states = pd.read_csv(folder / "manifest_five.csv").set_index("key")
    expected = {
        "train/dia0_utt0": "kept",
        "train/dia0_utt1": "corrupt container",
        "train/dia0_utt2": "no audio",
        "train/dia0_utt3": "shorter than min_duration_s",
        "train/dia0_utt4": "class excluded",
        "train/row9": "missing field",
        "train/dia0_utt6": "kept",
        "train/dia0_utt7": "kept",
        "train/dia0_utt9": "corrupt container",
        "val/dia0_utt0": "kept",
        "val/dia0_utt1": "missing clip",
        "test/dia0_utt0": "kept",
        "test/dia0_utt1": "kept",
        "test/dia0_utt2": "missing clip",
    }
    found = states["reason"].where(states["status"] == "skipped", "kept").to_dict()
    assert found == expected
    assert states.loc["train/dia0_utt6", ["duration_s", "cut"]].tolist() == [1.5, True]
    assert states.loc["train/dia0_utt6", "source_duration_s"] == pytest.approx(3.0, abs=0.05)
    assert states.loc["train/dia0_utt7", "transcript"] == "It’s fine…"
    used = "final_videos_testdia0_utt0.mp4" if final else "dia0_utt0.mp4"
    assert states.loc["test/dia0_utt0", "source"].endswith(f"/{used}")
    assert ".tar.gz:" in states.loc["test/dia0_utt0", "source"] or not packed
    corpus = PreparedCorpus(folder)
    assert corpus.damaged() == []
    rows = corpus.manifest.set_index("key")
    assert rows.loc["train/dia0_utt0", "channel_layout"] == "5.1"
    assert rows.loc["val/dia0_utt0", ["start_s", "end_s"]].tolist() == [62.5, 62.25]
