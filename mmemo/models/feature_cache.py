"""Features of frozen encoders, computed once and kept on disk for all runs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Subset

from mmemo.data.batch import AudioInput, Batch, Example, TextInput
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.frontends import Tokens
from mmemo.data.utterances import UtteranceDataset
from mmemo.folders import writable_folder, written_whole
from mmemo.locks import exclusive
from mmemo.models.protocols import AudioEncoder, TextEncoder
from mmemo.progress import progress_bar

log = logging.getLogger(__name__)

SAVE_EVERY = 32
"""Batches after which what is computed is saved: more is not lost by a kill."""

Encode = Callable[[Batch], Iterable[tuple[str, Tensor]]]


class FeatureCache:
    """Keeps a folder of features for each encoder and its settings.

    Features of sound are also kept apart by prepared corpus, those of text by their tokens alone.

    Args:
        folder: Where the features are kept.
        batch_size: Utterances that are encoded at a time.
    """

    def __init__(self, folder: str | Path, batch_size: int = 8) -> None:
        self.folder = Path(folder)
        self.batch_size = batch_size

    def audio_features(
        self,
        encoder: AudioEncoder,
        settings: str,
        datamodule: EmotionDataModule,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Pooled features (N, D) of the sound of every utterance, by source key.

        But of those whose sound is another in each epoch.

        Args:
            encoder: A frozen audio encoder. Its ``packages``, if any, are installed ones that
                its features depend on too.
            settings: All of its settings; with its weights they name the folder.
            datamodule: Whose utterances are encoded, and the prepared corpus they are from.
            device: Where to encode.
        """
        parts = [_sound_alone(part) for part in datamodule.with_constant_sound().values()]
        sources = [key for part in parts for key in part.source_keys]
        source_of = dict(zip((key for part in parts for key in part.keys), sources, strict=True))
        places = {source: place for place, source in reversed(list(enumerate(sources)))}
        max_samples = parts[0].max_samples
        made_of = [settings, datamodule.prepared.digest(), str(max_samples)]

        def batches(missing: list[str]) -> Iterable[Batch]:
            return DataLoader(
                Subset(ConcatDataset(parts), [places[key] for key in missing]),
                batch_size=self.batch_size,
                num_workers=datamodule.num_workers,
                collate_fn=datamodule.collator,
            )

        def encode(batch: Batch) -> Iterable[tuple[str, Tensor]]:
            pooled = encoder.pooled_layers(cast(AudioInput, batch.audio).to(device))
            return zip((source_of[key] for key in batch.keys), pooled.float().cpu(), strict=True)

        model = cast(nn.Module, encoder).to(device)
        return self._features(model, made_of, list(places), batches, encode)

    def text_features(
        self,
        encoder: TextEncoder,
        settings: str,
        datamodule: EmotionDataModule,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Pooled features (N, D) of the text of every utterance, by key.

        Args:
            encoder: A frozen text encoder, fitted.
            settings: All of its settings; with its weights they name the folder.
            datamodule: Whose utterances are encoded.
            device: Where to encode.
        """
        tokens = {
            key: part.tokens(index)
            for part in datamodule.datasets.values()
            for index, key in enumerate(part.keys)
        }
        names = {key: _name(given) for key, given in tokens.items()}
        distinct = {names[key]: given for key, given in tokens.items()}

        def batches(missing: list[str]) -> Iterator[Batch]:
            by_length = sorted(missing, key=lambda name: len(distinct[name].ids))
            for start in range(0, len(missing), self.batch_size):
                chosen = by_length[start : start + self.batch_size]
                yield datamodule.collator([_example(name, distinct[name]) for name in chosen])

        def encode(batch: Batch) -> Iterable[tuple[str, Tensor]]:
            pooled = encoder.pooled_layers(cast(TextInput, batch.text).to(device))
            return zip(batch.keys, pooled.float().cpu(), strict=True)

        model = cast(nn.Module, encoder).to(device)
        features = self._features(model, [settings], list(distinct), batches, encode)
        return {key: features[name] for key, name in names.items()}

    def _features(
        self,
        model: nn.Module,
        made_of: list[str],
        keys: list[str],
        batches: Callable[[list[str]], Iterable[Batch]],
        encode: Encode,
    ) -> dict[str, Tensor]:
        """What is kept, after what is missing was encoded and kept too."""
        folder = writable_folder(self.folder, "feature_cache.folder")
        folder /= _digest(model, made_of)
        with exclusive(folder, "encoding with the same frozen encoder"):
            known = _read(folder)
            missing = [key for key in keys if key not in known]
            if missing:
                model.eval()
                known |= _encode(len(missing), batches(missing), encode, folder)
        return {key: known[key] for key in keys}


def _encode(
    num_utterances: int, batches: Iterable[Batch], encode: Encode, folder: Path
) -> dict[str, Tensor]:
    features: dict[str, Tensor] = {}
    unsaved: dict[str, Tensor] = {}
    with torch.inference_mode(), progress_bar(num_utterances, "encoding") as bar:
        for number, batch in enumerate(batches, start=1):
            unsaved |= encode(batch)
            bar.update(len(batch))
            if number % SAVE_EVERY == 0 or len(features) + len(unsaved) == num_utterances:
                _write_part(folder, unsaved)
                features |= unsaved
                unsaved = {}
    return features


def _sound_alone(dataset: UtteranceDataset) -> UtteranceDataset:
    """The same utterances without text, each by itself, and those too that are not answered."""
    sound = copy(dataset)
    sound.tokenize = None
    sound.text_features = None
    sound.turns = sound.votes = None
    sound.targets = [0] * len(dataset)
    return sound


def _example(name: str, tokens: Tokens) -> Example:
    return Example(name, 0, None, torch.tensor(tokens.ids), own_tokens=tokens.own)


def _name(tokens: Tokens) -> str:
    return hashlib.sha256(repr((tokens.ids, tokens.own)).encode()).hexdigest()[:24]


def _digest(encoder: nn.Module, made_of: list[str]) -> str:
    """Of all that features depend on: what is trained, such as a weighting, comes after them."""
    packages = ("mmemo", "torch", "transformers", *getattr(encoder, "packages", ()))
    versions = [f"{name} {version(name)}" for name in packages]
    digest = hashlib.sha256("\n".join([*made_of, *versions]).encode())
    trained = {name for name, p in encoder.named_parameters() if p.requires_grad}
    for name, values in sorted(encoder.state_dict().items()):
        if name not in trained:
            digest.update(name.encode())
            digest.update(values.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]


def _read(folder: Path) -> dict[str, Tensor]:
    """What is kept; a damaged file is named and set aside, and its features are missing."""
    known: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.npz")):
        try:
            known |= _read_part(path)
        # What a damaged archive or array raises is not told anywhere.
        except Exception as error:
            aside = path.with_name(f"{path.name}.damaged")
            log.warning(
                "%s: expected kept features, it is damaged (%s: %s); it is set aside as %s, and "
                "its features are computed again",
                *(path, type(error).__name__, error, aside.name),
            )
            path.replace(aside)
    return known


def _read_part(path: Path) -> dict[str, Tensor]:
    """Features (layers, D) of some utterances, by name; the archive's own CRC-32 is checked."""
    with np.load(path, allow_pickle=False) as file:
        keys, features = file["keys"], file["features"]
    if keys.dtype.kind != "U" or features.dtype != np.float32 or features.ndim != 3:
        raise ValueError(f"keys are {keys.dtype}, features {features.dtype} {features.shape}")
    return dict(zip(keys.tolist(), torch.from_numpy(features), strict=True))


def _write_part(folder: Path, features: dict[str, Tensor]) -> None:
    """Write beside what is there: parts are never written again, however many there are."""
    folder.mkdir(exist_ok=True)
    number = max((int(path.stem) for path in folder.glob("*.npz")), default=-1) + 1
    with written_whole(folder / f"{number:06}.npz") as place, place.open("wb") as file:
        stacked = torch.stack(list(features.values())).numpy()
        np.savez(file, keys=np.array(list(features)), features=stacked)
