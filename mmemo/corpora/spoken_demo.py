"""A small spoken corpus in MELD.Raw's layout, made on the spot and offline."""

from __future__ import annotations

import csv
import hashlib
import inspect
import shutil
import sys
import tempfile
from itertools import repeat
from pathlib import Path

import numpy as np

from mmemo.cores import num_cores
from mmemo.corpora import demo_clips, demo_script, demo_sound
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.demo_script import SPEAKERS, Line, write_script
from mmemo.corpora.meld import COLUMNS, MeldCorpus
from mmemo.corpora.meld_raw import LAYOUT
from mmemo.corpora.utterance import SPLITS
from mmemo.errors import InputError
from mmemo.folders import writable_folder
from mmemo.locks import exclusive
from mmemo.progress import progress_bar
from mmemo.values import check_seed, check_whole
from mmemo.worker_pool import WorkerPool

MIN_UTTERANCES = 30
_SENTIMENT = {"joy": "positive", "neutral": "neutral", "surprise": "positive"}


class SpokenDemoCorpus:
    """Short dialogues spoken by espeak-ng, with noise, written as .mp4 clips and three CSVs.

    Like MELD it holds one clip that is cut off in the middle of the file (the third of train),
    one that is missing (the second of val) and a stray ``._`` file. ``truth.csv`` beside the
    CSVs tells what decides each utterance's emotion.

    Args:
        folder: Where demo corpora are kept; this one gets a folder of its own in it, named by
            its size, seed and the code that made it.
        num_utterances: Rows over all splits, at least 30.
        seed: Equal seeds give equal files.
        num_workers: Processes that encode the clips.
    """

    has_clips = True

    def __init__(
        self,
        folder: str | Path,
        num_utterances: int = 600,
        seed: int = 0,
        num_workers: int | None = None,
    ) -> None:
        # So that every split has every class.
        check_whole("corpus.num_utterances", num_utterances, MIN_UTTERANCES)
        check_seed("corpus.seed", seed)
        if num_workers is not None:
            check_whole("corpus.num_workers", num_workers, 1)
        self.name = "demo"
        self.num_utterances = num_utterances
        self.seed = seed
        self.num_workers = num_workers or num_cores()
        name = f"demo-n{num_utterances}-seed{seed}-{_code_digest()}"
        self.root = Path(folder).absolute() / name

    def check(self) -> None:
        """Nothing can be missing: what is not there is made."""

    def read(self) -> Annotations:
        """Read the annotations, after making the corpus where it does not exist yet."""
        writable_folder(self.root.parent, "corpus.folder")
        try:
            with exclusive(self.root, f"making the corpus {self.root.name}"):
                if not self.root.is_dir():
                    self._make()
        except OSError as error:
            raise InputError(
                f"{self.root}: could not make the demo corpus ({error.strerror or error}); make "
                "room or name another folder with corpus.folder=DIR"
            ) from error
        return MeldCorpus(self.root, name=self.name).read()

    def _make(self) -> None:
        lines = write_script(self.num_utterances, self.seed)
        with WorkerPool(1) as pool:
            speech = pool.submit(demo_sound.speak, lines).result()
        with tempfile.TemporaryDirectory(dir=self.root.parent) as temporary:
            root = Path(temporary) / self.root.name
            for split in SPLITS:
                (root / LAYOUT[split].clips).mkdir(parents=True)
            paths = [_clip_path(root, line) for line in lines]
            seeds = np.random.default_rng(self.seed).integers(2**32, size=len(lines)).tolist()
            babble = speech[:12]
            with WorkerPool(self.num_workers) as pool:
                jobs = pool.map(_encode, lines, speech, repeat(babble), seeds, paths, chunksize=16)
                with progress_bar(len(lines), "speaking the demo corpus") as bar:
                    for _ in jobs:
                        bar.update()
            durations_s = [len(s) / demo_sound.SAMPLE_RATE for s in speech]
            _write_annotations(root, lines, durations_s)
            _write_truth(root / "truth.csv", lines)
            _plant_flaws(root, lines)
            shutil.move(root, self.root)


def _code_digest() -> str:
    digest = hashlib.sha256()
    for module in (demo_script, demo_sound, demo_clips, sys.modules[__name__]):
        digest.update(inspect.getsource(module).encode())
    return digest.hexdigest()[:8]


def _clip_path(root: Path, line: Line) -> Path:
    return root / LAYOUT[line.split].clips / f"dia{line.dialogue_id}_utt{line.utterance_id}.mp4"


def _encode(
    line: Line,
    speech: demo_sound.Samples,
    babble: list[demo_sound.Samples],
    seed: int,
    path: Path,
) -> None:
    hue = 40 + 35 * list(SPEAKERS).index(line.speaker)
    channels = demo_sound.mix(line, speech, babble, seed)
    demo_clips.write_clip(
        path, channels, demo_sound.SAMPLE_RATE, line.channel_layout, (hue, 120, 255 - hue)
    )


def _write_annotations(root: Path, lines: list[Line], durations_s: list[float]) -> None:
    for split in SPLITS:
        with (root / LAYOUT[split].annotations).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            clock_s = 60.0
            rows = [(ln, d) for ln, d in zip(lines, durations_s, strict=True) if ln.split == split]
            for number, (line, duration_s) in enumerate(rows, start=1):
                start, end = _format_time(clock_s), _format_time(clock_s + duration_s)
                clock_s += duration_s + 0.4
                sentiment = _SENTIMENT.get(line.emotion, "negative")
                episode = 1 + SPLITS.index(split) + len(SPLITS) * (line.dialogue_id // 5)
                writer.writerow(
                    [number, line.transcript, line.speaker, line.emotion, sentiment]
                    + [line.dialogue_id, line.utterance_id, 1, episode, start, end]
                )


def _format_time(time_s: float) -> str:
    whole_ms = round(time_s * 1000)
    minutes, ms = divmod(whole_ms, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d},{ms % 1000:03d}"


def _write_truth(path: Path, lines: list[Line]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "emotion", "carrier", "deciding_word", "noise", "snr_db", "layout"])
        for line in lines:
            key = f"{line.split}/dia{line.dialogue_id}_utt{line.utterance_id}"
            writer.writerow(
                [key, line.emotion, line.carrier, line.deciding_word]
                + [line.noise, line.snr_db, line.channel_layout]
            )


def _plant_flaws(root: Path, lines: list[Line]) -> None:
    """Damage what MELD itself has damaged: one clip cut off, one missing, one stray file."""
    cut_off = _clip_path(root, [line for line in lines if line.split == "train"][2])
    cut_off.write_bytes(cut_off.read_bytes()[: cut_off.stat().st_size // 2])
    _clip_path(root, [line for line in lines if line.split == "val"][1]).unlink()
    (root / LAYOUT["test"].clips / "._dia0_utt0.mp4").write_bytes(b"\x00\x05\x16\x07")
