import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import torch

from mmemo.audio.denoisers import Samples
from mmemo.audio.media import Sound, decode
from mmemo.audio.prepared import PreparedCorpus
from mmemo.audio.reading import Reading
from mmemo.corpora.meld_raw import LAYOUT

FILES = ("audio.i16", "manifest.parquet", "skipped.csv", "audio.jsonl", "meta.json")


class Halver:
    """A denoiser whose result is known: half the waveform."""

    name = "halver"
    version = "1"
    sample_rate = 24_000

    def check(self) -> None: ...

    def __call__(self, waveform: Samples) -> Samples:
        return waveform / 2


def counting(decoded: list[Path]) -> Callable[..., Sound]:
    """``decode`` that notes what it was called for."""

    def decode_and_note(
        source: str, content: bytes | None, limit_s: float, reading: Reading
    ) -> Sound:
        decoded.append(Path(source))
        return decode(source, content, limit_s, reading)

    return decode_and_note


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def pack(root: Path) -> None:
    """Put each folder of clips into its inner archive, as MELD.Raw is downloaded."""
    for layout in LAYOUT.values():
        with tarfile.open(root / layout.archive, "w:gz") as archive:
            archive.add(root / layout.clips, layout.clips)
        shutil.rmtree(root / layout.clips)


def sounds(corpus: PreparedCorpus) -> dict[str, torch.Tensor]:
    rows = corpus.kept[["key", "audio_file", "offset", "num_samples"]]
    return {key: corpus.read(*place) for key, *place in rows.itertuples(index=False, name=None)}
