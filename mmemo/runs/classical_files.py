"""What a classical classifier leaves in a run folder beside what every run does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from mmemo.corpora.leaks import protocol_stamp
from mmemo.documents import damaged, reason
from mmemo.folders import written_whole
from mmemo.runs.run_folder import RESTORE, RunFolder

if TYPE_CHECKING:
    # Reports read these tables where nothing else needs torch.
    from mmemo.data.datamodule import EmotionDataModule
    from mmemo.models.classical import ClassicalClassifier
    from mmemo.training.classical_fit import ClassicalFit

FITTED_EPOCH = 0
"""The one epoch of a history that has none."""

MEAN, SPREAD, CHOSEN = "mean", "sd", "chosen"


def write_fit(
    folder: RunFolder,
    fit: ClassicalFit,
    datamodule: EmotionDataModule,
    classifier: ClassicalClassifier,
) -> None:
    """Write ``history.csv``, ``tuning.csv`` and, where features were selected, ``features.csv``.

    The history has one row, of the fitted classifier: comparisons and reports read it of any run.
    """
    stamp = protocol_stamp(datamodule.split.name, datamodule.split.leaky)
    history = {"epoch": FITTED_EPOCH, "step": 0, **fit.scores}
    _write(folder.history_file, pd.DataFrame([history]), stamp)
    tried = [
        {
            **{name: str(value) for name, value in setting.settings.items()},
            MEAN: setting.mean,
            SPREAD: pd.Series(setting.scores).std(ddof=0),
            CHOSEN: place == fit.chosen,
        }
        for place, setting in enumerate(fit.tried)
    ]
    _write(folder.tuning_file, pd.DataFrame(tried), stamp)
    if fit.importance is None or fit.selected is None:
        return
    names = feature_names(classifier)
    features = pd.DataFrame({"feature": names, "mean_abs_shap": fit.importance})
    features["selected"] = features.index.isin(fit.selected)
    by_importance = features.sort_values("mean_abs_shap", ascending=False, kind="stable")
    _write(folder.features_file, by_importance, stamp)


def feature_names(classifier: ClassicalClassifier) -> list[str]:
    """A name for each feature, in the order in which they stand side by side.

    An encoder's own (``feature_names``), or its modality and a number from 0.
    """
    encoders = {"audio": classifier.audio_encoder, "text": classifier.text_encoder}
    names: list[str] = []
    for modality, encoder in encoders.items():
        if encoder is None:
            continue
        numbered = [f"{modality}_{place}" for place in range(encoder.output_dim)]
        names += list(getattr(encoder, "feature_names", numbered))
    return names


def _write(path: Path, table: pd.DataFrame, stamp: str) -> None:
    table["split_protocol"] = stamp
    with written_whole(path) as place:
        table.to_csv(place, index=False)


def read_tuning(path: Path) -> list[Mapping[str, str]] | None:
    """Rows of ``tuning.csv`` as texts; None where there is none.

    Raises:
        InputError: If it is another table.
    """
    if not path.is_file():
        return None
    what = "the settings that were tried"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        missing = [name for name in (MEAN, SPREAD, CHOSEN) if name not in table]
        if missing:
            raise ValueError(f"without the columns {', '.join(missing)}")
        table[[MEAN, SPREAD]].astype(float)
    # What a parser of its own may raise is not told anywhere.
    except Exception as error:
        raise damaged(path, what, f"it cannot be read: {reason(error)}", RESTORE) from error
    rows = table.to_dict("records")
    return [{str(name): str(value) for name, value in row.items()} for row in rows]
