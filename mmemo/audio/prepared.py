"""A prepared corpus on disk: one file of samples, a journal, a manifest.

``audio.i16``
    16-bit samples of all kept utterances, one after the other, mono, at one rate.
``journal.jsonl``
    One line for each utterance that was finished, written after its samples: what a killed
    preparation continues from. A later line for the same key replaces an earlier one.
``manifest.parquet``
    One row for each annotated row: the utterance, its state, and where its samples are.
``skipped.csv``
    The rows of the manifest that were left out, with their reasons.
``meta.json``
    What the corpus was made from.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmemo.errors import InputError

FULL_SCALE = 32767

AUDIO_FILE = "audio.i16"
JOURNAL_FILE = "journal.jsonl"
MANIFEST_FILE = "manifest.parquet"
SKIPPED_FILE = "skipped.csv"
META_FILE = "meta.json"


def to_int16(waveform: Tensor) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Quantise (T,) float in [-1, 1]; what lies outside is clipped."""
    scaled = (waveform.clamp(-1.0, 1.0) * FULL_SCALE).round().to(torch.int16)
    samples: np.ndarray[tuple[int], np.dtype[np.int16]] = scaled.numpy()
    return samples


class PreparedCorpus:
    """Reader of a prepared corpus.

    Args:
        folder: The folder of one prepared corpus.

    Raises:
        InputError: If the folder holds no complete prepared corpus.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / MANIFEST_FILE).is_file():
            raise InputError(
                f"{folder}: expected a prepared corpus with its {MANIFEST_FILE}, found none; "
                "run `mmemo prepare` with the same corpus and denoiser"
            )
        self.meta: dict[str, Any] = json.loads((folder / META_FILE).read_text(encoding="utf-8"))
        self.manifest = pd.read_parquet(folder / MANIFEST_FILE)

    @property
    def sample_rate(self) -> int:
        """Rate of the samples, in Hz."""
        return int(self.meta["sample_rate"])

    @property
    def kept(self) -> pd.DataFrame:
        """Rows of the manifest that have sound, in corpus order."""
        return self.manifest[self.manifest["status"] == "kept"].reset_index(drop=True)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any kept utterance or its samples."""
        columns = ["key", "emotion", "speaker", "transcript", "num_samples", "crc32"]
        text = self.kept[columns].to_json(orient="values")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @cached_property
    def _samples(self) -> np.memmap[Any, np.dtype[np.int16]]:
        return np.memmap(self.folder / AUDIO_FILE, dtype=np.int16, mode="r")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory map out: each process opens its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_samples"}

    def read(self, offset: int, num_samples: int) -> Tensor:
        """Samples of one utterance as (T,) float32 in [-1, 1].

        Args:
            offset: First sample, from the manifest.
            num_samples: How many, from the manifest.
        """
        samples = self._samples[offset : offset + num_samples]
        return torch.from_numpy(samples.astype(np.float32)) / FULL_SCALE

    def damaged(self) -> list[str]:
        """Keys of the kept utterances whose samples are missing or not those that were written."""
        rows = self.kept
        columns = (rows[name] for name in ("key", "offset", "num_samples", "crc32"))
        damaged = []
        with (self.folder / AUDIO_FILE).open("rb") as file:
            for key, offset, num_samples, crc32 in zip(*columns, strict=True):
                file.seek(2 * offset)
                samples = file.read(2 * num_samples)
                if len(samples) < 2 * num_samples or zlib.crc32(samples) != crc32:
                    damaged.append(key)
        return damaged

    def counts(self) -> pd.DataFrame:
        """Rows read, kept and skipped by reason, one row for each split and one for all."""
        state = self.manifest["reason"].where(self.manifest["status"] == "skipped", "kept")
        table = pd.crosstab(self.manifest["split"], state).reindex(self.manifest["split"].unique())
        if "kept" not in table:
            table["kept"] = 0
        table = table[["kept", *sorted(set(table.columns) - {"kept"})]]
        table.insert(0, "rows", table.sum(axis=1))
        table.loc["all"] = table.sum()
        table.index.name = "split"
        return table.rename_axis(columns=None)
