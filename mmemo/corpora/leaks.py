"""Whether utterances stand in two splits, and the stamp of a protocol that lets them."""

from __future__ import annotations

import os
import stat
import zlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmemo.errors import InputError

if TYPE_CHECKING:
    # The stamp is written where a second counts, and pandas takes half of one.
    import pandas as pd

    from mmemo.corpora.splits import SplitProtocol

LEAKY = "LEAKY"
EVALUATED_SPLITS = ("val", "test")

REASONS = {
    "utterance": "",
    "file": " (one file)",
    "sound": " (the same sound: equal checksum and length)",
}
"""What makes two rows one utterance or clip, for the message."""


def protocol_stamp(name: str, leaky: bool) -> str:
    """How a split protocol is called wherever its numbers stand: ``official``, ``… (LEAKY)``."""
    return f"{name} ({LEAKY})" if leaky else name


def leak_shares(rows: pd.DataFrame) -> dict[str, float]:
    """For validation and test, the share of rows whose utterance or clip is in training too.

    Args:
        rows: Rows of all splits, as ``check_disjoint`` takes them.
    """
    is_trained = rows["split"].isin([])
    for names in _identities(rows).values():
        trained = set(names[rows["split"] == "train"].dropna())
        is_trained |= names.isin(trained)
    shares = is_trained.groupby(rows["split"]).mean()
    return {split: float(shares.get(split, 0.0)) for split in EVALUATED_SPLITS}


def check_disjoint(rows: pd.DataFrame, protocol: SplitProtocol) -> None:
    """Refuse splits that share an utterance or a clip, unless the protocol says that they do.

    A clip is known by its file, whatever name leads there, and by its prepared sound.

    Args:
        rows: Rows of all splits: key, split, source_key; of clips media_path; of prepared ones
            crc32 and num_samples.
        protocol: What assigned them.

    Raises:
        InputError: If a source utterance, a file or a sound stands in two splits.
    """
    if protocol.leaky:
        return
    for what, names in _identities(rows).items():
        shared = rows["split"].groupby(names, sort=False).nunique()
        shared = shared[shared > 1]
        if shared.empty:
            continue
        held = rows[names == shared.index[0]]
        places = ", ".join(f"{s} ({k})" for s, k in zip(held["split"], held["key"], strict=True))
        column = "source_key" if what == "utterance" else "media_path"
        first = " = ".join(dict.fromkeys(held[column].astype(str)))
        raise InputError(
            f"split={protocol.name}: expected each source utterance in one split only, {first} is "
            f"in {places}; {len(shared)} in all{REASONS[what]}. Remove them from all splits but "
            "one, or train with every number stamped LEAKY: +split.leaky=true +run_mark=-LEAKY"
        )


def same_clips(rows: pd.DataFrame, others: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of a clip that others are of too: one file, or one sound.

    Args:
        rows: Rows: source_key, media_path; of prepared ones crc32, num_samples.
        others: Such rows, perhaps of another corpus.
    """
    import pandas as pd

    # Together: what is silent is told by the lengths that are there twice.
    names = _identities(pd.concat([rows, others], ignore_index=True))
    is_same = pd.Series(False, index=rows.index)
    for found in (names[what] for what in ("file", "sound") if what in names):
        ours, theirs = found.iloc[: len(rows)], found.iloc[len(rows) :]
        is_same |= (ours.notna() & ours.isin(theirs.dropna())).to_numpy(dtype=bool)
    return is_same


def _identities(rows: pd.DataFrame) -> dict[str, pd.Series[str]]:
    """Names under which two rows are the same utterance or clip; missing where there is none."""
    found = {"utterance": rows["source_key"].astype(str)}
    if "media_path" in rows:
        files = rows["media_path"].map(_file_name).mask(rows["media_path"] == "")
        found["file"] = _stretches(files, rows) if "clip_start_s" in rows else files
    if "crc32" in rows:
        sound = rows["crc32"].astype(str) + "/" + rows["num_samples"].astype(str)
        found["sound"] = sound.mask(_is_silent(rows))
    return found


def _stretches(files: pd.Series[str], rows: pd.DataFrame) -> pd.Series[str]:
    """Names of files, and of the stretches of one that overlap: others share no sound."""
    times = rows[["clip_start_s", "clip_end_s"]].astype(float)
    cut = files[times.notna().any(axis=1)]
    is_cut = files.isin(cut.dropna())
    if not is_cut.any():
        return files
    table = times[is_cut].fillna({"clip_start_s": 0.0, "clip_end_s": np.inf})
    table = table.assign(file=files[is_cut]).sort_values(["file", "clip_start_s"])
    latest = table.groupby("file")["clip_end_s"].transform(lambda ends: ends.cummax().shift())
    begins = ~(table["clip_start_s"] < latest)
    number = begins.groupby(table["file"]).cumsum()
    names = table["file"].astype(str) + " stretch " + number.astype(str)
    return files.mask(is_cut, names.reindex(files.index))


def _file_name(path: object) -> str:
    """The same for one file, reached by whatever links, hard or symbolic, and ``..``."""
    name = str(path)
    try:
        state = os.stat(name)  # noqa: PTH116 (a Path for each of 200,000 clips takes seconds)
    except (OSError, ValueError):
        # Archived, say: what leads there may still be written in two ways.
        folder, _, last = name.rpartition("/")
        return f"{_real_folder(folder)}/{last}"
    return f"{state.st_dev}:{state.st_ino}" if stat.S_ISREG(state.st_mode) else name


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return str(Path(folder or "/").resolve())


def _is_silent(rows: pd.DataFrame) -> pd.Series[bool]:
    """Rows without sound, or of nothing but zeros: two of them need not be one clip."""
    lengths = rows["num_samples"].fillna(0).astype(int)
    zeros = {
        length: zlib.crc32(np.zeros(length, np.int16).tobytes())
        for length in lengths[lengths.duplicated(keep=False)].unique()
    }
    return (lengths == 0) | (rows["crc32"] == lengths.map(zeros))
