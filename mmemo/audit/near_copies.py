"""Clips of different splits that are the same sound though not the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FRAME_S = 0.01
MAX_SHIFT_S = 0.5
"""Clips of equal text may begin or end so much apart."""

CODEC_SHIFT_S = 0.06
"""Encoders add at most two frames of theirs, which are of 1,152 samples or fewer."""

SAME_LENGTH_S = 0.01
MIN_ENVELOPE = 0.9
MIN_CORRELATION = 0.6
"""Of the samples at the best shift. Lossy codecs keep 0.9 and more, other words stay below 0.4."""

MAX_PAIRS = 2_000_000
"""With more pairs of like length than this, those of equal text alone are compared."""

TEXT = "text, speaker and length"
SOUND = "sound"

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class NearCopy:
    """Two clips of different splits that seem to be one.

    Args:
        keys: Keys of the two utterances.
        labels: The label of each.
        alike: What is the same: "sound", or "text, speaker and length".
        correlation: Largest normalised cross-correlation of the samples over shifts, in [0, 1].
    """

    keys: tuple[str, str]
    labels: tuple[str, str]
    alike: str
    correlation: float


@dataclass(frozen=True)
class NearCopies:
    """What was found.

    Args:
        pairs: The most alike first.
        by_length: Whether all clips of like length were compared, or those of equal text alone.
    """

    pairs: tuple[NearCopy, ...] = ()
    by_length: bool = True


def find_near_copies(
    table: pd.DataFrame, sample_rate: int, read: Callable[[int], Samples]
) -> NearCopies:
    """Compare the clips of different splits.

    Candidates are of like length; the envelopes of their loudness, 10 ms a frame, are correlated
    over all shifts first, and the samples of those that agree after that. Clips whose samples are
    identical are no near copies.

    Args:
        table: The clips: key, split, label, text (normalised), speaker, num_samples, crc32.
        sample_rate: In Hz.
        read: The samples (T,) of the clip at a row of the table.
    """
    rows = table.reset_index(drop=True)
    lengths_s = rows["num_samples"].to_numpy(dtype=np.float64) / sample_rate
    pairs, by_length = _candidates(rows, lengths_s)
    envelopes = _Envelopes(read, round(FRAME_S * sample_rate))
    texts, speakers, keys, labels = (
        rows[name].astype(str).tolist() for name in ("text", "speaker", "key", "label")
    )
    found = []
    for first, second in pairs:
        has_same_text = (
            texts[first] == texts[second] != ""
            and speakers[first] == speakers[second]
            and abs(lengths_s[first] - lengths_s[second]) <= SAME_LENGTH_S
        )
        if not (has_same_text or envelopes.correlation(first, second) >= MIN_ENVELOPE):
            continue
        correlation = _peak(read(first), read(second))
        if correlation >= MIN_CORRELATION or has_same_text:
            alike = SOUND if correlation >= MIN_CORRELATION else TEXT
            both = (keys[first], keys[second]), (labels[first], labels[second])
            found.append(NearCopy(*both, alike, round(correlation, 3)))
    return NearCopies(tuple(sorted(found, key=lambda pair: -pair.correlation)), by_length)


def _candidates(
    rows: pd.DataFrame, lengths_s: NDArray[np.float64]
) -> tuple[Iterator[tuple[int, int]], bool]:
    order = np.argsort(lengths_s, kind="stable")
    ordered = lengths_s[order]
    ends = np.searchsorted(ordered, ordered + CODEC_SHIFT_S, side="right")
    num_pairs = int((ends - np.arange(len(order)) - 1).sum())
    by_length = num_pairs <= MAX_PAIRS
    return _differing(rows, lengths_s, order, ends if by_length else None), by_length


def _differing(
    rows: pd.DataFrame,
    lengths_s: NDArray[np.float64],
    order: NDArray[np.int64],
    ends: NDArray[np.int64] | None,
) -> Iterator[tuple[int, int]]:
    """Pairs of different splits and samples: of like length, then of equal text and near it."""
    splits = rows["split"].to_numpy()
    sounds = (rows["crc32"].astype(str) + "/" + rows["num_samples"].astype(str)).to_numpy()

    def differs(first: int, second: int) -> bool:
        return bool(splits[first] != splits[second] and sounds[first] != sounds[second])

    if ends is not None:
        for place, end in enumerate(ends):
            first = int(order[place])
            for second in map(int, order[place + 1 : end]):
                if differs(first, second):
                    yield min(first, second), max(first, second)
    least_s = CODEC_SHIFT_S if ends is not None else -1.0
    for text, group in rows.groupby("text", sort=False):
        members = group.index.to_numpy()
        for number, first in enumerate(members if text else ()):
            for second in members[number + 1 :]:
                apart_s = abs(lengths_s[first] - lengths_s[second])
                if least_s < apart_s <= MAX_SHIFT_S and differs(first, second):
                    yield int(first), int(second)


class _Envelopes:
    """Root mean squares of frames, without their mean and of norm 1; each is computed once.

    Args:
        read: The samples of a clip.
        frame: Samples of a frame.
    """

    def __init__(self, read: Callable[[int], Samples], frame: int) -> None:
        self.read = read
        self.frame = frame
        self._spectra: dict[tuple[int, int], NDArray[np.complex64]] = {}
        self._kept: dict[int, NDArray[np.float32]] = {}

    def correlation(self, first: int, second: int) -> float:
        """The largest over all shifts, in [-1, 1]."""
        longest = max(len(self._envelope(first)), len(self._envelope(second)))
        size = 1 << (2 * longest - 1).bit_length()
        product = np.conj(self._spectrum(first, size)) * self._spectrum(second, size)
        return float(np.fft.irfft(product, size).max())

    def _spectrum(self, clip: int, size: int) -> NDArray[np.complex64]:
        place = (clip, size)
        if place not in self._spectra:
            self._spectra[place] = np.fft.rfft(self._envelope(clip), size).astype(np.complex64)
        return self._spectra[place]

    def _envelope(self, clip: int) -> NDArray[np.float32]:
        if clip not in self._kept:
            sound = self.read(clip).astype(np.float32)
            frames = np.resize(sound, (max(1, len(sound) // self.frame), self.frame))
            energy = np.sqrt(np.square(frames).mean(axis=1))
            energy -= energy.mean()
            self._kept[clip] = energy / (np.linalg.norm(energy) or 1.0)
        return self._kept[clip]


def _peak(first: Samples, second: Samples) -> float:
    """Largest absolute normalised cross-correlation of two sounds over all shifts."""
    sounds = [sound.astype(np.float32) for sound in (first, second)]
    size = 1 << (sum(map(len, sounds)) - 1).bit_length()
    one, other = (np.fft.rfft(sound, size) for sound in sounds)
    norm = float(np.linalg.norm(sounds[0]) * np.linalg.norm(sounds[1]))
    return float(np.abs(np.fft.irfft(np.conj(one) * other, size)).max() / norm) if norm else 0.0
