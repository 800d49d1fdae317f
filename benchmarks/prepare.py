"""How fast a corpus of MELD's size is prepared, stage by stage, and what it costs.

    python benchmarks/prepare.py --utterances 600

Clips of MELD's own durations and channel layouts are made (the sound is noise: what it says does
not change the time), then prepared with one and with two processes. CPU time on one thread is the
steady measure; wall time is told where processes work side by side.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate
from meld_durations import NUM_UTTERANCES, draw_clips
from omegaconf import OmegaConf

from mmemo.audio.clip_worker import CUT_MARGIN_S, skipped, to_int16
from mmemo.audio.deepfilternet import DeepFilterNet
from mmemo.audio.journal import JournalWriter, Record, Shard
from mmemo.audio.media import decode, resample
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.commands.launch import config_dir
from mmemo.corpora.clips import Clip
from mmemo.corpora.demo_clips import write_clip
from mmemo.corpora.meld import COLUMNS, MeldCorpus
from mmemo.corpora.meld_raw import LAYOUT

CLIP_RATE, SAMPLE_RATE, MAX_DURATION_S = 48_000, 16_000, 30.0
EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
STAGE_CLIPS = 120
PROCESSES = (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)


def make_tree(root: Path, clips: pd.DataFrame) -> None:
    """A MELD.Raw tree; clips of equal length (to 0.05 s) and layout are one file, linked."""
    bank = root / "bank"
    bank.mkdir(parents=True)
    sizes = {"train": round(0.729 * len(clips)), "val": round(0.081 * len(clips))}
    splits = np.repeat(
        list(LAYOUT), [sizes["train"], sizes["val"], len(clips) - sum(sizes.values())]
    )
    rng = np.random.default_rng(0)
    for split, part in clips.groupby(splits, sort=False):
        layout = LAYOUT[str(split)]
        (root / layout.clips).mkdir()
        with (root / layout.annotations).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for index, (duration_s, channels) in enumerate(part.itertuples(index=False)):
                stored = bank / f"{channels}-{max(1, round(duration_s / 0.05))}.mp4"
                if not stored.exists():
                    _write_noise(stored, duration_s, channels, rng)
                os.link(stored, root / layout.clips / f"dia{index}_utt0.mp4")
                row = [index + 1, f"Line {index}.", "Ada", EMOTIONS[index % 5], "neutral", index]
                writer.writerow([*row, 0, 1, 1, "00:00:01,000", "00:00:02,000"])


def _write_noise(path: Path, duration_s: float, layout: str, rng: np.random.Generator) -> None:
    size = (6 if layout == "5.1" else 2, round(duration_s * CLIP_RATE))
    noise = 0.1 * rng.standard_normal(size, dtype=np.float32)
    write_clip(path, noise, CLIP_RATE, layout, (0, 0, 0))


def measure_stages(root: Path, denoiser: DeepFilterNet | None, folder: Path) -> pd.DataFrame:
    """Seconds of sound for each second of one core, by stage."""
    torch.set_num_threads(1)
    paths = sorted(root.glob("*/dia*_utt0.mp4"))[:STAGE_CLIPS]
    if denoiser is not None:
        denoiser(torch.zeros(CLIP_RATE))
    spent = dict.fromkeys(("decode", "denoise", "resample", "write"), 0.0)
    sound_s = 0.0
    clock = time.process_time
    folder.mkdir()
    with JournalWriter(folder, Shard(), {}) as journal:
        for number, path in enumerate(paths):
            times = [clock()]
            sound = decode(path, limit_s=MAX_DURATION_S + CUT_MARGIN_S)
            times.append(clock())
            waveform = denoiser(sound.waveform) if denoiser else sound.waveform
            times.append(clock())
            samples = to_int16(resample(waveform, CLIP_RATE, SAMPLE_RATE))
            times.append(clock())
            record = replace(
                skipped(Clip(str(number), str(path), 0), "", ""), num_samples=len(samples)
            )
            journal.append(record, samples.tobytes())
            times.append(clock())
            for stage, passed_s in zip(spent, np.diff(times), strict=True):
                spent[stage] += passed_s
            sound_s += len(sound.waveform) / sound.sample_rate
    if denoiser is None:
        del spent["denoise"]
    spent["all stages"] = sum(spent.values())
    return pd.DataFrame({"sound s per core s": {k: sound_s / v for k, v in spent.items()}})


def measure_scaling(root: Path, denoiser: DeepFilterNet | None, folder: Path) -> pd.DataFrame:
    """Clips prepared by one and by two processes, from the first finished clip to the last."""
    rows = []
    append = JournalWriter.append
    for num_workers in (1, 2):
        moments: list[float] = []
        sound_s: list[float] = []

        def append_timed(writer: JournalWriter, record: Record, samples: bytes) -> None:
            append(writer, record, samples)
            moments.append(time.monotonic())  # noqa: B023
            sound_s.append(record.num_samples / SAMPLE_RATE)  # noqa: B023

        JournalWriter.append = append_timed  # type: ignore[method-assign]
        start = time.monotonic()
        preparer = Preparer(folder / str(num_workers), SAMPLE_RATE, MAX_DURATION_S, num_workers)
        preparer.prepare(MeldCorpus(root).read(), denoiser)
        wall_s = time.monotonic() - start
        working_s = moments[-1] - moments[0]
        rows.append(
            {
                "processes": num_workers,
                "wall s": wall_s,
                "of it starting": wall_s - working_s,
                "sound s per wall s": sum(sound_s[1:]) / working_s,
            }
        )
    JournalWriter.append = append  # type: ignore[method-assign]
    table = pd.DataFrame(rows).set_index("processes")
    table["gain"] = table["sound s per wall s"] / table["sound s per wall s"].iloc[0]
    return table


def measure_rerun(
    root: Path, denoiser: DeepFilterNet | None, folder: Path, num_repeats: int
) -> float:
    """Wall seconds of ``mmemo prepare`` where nothing is to be done; median of some repeats."""
    choice = f"denoiser={denoiser.name if denoiser else 'off'}"
    command = [sys.executable, "-m", "mmemo", "prepare", "corpus=meld", f"corpus.root={root}"]
    times = []
    for _ in range(num_repeats):
        start = time.monotonic()
        subprocess.run(
            [*command, f"preparer.folder={folder}", choice], check=True, capture_output=True
        )
        times.append(time.monotonic() - start)
    return float(np.median(times))


def measure_reading(corpus: PreparedCorpus, num_reads: int = 3000) -> float:
    """CPU milliseconds to read a random utterance."""
    places = corpus.kept[["audio_file", "offset", "num_samples"]].sample(
        num_reads, replace=True, random_state=0
    )
    rows = list(places.itertuples(index=False, name=None))
    corpus.read(*rows[0])
    start = time.process_time()
    for row in rows:
        corpus.read(*row)
    return (time.process_time() - start) / num_reads * 1000


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--utterances", type=int, default=NUM_UTTERANCES)
    parser.add_argument("--facts", type=Path, help="CSV of real durations, for the recorded ones")
    parser.add_argument(
        "--denoiser", choices=["deepfilternet2", "deepfilternet3", "off"], default="deepfilternet2"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs with nothing to do")
    arguments = parser.parse_args()
    denoiser = None
    if arguments.denoiser != "off":
        cfg = OmegaConf.load(config_dir() / "denoiser" / f"{arguments.denoiser}.yaml")
        denoiser = instantiate(cfg)
        denoiser.check()
    work = Path(tempfile.mkdtemp(prefix="mmemo-benchmark-"))
    try:
        clips = draw_clips(arguments.utterances, arguments.facts)
        make_tree(work / "raw", clips)
        hours = clips["duration_s"].sum() / 3600
        print(f"{len(clips)} clips, {hours:.2f} h of sound, denoiser {arguments.denoiser}")
        print(measure_stages(work / "raw", denoiser, work / "stages").round(1).to_string())
        print(measure_scaling(work / "raw", denoiser, work / "prepared").round(2).to_string())
        peaks = [resource.getrusage(who).ru_maxrss / 2**20 for who in PROCESSES]
        print(f"peak memory: {peaks[0]:.2f} GiB a worker, {peaks[1]:.2f} GiB the main process")
        (folder,) = (work / "prepared" / "2").glob("*/manifest.parquet")
        corpus = PreparedCorpus(folder.parent)
        size = sum(path.stat().st_size for path in folder.parent.iterdir())
        print(f"size: {size / 2**20:.1f} MiB, {size / 2**20 / hours:.1f} MiB an hour of sound")
        print(f"reading a random utterance: {measure_reading(corpus):.4f} ms of CPU")
        prepared = work / "prepared" / "2"
        rerun_s = measure_rerun(work / "raw", denoiser, prepared, arguments.repeats)
        print(f"nothing to do: {rerun_s:.2f} s for {len(clips)} utterances")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
