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
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from pydantic import PositiveInt

from mmemo.audio.denoisers import Denoiser
from mmemo.corpora.agreement import Agreement
from mmemo.corpora.annotations import OWN_SPLIT, Annotations
from mmemo.corpora.facts import CorpusFacts
from mmemo.documents import read_document
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
COLUMNS = (
    *("key", "split", "status", "reason", "detail", "emotion", "speaker", "transcript"),
    *("audio_file", "offset", "num_samples", "crc32", "source_duration_s"),
)
"""Those of the manifest that everything needs."""

MANIFEST_VERSION = 2
ADDED_COLUMNS = {"num_packets": "Int64", "num_bad_packets": "Int64", "note": "object"}
"""What manifests of version 1 lack: there damage was not counted. It is empty then."""

AGAIN = "`mmemo prepare` with the same corpus and denoiser writes it again"


@dataclass(frozen=True)
class PreparedMeta:
    """``meta.json``: what a prepared corpus was made from.

    Args:
        corpus: Its name.
        annotations_digest: Changes with any annotated row.
        split_origin: Who made the corpus' own splits.
        num_repaired: Rows of each split with text of a wrong encoding that was repaired.
        denoiser: Name of the denoiser; None for none.
        denoiser_version: Names everything that the denoiser's output depends on.
        sample_rate: Rate of the samples, in Hz.
        max_duration_s: Longer sound was cut there.
        has_sound: False for a corpus of transcripts alone.
        facts: What is documented of the corpus; None where nothing is.
        agreement: Of raters, where several labelled a clip.
        manifest_version: Of the manifest's columns.
    """

    VERSION: ClassVar[int] = 1

    corpus: str
    annotations_digest: str
    split_origin: str
    num_repaired: dict[str, int]
    denoiser: str | None
    denoiser_version: str | None
    sample_rate: PositiveInt
    max_duration_s: float
    has_sound: bool = True
    facts: CorpusFacts | None = None
    agreement: Agreement | None = None
    manifest_version: PositiveInt = 1

    @classmethod
    def of(
        cls,
        annotations: Annotations,
        sample_rate: int,
        max_duration_s: float,
        denoiser: Denoiser | None = None,
        has_sound: bool = True,
    ) -> PreparedMeta:
        """What is made of annotations by a denoiser, or by none."""
        return cls(
            corpus=annotations.corpus,
            annotations_digest=annotations.digest(),
            split_origin=annotations.split_origin,
            num_repaired=dict(annotations.num_repaired),
            denoiser=denoiser.name if denoiser else None,
            denoiser_version=denoiser.version if denoiser else None,
            sample_rate=sample_rate,
            max_duration_s=max_duration_s,
            has_sound=has_sound,
            facts=annotations.facts,
            agreement=annotations.agreement,
            manifest_version=MANIFEST_VERSION,
        )

    @property
    def has_own_split(self) -> bool:
        """Whether the corpus has split its rows itself."""
        return self.split_origin == OWN_SPLIT


def read_meta(folder: Path) -> PreparedMeta:
    """What a prepared corpus was made from.

    Raises:
        InputError: If the file is missing or damaged.
    """
    what = "what the corpus was prepared from"
    meta = read_document(folder / META_FILE, PreparedMeta, what, AGAIN, unnumbered=1)
    if meta.manifest_version > MANIFEST_VERSION:
        raise InputError(
            f"{folder}: expected a prepared corpus whose manifest is of version "
            f"{MANIFEST_VERSION} at most, got version {meta.manifest_version}; use the mmemo that "
            "wrote it, or name another folder with preparer.folder=DIR"
        )
    return meta


def read_manifest(folder: Path) -> pd.DataFrame:
    """The table of a prepared corpus; the checksums of its pages are checked.

    Raises:
        InputError: If the file is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        manifest: pd.DataFrame = table.to_pandas()
        lacking = [name for name in COLUMNS if name not in manifest]
        if lacking:
            raise ValueError(f"without {', '.join(lacking)}")
        for name, kind in ADDED_COLUMNS.items():
            if name not in manifest:
                manifest[name] = pd.Series(None, manifest.index, dtype=kind)
    # What Arrow raises for a damaged file is not told anywhere.
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{path}: expected the table of a prepared corpus, cannot read it "
            f"({type(error).__name__}: {first}); {AGAIN}"
        ) from error
    return manifest


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
        self.meta = read_meta(folder)
        self.manifest = read_manifest(folder)
        self._maps: dict[str, np.memmap[Any, np.dtype[np.int16]]] = {}
        self._checked: set[tuple[str, int]] = set()

    @property
    def sample_rate(self) -> int:
        """Rate of the samples, in Hz."""
        return self.meta.sample_rate

    @property
    def has_sound(self) -> bool:
        """False for a corpus of transcripts alone."""
        return self.meta.has_sound

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
        """Leave the memory maps out: each process opens its own, and checks what it reads."""
        return {**self.__dict__, "_maps": {}, "_checked": set()}

    @cached_property
    def _written(self) -> dict[tuple[str, int], tuple[str, int, int]]:
        """By file and offset: the key, number of samples and CRC-32 of what was written there."""
        columns = ["audio_file", "offset", "key", "num_samples", "crc32"]
        rows = self.kept[columns].itertuples(index=False, name=None)
        return {(file, offset): (key, num, crc32) for file, offset, key, num, crc32 in rows}

    def _check_samples(self, audio_file: str, offset: int) -> None:
        """Check an utterance's samples when they are first read in this process.

        Raises:
            InputError: If they are not those that were written.
        """
        place = (audio_file, offset)
        if place in self._checked or place not in self._written:
            return
        key, num_samples, crc32 = self._written[place]
        if zlib.crc32(self.samples(audio_file, offset, num_samples).tobytes()) != crc32:
            raise InputError(
                f"{self.folder / audio_file}: expected the sound of {key} that was written when "
                "it was prepared, got another; `mmemo audit prepared=DIR` tells which are changed. "
                "Remove the folder and run `mmemo prepare` again"
            )
        self._checked.add(place)

    def samples(
        self, audio_file: str, offset: int, num_samples: int
    ) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        """Samples of one utterance (T,) as they are kept, unchecked; arguments as of ``read``."""
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
            InputError: If the corpus has no sound, or another than was prepared.
        """
        import torch

        samples = self.checked_samples(audio_file, offset, num_samples)
        return torch.from_numpy(samples.astype(np.float32)) / FULL_SCALE

    def checked_samples(
        self, audio_file: str, offset: int, num_samples: int
    ) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
        """Samples of one utterance (T,) as they are kept; arguments and errors as of ``read``."""
        self.check_sound()
        self._check_samples(audio_file, offset)
        return self.samples(audio_file, offset, num_samples)

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
            samples = self.samples(audio_file, offset, num_samples) if readable else None
            if samples is None or zlib.crc32(samples.tobytes()) != crc32:
                keys.append(str(key))
        return keys
