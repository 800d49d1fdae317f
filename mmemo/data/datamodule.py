"""Loaders of the three splits over a prepared corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler, Subset

from mmemo.audio.perturbations import Perturbation
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.leaks import check_disjoint, leak_shares, protocol_stamp
from mmemo.corpora.splits import SplitProtocol
from mmemo.corpora.utterance import SPLITS, LabelSet
from mmemo.data.augmentation import Augmentation, Draw
from mmemo.data.batch import Batch, Collator, Example
from mmemo.data.context import check_context, dialogue_contexts, spoken_texts
from mmemo.data.dialogues import check_several_utterances, silent_rows
from mmemo.data.frontends import AudioFrontend, TextFrontend
from mmemo.data.sampling import (
    DialogueSampler,
    EvaluationSampler,
    LengthBucketSampler,
    Sampling,
    check_dialogue_sampling,
)
from mmemo.data.selection import kept_rows, utterance_states
from mmemo.data.text_cleaning import TextCleaning
from mmemo.data.utterances import SplitSounds, UtteranceDataset
from mmemo.errors import InputError
from mmemo.values import check_real, check_seed, check_whole


def check_loading(
    batch_size: int,
    eval_batch_size: int,
    max_duration_s: float,
    num_workers: int,
    bucket_batches: int,
    min_duration_s: float,
    seed: int,
) -> None:
    """Refuse numbers that no loader can work with; see ``EmotionDataModule``.

    Raises:
        InputError: If one is out of its range.
    """
    check_whole("data.batch_size", batch_size, 1)
    check_whole("data.eval_batch_size", eval_batch_size, 1)
    check_real("data.max_duration_s", max_duration_s, 0, above=True)
    check_whole("data.num_workers", num_workers, 0)
    check_whole("data.bucket_batches", bucket_batches, 0)
    check_real("min_duration_s", min_duration_s, 0)
    check_seed("seed", seed)


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
        eval_batch_size: Utterances in a batch of validation and test, for each process.
        max_duration_s: Longer sound is cut there.
        num_workers: Loader processes for each loader; 0 to load in the main process.
        seed: Decides the order of training utterances, with the epoch.
        split: Says which utterances train, validate and test.
        min_duration_s: Shorter utterances are skipped.
        text_cleaning: Applied to transcripts; None for none.
        sampling: Chooses the training utterances of each epoch; None for every one once.
        bucket_batches: Batches of training whose utterances are sorted by length together, so
            that little is padded; 0 for a plain shuffle.
        pin_memory: Whether batches are put where a GPU copies them from fastest; None to decide
            by the trainer's device.
        context_utterances: Earlier utterances of the dialogue that are read before each.
        future_utterances: Later ones that are read after it.
        speaker_names: Whether each utterance is read with its speaker's name in front.
        splits: What is loaded: test alone, where nothing is trained.
        needs_transcript: Whether utterances without a transcript are skipped.
        augmentation: What is done to the sound of training batches, by name, in this order; None
            or nothing for none.
        dialogue_batches: Whether batches are of whole dialogues, their utterances in order;
            ``batch_size`` and ``eval_batch_size`` then count dialogues. Utterances of excluded
            classes are in them, and are not answered; of another split none is.

    Raises:
        InputError: If a number is out of its range, a split has no utterance of these
            classes, two splits share one, or the prepared rate is not the audio encoder's, or
            prepared sound is missing, or there are no whole dialogues where they are wanted.
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
        sampling: Sampling | None = None,
        bucket_batches: int = 100,
        pin_memory: bool | None = None,
        context_utterances: int = 0,
        future_utterances: int = 0,
        speaker_names: bool = False,
        splits: Sequence[str] = SPLITS,
        needs_transcript: bool = False,
        augmentation: Mapping[str, Perturbation] | None = None,
        dialogue_batches: bool = False,
    ) -> None:
        super().__init__()
        if audio_encoder is not None and audio_encoder.sample_rate != prepared.sample_rate:
            raise InputError(
                f"{prepared.folder}: expected sound at the audio encoder's "
                f"{audio_encoder.sample_rate} Hz, got {prepared.sample_rate} Hz; set "
                f"preparer.sample_rate={audio_encoder.sample_rate}"
            )
        check_loading(
            batch_size,
            eval_batch_size,
            max_duration_s,
            num_workers,
            bucket_batches,
            min_duration_s,
            seed,
        )
        check_context(context_utterances, future_utterances)
        if dialogue_batches:
            check_dialogue_sampling(sampling)
        prepared.check_size()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.sampling = sampling
        self.bucket_batches = bucket_batches
        self.pin_memory = pin_memory
        self.context_utterances = context_utterances
        self.future_utterances = future_utterances
        self.speaker_names = speaker_names
        self.dialogue_batches = dialogue_batches
        self._train_sampler: LengthBucketSampler | None = None
        self._resume_point = (0, 0)
        self.prepared = prepared
        self.labels = labels
        self.split = split
        self.states = utterance_states(
            prepared.manifest, labels, min_duration_s, prepared.sample_rate, needs_transcript
        )
        self.rows = split.assign(kept_rows(self.states), labels.column)
        check_disjoint(self.rows, split)
        self.leak_shares = leak_shares(self.rows)
        self.rows["split_protocol"] = protocol_stamp(split.name, split.leaky)
        self.datasets = self._datasets(
            splits, audio_encoder, text_encoder, text_cleaning, max_duration_s, min_duration_s
        )
        if dialogue_batches and "train" in self.datasets:
            check_several_utterances(self.datasets["train"].dialogues or ())
        self.augmentation = self._augmentation(augmentation or {})
        self.collator = Collator(
            min_samples=audio_encoder.min_samples if audio_encoder else 1,
            fixed_samples=audio_encoder.fixed_samples if audio_encoder else None,
            pad_token_id=text_encoder.pad_token_id if text_encoder else 0,
        )

    def _datasets(
        self,
        splits: Sequence[str],
        audio_encoder: AudioFrontend | None,
        text_encoder: TextFrontend | None,
        text_cleaning: TextCleaning | None,
        max_duration_s: float,
        min_duration_s: float,
    ) -> dict[str, UtteranceDataset]:
        texts = spoken_texts(self.states, text_cleaning, self.speaker_names)
        every = self.rows
        if self.dialogue_batches:
            needs = (min_duration_s, audio_encoder is not None, text_encoder is not None)
            silent = silent_rows(self.states, self.rows, self.split.group_columns, *needs)
            if not silent.empty:
                every = pd.concat([self.rows, silent], ignore_index=True)
        contexts = pd.Series(
            dialogue_contexts(
                self.states,
                every,
                self.context_utterances,
                self.future_utterances,
                self.split.group_columns,
            ),
            every.index,
        )
        self.silent = every.iloc[len(self.rows) :]
        return {
            name: UtteranceDataset(
                rows,
                self.prepared,
                self.labels,
                audio_encoder,
                text_encoder,
                max_samples=round(max_duration_s * self.prepared.sample_rate),
                texts=texts,
                contexts=contexts[[*rows.index, *beside.index]].tolist(),
                split=name,
                in_dialogues=self.dialogue_batches,
                silent=beside,
            )
            for name, rows, beside in ((name, *self._select(name)) for name in splits)
        }

    def _select(self, split: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of a split, and those that are context alone."""
        rows = self.rows[self.rows["split"] == split]
        if rows.empty:
            raise InputError(
                f"{self.prepared.folder}: expected utterances of the split '{split}' with the "
                f"classes {', '.join(self.labels.classes)}, found none; `mmemo prepare "
                f"labels={self.labels.name}` tells what was skipped"
            )
        return rows, self.silent[self.silent["split"] == split]

    def _augmentation(self, perturbations: Mapping[str, Perturbation]) -> Augmentation | None:
        """What is done to training batches; the training split knows of it alone."""
        dataset = self.datasets.get("train")
        if not perturbations or dataset is None or dataset.preprocess is None:
            return None
        augmentation = Augmentation(perturbations, self.seed)
        augmentation.use_sounds(SplitSounds(copy(dataset)))
        dataset.augmentation = augmentation
        return augmentation

    def with_constant_sound(self) -> dict[str, UtteranceDataset]:
        """The splits whose sound is the same in each epoch: with augmentation, not training's."""
        changing = ("train",) if self.augmentation is not None else ()
        return {name: data for name, data in self.datasets.items() if name not in changing}

    def use_text_features(self, features: Mapping[str, Tensor]) -> None:
        """Hand out features (N, D), by key, in place of tokens."""
        for dataset in self.datasets.values():
            dataset.text_features = [features[key] for key in dataset.keys]

    def use_audio_features(self, features: Mapping[str, Tensor]) -> None:
        """Hand out features (N, D), by source key, in place of sound that is always the same."""
        for dataset in self.with_constant_sound().values():
            dataset.audio_features = [features[key] for key in dataset.source_keys]

    def train_counts(self) -> list[int]:
        """How many training utterances each class has, in label order (C,)."""
        targets = self.datasets["train"].targets
        return [targets.count(index) for index in range(len(self.labels))]

    def resume_at(self, epoch: int, num_batches: int) -> None:
        """Begin training in an epoch, after its first batches.

        To be called before ``trainer.fit``: Lightning starts the loader, whose processes then
        fetch ahead, before it restores the epoch of a checkpoint.

        Args:
            epoch: From 0.
            num_batches: Batches of each process that were trained in that epoch.
        """
        self._resume_point = (epoch, num_batches)
        if self._train_sampler is not None:
            self._train_sampler.resume_at(epoch, num_batches)

    def train_dataloader(self) -> DataLoader[Batch]:
        """This process' part of the training batches; another order in every epoch."""
        dataset = self.datasets["train"]
        num_replicas, rank = self._processes()
        self._train_sampler = LengthBucketSampler(
            dataset.batched_lengths(),
            self.batch_size,
            num_replicas,
            rank,
            self.seed,
            self.bucket_batches,
            targets=None if self.dialogue_batches else dataset.targets,
            sampling=self.sampling,
            tells_draws=self.augmentation is not None,
            unit=self._unit,
        )
        self._train_sampler.resume_at(*self._resume_point)
        return self._loader(dataset, _of_utterances(dataset, self._train_sampler))

    def whole_dataloader(self, split: str) -> DataLoader[Batch]:
        """All of a split in one process, once and not augmented, in dialogues where they are."""
        dataset = self.datasets[split]
        sampler = EvaluationSampler(
            dataset.batched_lengths(), self.eval_batch_size, unit=self._unit
        )
        return self._loader(dataset, _of_utterances(dataset, sampler))

    def val_dataloader(self) -> DataLoader[Batch]:
        """This process' part of the validation utterances, by length."""
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """This process' part of the test utterances, by length."""
        return self._evaluation_loader("test")

    def train_sample_dataloader(self, most: int) -> DataLoader[Batch]:
        """This process' part of training utterances as they are evaluated: once, not augmented.

        Args:
            most: Of more utterances so many, drawn at random; the same in each process.
        """
        dataset = self.datasets["train"]
        drawn = np.random.default_rng(0).permutation(len(dataset.rows))[:most]
        chosen = np.sort(drawn).tolist()
        lengths = dataset.lengths()
        sampler = EvaluationSampler(
            [lengths[place] for place in chosen], self.eval_batch_size, *self._processes()
        )
        return self._loader(Subset(dataset, chosen), sampler)

    def ordered_dataloader(self, split: str) -> DataLoader[Batch]:
        """All utterances of a split in the order of its rows, whatever is drawn in training."""
        dataset = self.datasets[split]
        answered = SequentialSampler(range(len(dataset.rows)))
        in_order = BatchSampler(answered, self.eval_batch_size, drop_last=False)
        return self._loader(dataset, in_order)

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Copy to the device; a GPU goes on with its work meanwhile."""
        return batch.to(device, non_blocking=device.type == "cuda")

    def _evaluation_loader(self, split: str) -> DataLoader[Batch]:
        dataset = self.datasets[split]
        sampler = EvaluationSampler(
            dataset.batched_lengths(), self.eval_batch_size, *self._processes(), self._unit
        )
        return self._loader(dataset, _of_utterances(dataset, sampler))

    @property
    def _unit(self) -> str:
        return "dialogue" if self.dialogue_batches else "utterance"

    def _processes(self) -> tuple[int, int]:
        """How many processes there are, and which of them this is."""
        trainer = self.trainer
        return (trainer.world_size, trainer.global_rank) if trainer else (1, 0)

    def _loader(
        self,
        dataset: UtteranceDataset | Subset[Example],
        batch_sampler: Sampler[list[int]] | Sampler[list[int] | list[Draw]],
    ) -> DataLoader[Batch]:
        pin_memory = self.pin_memory
        if pin_memory is None:
            trainer = self.trainer
            pin_memory = trainer is not None and trainer.strategy.root_device.type == "cuda"
        return DataLoader(
            dataset,  # type: ignore[arg-type]
            batch_sampler=batch_sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=pin_memory,
            collate_fn=self.collator,
        )


def _of_utterances(
    dataset: UtteranceDataset, sampler: LengthBucketSampler | EvaluationSampler
) -> Sampler[list[int] | list[Draw]]:
    """Places of utterances, of whole dialogues where the sampler draws dialogues."""
    return sampler if dataset.dialogues is None else DialogueSampler(sampler, dataset.dialogues)
