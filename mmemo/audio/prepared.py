"""A prepared corpus on disk: one file of samples for each shard, its journal, a manifest.

``audio.i16``, or ``audio-0-of-4.i16`` and so on
    16-bit samples of the kept utterances, one after the other, mono, at one rate.
``audio.jsonl`` and so on
    The journal of the file of that name: one line for each utterance that was finished, written
    after its samples; what a killed preparation continues from.
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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mmemo.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

FULL_SCALE = 32767
BYTES_PER_SAMPLE = 2

AUDIO_SUFFIX = ".i16"
JOURNAL_SUFFIX = ".jsonl"
MANIFEST_FILE = "manifest.parquet"
SKIPPED_FILE = "skipped.csv"
META_FILE = "meta.json"


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
        self._maps: dict[str, np.memmap[Any, np.dtype[np.int16]]] = {}

    @property
    def sample_rate(self) -> int:
        """Rate of the samples, in Hz."""
        return int(self.meta["sample_rate"])

    @property
    def has_sound(self) -> bool:
        """False for a corpus of transcripts alone."""
        return bool(self.meta.get("has_sound", True))

    @property
    def kept(self) -> pd.DataFrame:
        """Rows of the manifest that can be used, in corpus order."""
        return self.manifest[self.manifest["status"] == "kept"].reset_index(drop=True)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change with any kept utterance or its samples."""
        columns = ["key", "emotion", "speaker", "transcript", "num_samples", "crc32"]
        text = self.kept[columns].to_json(orient="values")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory maps out: each process opens its own."""
        return {**self.__dict__, "_maps": {}}

    def _samples(
        self, audio_file: str, offset: int, num_samples: int
    ) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        if audio_file not in self._maps:
            path = self.folder / audio_file
            size = path.stat().st_size // BYTES_PER_SAMPLE
            self._maps[audio_file] = np.memmap(path, dtype="<i2", mode="r", shape=(size,))
        samples: np.ndarray[tuple[int], np.dtype[np.int16]] = self._maps[audio_file][
            offset : offset + num_samples
        ]
        return samples

    def read(self, audio_file: str, offset: int, num_samples: int) -> Tensor:
        """Samples of one utterance as (T,) float32 in [-1, 1].

        Args:
            audio_file: Name of the file with them, from the manifest.
            offset: First sample there, from the manifest.
            num_samples: How many, from the manifest.

        Raises:
            InputError: If the corpus has no sound.
        """
        self.check_sound()
        import torch

        samples = self._samples(audio_file, offset, num_samples)
        return torch.from_numpy(samples.astype(np.float32)) / FULL_SCALE

    def check_sound(self) -> None:
        """Tell where there is no sound.

        Raises:
            InputError: If the corpus is one of transcripts alone.
        """
        if not self.has_sound:
            raise InputError(
                f"{self.folder}: expected a prepared corpus with sound, it is of transcripts "
                "alone; prepare the clips: corpus.root=DIR"
            )

    def check_size(self) -> None:
        """Find files that are missing or were cut short, as by an interrupted copy.

        Raises:
            InputError: If one is.
        """
        ends = (self.kept["offset"] + self.kept["num_samples"]).groupby(self.kept["audio_file"])
        for audio_file, end in ends.max().items():
            path = self.folder / str(audio_file)
            found = path.stat().st_size if path.is_file() else 0
            if found < end * BYTES_PER_SAMPLE:
                raise InputError(
                    f"{path}: expected at least {end * BYTES_PER_SAMPLE} bytes of prepared sound, "
                    f"found {found}; copy the folder again, or remove it and run `mmemo prepare`"
                )

    def damaged(self) -> list[str]:
        """Keys of the kept utterances whose samples are not those that were written."""
        columns = ["key", "audio_file", "offset", "num_samples", "crc32"]
        keys = []
        for key, audio_file, offset, num_samples, crc32 in self.kept[columns].itertuples(
            index=False, name=None
        ):
            path = self.folder / audio_file
            readable = path.is_file() and path.stat().st_size >= BYTES_PER_SAMPLE
            samples = self._samples(audio_file, offset, num_samples) if readable else None
            if samples is None or zlib.crc32(samples.tobytes()) != crc32:
                keys.append(str(key))
        return keys
