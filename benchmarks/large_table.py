"""How long `mmemo prepare` takes on a table of many short clips, and again with nothing to do.

    python benchmarks/large_table.py

The clips are noise of 0.1 s, a few files with many names. CPU time is of the command and of its
workers together; memory is that of the largest of them.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SAMPLE_RATE, DURATION_S = 16_000, 0.1
EMOTIONS = ("anger", "joy", "neutral", "sadness", "surprise")
NUM_SPEAKERS = 97
NAMES_PER_FILE = 30_000
"""A file system has a limit: 65,000 on ext4."""
NAMES_PER_FOLDER = 1000


def write_table(folder: Path, num_rows: int) -> Path:
    """The clips and their CSV, without a column of splits."""
    rng = np.random.default_rng(0)
    path = folder / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "transcript", "emotion", "speaker"])
        for row, name in enumerate(_clips(folder, num_rows, rng)):
            emotion, speaker = EMOTIONS[row % len(EMOTIONS)], f"speaker {row % NUM_SPEAKERS}"
            writer.writerow([name, f"Sentence number {row}, said once.", emotion, speaker])
    return path


def _clips(folder: Path, num_rows: int, rng: np.random.Generator) -> Iterator[str]:
    for row in range(num_rows):
        if row % NAMES_PER_FILE == 0:
            stored = folder / f"stored{row}.wav"
            _write_noise(stored, rng)
        if row % NAMES_PER_FOLDER == 0:
            clips = folder / f"clips{row // NAMES_PER_FOLDER}"
            clips.mkdir()
        os.link(stored, clips / f"{row}.wav")
        yield f"{clips.name}/{row}.wav"


def _write_noise(path: Path, rng: np.random.Generator) -> None:
    noise = 3000 * rng.standard_normal(round(DURATION_S * SAMPLE_RATE))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(noise.astype("<i2").tobytes())


def main() -> None:
    """Prepare the table, then once more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmemo-benchmark-") as temporary:
        folder = Path(temporary)
        table = write_table(folder, arguments.rows)
        command = [sys.executable, "-m", "mmemo", "prepare", "corpus=table", f"corpus.csv={table}"]
        command += [f"preparer.folder={folder / 'prepared'}", "denoiser=off"]
        for what in ("prepared", "nothing to do"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            wall_s = time.perf_counter() - start
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            told = f"{arguments.rows} rows, {what}: {wall_s:.1f} s, {cpu_s:.1f} s of CPU"
            print(f"{told}, {after.ru_maxrss / 2**20:.2f} GiB so far at most")


if __name__ == "__main__":
    main()
