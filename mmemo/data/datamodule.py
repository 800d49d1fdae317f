"""Loaders of the three splits over a prepared corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.leaks import check_disjoint, protocol_stamp
from mmemo.corpora.splits import SplitProtocol
from mmemo.corpora.utterance import SPLITS, LabelSet
from mmemo.data.batch import Batch, Collator, Example
from mmemo.data.frontends import AudioFrontend, TextFrontend
from mmemo.data.selection import kept_rows, utterance_states
from mmemo.errors import InputError

TextCleaning = Callable[[str], str]


class UtteranceDataset(Dataset[Example]):
    """Utterances of one split, preprocessed by the encoders when they are asked for.

    Args:
        rows: Rows of the prepared corpus' manifest.
        prepared: Where their sound is.
        labels: The classes; every row's label is one of them.
        audio_encoder: Whose ``preprocess`` is applied; None to leave the sound unread.
        text_encoder: Whose ``tokenize`` is applied; None to leave the text out.
        max_samples: Longer sound is cut there.
        text_cleaning: Applied before tokenising; None for the text as it stands.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        prepared: PreparedCorpus,
        labels: LabelSet,
        audio_encoder: AudioFrontend | None,
        text_encoder: TextFrontend | None,
        max_samples: int,
        text_cleaning: TextCleaning | None,
    ) -> None:
        self.rows = rows.reset_index(drop=True)
        self.prepared = prepared
        self.max_samples = max_samples
        self.preprocess = audio_encoder.preprocess if audio_encoder else None
        self.tokenize = text_encoder.tokenize if text_encoder else None
        self.keys: list[str] = self.rows["key"].tolist()
        self.targets = [labels.index(label) for label in self.rows[labels.column]]
        texts: list[str] = self.rows["transcript"].tolist()
        self.transcripts = [text_cleaning(t) for t in texts] if text_cleaning else texts
        columns = ["audio_file", "offset", "num_samples"]
        self.places = list(self.rows[columns].itertuples(index=False, name=None))
        self.audio_features: list[Tensor] | None = None

    def __len__(self) -> int:
        """Number of utterances."""
        return len(self.keys)

    def __getitem__(self, index: int) -> Example:
        """The preprocessed utterance at an index."""
        waveform = features = None
        if self.audio_features is not None:
            features = self.audio_features[index]
        elif self.preprocess is not None:
            waveform = self.preprocess(self._read(index))
        ids = self.tokenize(self.transcripts[index]) if self.tokenize else None
        input_ids = torch.tensor(ids) if ids is not None else None
        return Example(self.keys[index], self.targets[index], waveform, input_ids, features)

    def _read(self, index: int) -> Tensor:
        audio_file, offset, num_samples = self.places[index]
        return self.prepared.read(audio_file, offset, min(num_samples, self.max_samples))


class EmotionDataModule(lightning.LightningDataModule):
    """Loaders over the utterances that the label set keeps, as a split protocol splits them.

    ``states`` holds the one state of every row read, ``rows`` the rows of all splits with the
    stamp of the protocol as ``split_protocol``.

    Args:
        prepared: The prepared corpus.
        labels: The classes; utterances of others are skipped.
        audio_encoder: The model's audio encoder, or None.
        text_encoder: The model's text encoder, or None.
        batch_size: Utterances in a batch, for each process.
        eval_batch_size: The same for validation and test.
        max_duration_s: Longer sound is cut there.
        num_workers: Loader processes for each loader; 0 to load in the main process.
        seed: Decides the order of training utterances, with the epoch.
        split: Says which utterances train, validate and test.
        min_duration_s: Shorter utterances are skipped.
        text_cleaning: Applied to transcripts; None for none.

    Raises:
        InputError: If a split has no utterance of these classes, two splits share one, or the
            prepared rate is not the audio encoder's, or prepared sound is missing.
    """

    def __init__(
        self,
        prepared: PreparedCorpus,
        labels: LabelSet,
        audio_encoder: AudioFrontend | None,
        text_encoder: TextFrontend | None,
        batch_size: int,
        eval_batch_size: int,
        max_duration_s: float,
        num_workers: int,
        seed: int,
        split: SplitProtocol,
        min_duration_s: float = 0.0,
        text_cleaning: TextCleaning | None = None,
    ) -> None:
        super().__init__()
        if audio_encoder is not None and audio_encoder.sample_rate != prepared.sample_rate:
            raise InputError(
                f"{prepared.folder}: expected sound at the audio encoder's "
                f"{audio_encoder.sample_rate} Hz, got {prepared.sample_rate} Hz; set "
                f"preparer.sample_rate={audio_encoder.sample_rate}"
            )
        prepared.check_size()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.prepared = prepared
        self.labels = labels
        self.split = split
        self.states = utterance_states(
            prepared.manifest, labels, min_duration_s, prepared.sample_rate
        )
        self.rows = split.assign(kept_rows(self.states), labels.column)
        check_disjoint(self.rows, split)
        self.rows["split_protocol"] = protocol_stamp(split.name, split.leaky)
        self.datasets = {
            name: UtteranceDataset(
                self._select(name),
                prepared,
                labels,
                audio_encoder,
                text_encoder,
                max_samples=round(max_duration_s * prepared.sample_rate),
                text_cleaning=text_cleaning,
            )
            for name in SPLITS
        }
        self.collator = Collator(
            min_samples=audio_encoder.min_samples if audio_encoder else 1,
            fixed_samples=audio_encoder.fixed_samples if audio_encoder else None,
            pad_token_id=text_encoder.pad_token_id if text_encoder else 0,
        )

    def _select(self, split: str) -> pd.DataFrame:
        rows = self.rows[self.rows["split"] == split]
        if rows.empty:
            raise InputError(
                f"{self.prepared.folder}: expected utterances of the split '{split}' with the "
                f"classes {', '.join(self.labels.classes)}, found none; `mmemo prepare "
                f"labels={self.labels.name}` tells what was skipped"
            )
        return rows

    def use_audio_features(self, features: Mapping[str, Tensor]) -> None:
        """Hand out features (D,), by source key, in place of sound."""
        for dataset in self.datasets.values():
            dataset.audio_features = [features[key] for key in dataset.rows["source_key"]]

    def train_counts(self) -> list[int]:
        """How many training utterances each class has, in label order (C,)."""
        targets = self.datasets["train"].targets
        return [targets.count(index) for index in range(len(self.labels))]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled anew in every epoch, by seed and epoch alone."""
        trainer = self.trainer
        sampler: DistributedSampler[Example] = DistributedSampler(
            self.datasets["train"],
            num_replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            shuffle=True,
            seed=self.seed,
        )
        return self._loader("train", self.batch_size, sampler)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation utterances, in corpus order."""
        return self._loader("val", self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Test utterances, in corpus order."""
        return self._loader("test", self.eval_batch_size)

    def _loader(
        self, split: str, batch_size: int, sampler: DistributedSampler[Any] | None = None
    ) -> DataLoader[Batch]:
        return DataLoader(
            self.datasets[split],  # type: ignore[arg-type]
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=self.collator,
        )
