"""Features of frozen encoders, computed once and kept on disk for all runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from copy import copy
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Subset

from mmemo.data.batch import AudioInput, Batch
from mmemo.data.datamodule import EmotionDataModule, UtteranceDataset
from mmemo.folders import writable_folder
from mmemo.progress import progress_bar

SAVE_EVERY = 32
"""Batches after which what is computed is saved: more is not lost by a kill."""


class FeatureCache:
    """Keeps one file for each encoder, its settings and the prepared corpus.

    Args:
        folder: Where the files are kept.
        batch_size: Utterances that are encoded at a time.
    """

    def __init__(self, folder: str | Path, batch_size: int = 8) -> None:
        self.folder = Path(folder)
        self.batch_size = batch_size

    def audio_features(
        self,
        encoder: nn.Module,
        settings: str,
        datamodule: EmotionDataModule,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Pooled features (D,) of every utterance of the data module, by source key.

        Args:
            encoder: A frozen audio encoder. Its ``packages``, if any, are installed ones that
                its features depend on too.
            settings: All of its settings; with its weights they name the file.
            datamodule: Whose utterances are encoded, and the prepared corpus they are from.
            device: Where to encode.
        """
        folder = writable_folder(self.folder, "feature_cache.folder")
        path = folder / f"{_digest(encoder, settings, datamodule)}.npz"
        with FileLock(f"{path}.lock"):
            known = _read(path)
            parts = [_sound_alone(part) for part in datamodule.datasets.values()]
            keys = [key for part in parts for key in part.rows["source_key"]]
            missing = {key: i for i, key in reversed(list(enumerate(keys))) if key not in known}
            if missing:
                loader: DataLoader[Batch] = DataLoader(
                    Subset(ConcatDataset(parts), list(missing.values())),
                    batch_size=self.batch_size,
                    num_workers=datamodule.num_workers,
                    collate_fn=datamodule.collator,
                )
                self._encode(encoder.to(device).eval(), device, list(missing), loader, known, path)
        return {key: known[key] for key in keys}

    def _encode(
        self,
        encoder: nn.Module,
        device: torch.device,
        keys: list[str],
        loader: Iterable[Batch],
        known: dict[str, Tensor],
        path: Path,
    ) -> None:
        remaining = iter(keys)
        with torch.inference_mode(), progress_bar(len(keys), "encoding") as bar:
            for number, batch in enumerate(loader, start=1):
                if not isinstance(batch.audio, AudioInput):
                    raise TypeError(f"expected batches with sound, got {type(batch.audio)}")
                pooled = encoder(batch.audio.to(device)).pooled.float().cpu()
                known.update(zip((next(remaining) for _ in pooled), pooled, strict=True))
                bar.update(len(pooled))
                if number % SAVE_EVERY == 0:
                    _write(path, known)
        _write(path, known)


def _sound_alone(dataset: UtteranceDataset) -> UtteranceDataset:
    """The same utterances without text, whose tokenizer may not be trained yet."""
    sound = copy(dataset)
    sound.tokenize = None
    return sound


def _digest(encoder: nn.Module, settings: str, datamodule: EmotionDataModule) -> str:
    max_samples = datamodule.datasets["train"].max_samples
    packages = ("mmemo", "torch", "transformers", *getattr(encoder, "packages", ()))
    versions = [f"{name} {version(name)}" for name in packages]
    made_of = [settings, datamodule.prepared.digest(), str(max_samples), *versions]
    digest = hashlib.sha256("\n".join(made_of).encode())
    for name, values in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        return {}
    with np.load(path) as file:
        return dict(zip(file["keys"].tolist(), torch.from_numpy(file["features"]), strict=True))


def _write(path: Path, features: dict[str, Tensor]) -> None:
    temporary = path.with_name(f"{path.stem}.tmp.npz")
    stacked = torch.stack(list(features.values())).numpy()
    np.savez(temporary, keys=np.array(list(features)), features=stacked)
    temporary.replace(path)
