"""How far an input lies from what a model was trained on, as the model sees it.

Source: Lee, Lee, Lee and Shin 2018, "A simple unified framework for detecting out-of-distribution
samples and adversarial attacks": the Mahalanobis distance of an embedding to the nearest class'
mean, with one covariance of all classes. That is shrunk here (Ledoit and Wolf 2004), as
embeddings have more features than small splits have utterances.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmemo.documents import damaged, reason
from mmemo.evaluation.confusion_scores import Floats
from mmemo.evaluation.row_intervals import share_interval
from mmemo.evaluation.run_metrics import ShiftMetrics
from mmemo.evaluation.units import UNIT, Units
from mmemo.folders import written_whole

FAR_SHARE = 0.99
"""Inputs that are farther than this share of validation count as far."""

MAX_TRAIN = 2000
"""Training utterances, drawn at random, that are enough for means and covariance."""

AGAIN = "write it again with `mmemo evaluate run=DIR`"

UNREADABLE = (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError)

ARRAYS = ("means", "whitening", "val_distances", "num_train")


@dataclass(frozen=True)
class TrainingEmbeddings:
    """What of the training split's embeddings distances need.

    Args:
        means: (K, D), of each class that occurs.
        whitening: (D, D), a matrix W for which W W' is the inverse of the shrunk covariance.
        val_distances: (N,), of validation, rising; empty before they are known.
        num_train: Utterances that this is of.
    """

    means: Floats
    whitening: Floats
    val_distances: Floats
    num_train: int

    @classmethod
    def of(cls, embeddings: Floats, target: NDArray[np.int64]) -> TrainingEmbeddings | None:
        """From embeddings (N, D) and class numbers (N,); None where none differs from another."""
        # Imported where it is needed: it takes a second.
        from sklearn.covariance import ledoit_wolf

        classes, number = np.unique(target, return_inverse=True)
        means = np.stack(
            [embeddings[number == place].mean(axis=0) for place in range(len(classes))]
        )
        centred = embeddings - means[number]
        covariance, _ = ledoit_wolf(centred, assume_centered=True)
        values, vectors = np.linalg.eigh(covariance)
        if not np.isfinite(values).all() or values[-1] <= 0:
            return None
        # A feature that never varied is no infinite surprise.
        values = np.maximum(values, values[-1] * np.finfo(np.float32).eps)
        return cls(means, vectors / np.sqrt(values), np.zeros(0), len(embeddings))

    def distances(self, embeddings: Floats) -> Floats:
        """Mahalanobis distance of each embedding (N, D) to the nearest class' mean: (N,)."""
        given, means = embeddings @ self.whitening, self.means @ self.whitening
        squares = np.square(given[:, None, :] - means[None]).sum(axis=2)
        nearest: Floats = np.sqrt(squares.min(axis=1))
        return nearest

    @property
    def far_distance(self) -> float:
        """What is beyond it is farther than ``FAR_SHARE`` of validation."""
        place = int(np.ceil(round(FAR_SHARE * len(self.val_distances), 9)))
        return float(self.val_distances[place - 1])

    def farther_than(self, distances: Floats) -> Floats:
        """Share of validation that is nearer than each distance: (N,) to (N,)."""
        nearer = np.searchsorted(self.val_distances, distances, side="left")
        share: Floats = nearer / len(self.val_distances)
        return share

    def write(self, path: Path) -> None:
        """Write it as NumPy's archive, which needs no pickle."""
        with written_whole(path) as place:
            np.savez(
                place,
                means=self.means,
                whitening=self.whitening.astype(np.float32),
                val_distances=self.val_distances,
                num_train=self.num_train,
            )

    @classmethod
    def read(cls, path: Path) -> TrainingEmbeddings:
        """Read it back.

        Raises:
            InputError: If it is damaged.
        """
        what = "what the run knows of the training split's embeddings"
        try:
            with np.load(path, allow_pickle=False) as found:
                means, whitening, val, num = (
                    np.asarray(found[name], dtype=np.float64) for name in ARRAYS
                )
        except (*UNREADABLE, zipfile.BadZipFile) as error:
            raise damaged(path, what, f"it cannot be read: {reason(error)}", AGAIN) from error
        size = whitening.shape[0] if whitening.ndim == 2 else -1
        is_whole = whitening.shape == (size, size) and means.ndim == 2 and means.shape[1] == size
        if not is_whole or val.ndim != 1 or not len(val) or not len(means) or num.ndim:
            raise damaged(path, what, "its arrays do not fit together", AGAIN)
        return cls(means, whitening, np.sort(val), int(num))


def shift_metrics(
    known: TrainingEmbeddings, test: pd.DataFrame, distances: Floats, unit: str
) -> ShiftMetrics:
    """How far test lies from training, and what that costs.

    Args:
        known: Of the training split and validation.
        test: Prediction table of test, with the column ``unit``.
        distances: (N,), of its rows.
        unit: What the column names.
    """
    far = known.farther_than(distances) >= FAR_SHARE
    right = (test["target"].astype(str) == test["pred"].astype(str)).to_numpy()
    units = Units.of(unit, test, [UNIT])
    return ShiftMetrics(
        num_train=known.num_train,
        num_features=len(known.whitening),
        far_share=FAR_SHARE,
        threshold=known.far_distance,
        val_median=float(np.median(known.val_distances)),
        test_median=float(np.median(distances)),
        test_share_far=float(far.mean()),
        test_interval=share_interval(far, units),
        accuracy_near=float(right[~far].mean()) if (~far).any() else None,
        accuracy_far=float(right[far].mean()) if far.any() else None,
    )
