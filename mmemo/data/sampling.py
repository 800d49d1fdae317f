"""Which utterances stand together in a batch: classes, lengths, and each process' share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from mmemo.data.augmentation import Draw
from mmemo.errors import InputError

Indices = NDArray[np.int64]


class Sampling(Protocol):
    """Chooses the utterances that a training epoch takes."""

    def draw(self, targets: Indices, generator: np.random.Generator) -> Indices:
        """Draw as many utterances as there are.

        Args:
            targets: Class index (N,) of every training utterance.
            generator: Random numbers of this epoch, equal in every process.

        Returns:
            Indices (N,), in any order.
        """
        ...


class NaturalSampling:
    """Every utterance once an epoch."""

    def draw(self, targets: Indices, generator: np.random.Generator) -> Indices:
        """All indices (N,)."""
        return np.arange(len(targets))


class BalancedSampling:
    """Every class equally often: of N draws, each of the C classes that occur has N / C.

    Where C does not divide N, randomly chosen classes have one draw more. Inside a class the
    draws are dealt as evenly: a rare class' utterances are repeated, of a frequent one each epoch
    takes another part.
    """

    def draw(self, targets: Indices, generator: np.random.Generator) -> Indices:
        """Indices (N,), with repetitions."""
        classes = generator.permutation(np.unique(targets))
        counts = [len(part) for part in np.array_split(targets, len(classes))]
        return np.concatenate(
            [
                _drawn_evenly(np.flatnonzero(targets == label), count, generator)
                for label, count in zip(classes, counts, strict=True)
            ]
        )


def _drawn_evenly(members: Indices, count: int, generator: np.random.Generator) -> Indices:
    times, rest = divmod(count, len(members))
    return np.concatenate([np.tile(members, times), generator.choice(members, rest, replace=False)])


def num_global_batches(
    num_utterances: int, batch_size: int, num_replicas: int, unit: str = "utterance"
) -> int:
    """How many batches are cut from N utterances: ceil(N / (batch_size * num_replicas)).

    Every process has a part of every batch. That takes fewer batches only where ``batch_size``
    is 1 and N not a multiple of the processes: then a few hold an utterance more.

    Args:
        num_utterances: N, or that many of another unit.
        batch_size: Of one process.
        num_replicas: Processes.
        unit: What is dealt to them.

    Raises:
        InputError: If there are fewer utterances than processes.
    """
    if num_utterances < num_replicas:
        raise InputError(
            f"trainer: expected at least one {unit} of each split for each process, got a "
            f"split of {num_utterances} for {num_replicas} processes; use fewer "
            "(trainer.devices, trainer.num_nodes)"
        )
    whole = -(-num_utterances // (batch_size * num_replicas))
    return min(whole, num_utterances // num_replicas)


class LengthBucketSampler(Sampler[list[int] | list[Draw]]):
    """Training batches of utterances of similar length, in an order given by seed and epoch.

    The epoch's utterances are shuffled and cut into global batches of ``batch_size *
    num_replicas``, whose sizes differ by one at most. Within ``bucket_batches`` of them the
    utterances are sorted by length; then the order of the batches is shuffled. Process r takes
    every ``num_replicas``-th utterance of each global batch from the r-th on, so that all have
    equal work. Global batches do not depend on how many processes share them.

    Args:
        lengths: Length of each utterance (N,), in any unit.
        batch_size: Utterances in a batch, for each process.
        num_replicas: Number of processes.
        rank: This process, from 0.
        seed: Decides the order, with the epoch.
        bucket_batches: Global batches that are sorted together; up to 1 for a plain shuffle.
        length_noise: Lengths are sorted after multiplying each with a number drawn from 1 -
            ``length_noise`` to 1 + ``length_noise``, so that the same utterances do not always
            meet.
        targets: Class of each utterance (N,), where ``sampling`` asks for it.
        sampling: Chooses the utterances of each epoch; None for every one once.
        tells_draws: Whether draws are handed out in place of indices, for augmentation.
        unit: What each length is of, where it is no utterance.

    Raises:
        InputError: If there are fewer utterances than processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        num_replicas: int = 1,
        rank: int = 0,
        seed: int = 0,
        bucket_batches: int = 100,
        length_noise: float = 0.05,
        targets: Sequence[int] | None = None,
        sampling: Sampling | None = None,
        tells_draws: bool = False,
        unit: str = "utterance",
    ) -> None:
        self.tells_draws = tells_draws
        self.lengths = np.asarray(lengths, dtype=np.float64)
        self.num_batches = num_global_batches(len(lengths), batch_size, num_replicas, unit)
        self.num_replicas = num_replicas
        self.rank = rank
        self.seed = seed
        self.bucket_batches = max(bucket_batches, 1)
        self.length_noise = length_noise
        self.targets = np.asarray([0] * len(lengths) if targets is None else targets)
        self.sampling = sampling or NaturalSampling()
        self.epoch = 0
        self._resumed_epoch = 0
        self._num_done = 0

    @property
    def sampler(self) -> LengthBucketSampler:
        """Itself: Lightning tells the epoch to a batch sampler's ``sampler``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated next, from 0."""
        self.epoch = epoch

    def resume_at(self, epoch: int, num_batches: int) -> None:
        """Leave out the first batches when this epoch is iterated next; once.

        After all batches of an epoch, the next one is due as a whole.
        """
        if num_batches >= len(self):
            epoch, num_batches = epoch + 1, 0
        self.set_epoch(epoch)
        self._resumed_epoch, self._num_done = epoch, num_batches

    def __len__(self) -> int:
        """Batches of a whole epoch, the same for every process."""
        return self.num_batches

    def __iter__(self) -> Iterator[list[int] | list[Draw]]:
        """Indices, or draws, of this process' part of each batch."""
        epoch = self.epoch
        first = self._num_done if epoch == self._resumed_epoch else 0
        self._num_done = 0
        drawn, batches = self._global_batches()
        for batch in batches[first:]:
            own = batch[self.rank :: self.num_replicas]
            indices = drawn[own].tolist()
            if self.tells_draws:
                pairs = zip(indices, own.tolist(), strict=True)
                yield [Draw(index, epoch, number) for index, number in pairs]
            else:
                yield indices

    def _global_batches(self) -> tuple[Indices, list[Indices]]:
        """The utterances of the epoch (N,), and each batch's places among them."""
        generator = np.random.default_rng([self.seed, self.epoch])
        drawn = generator.permutation(self.sampling.draw(self.targets, generator))
        spread = generator.uniform(1 - self.length_noise, 1 + self.length_noise, len(drawn))
        noisy_lengths = self.lengths[drawn] * spread
        batches: list[Indices] = []
        places = np.array_split(np.arange(len(drawn)), self.num_batches)
        for start in range(0, self.num_batches, self.bucket_batches):
            bucket = places[start : start + self.bucket_batches]
            first, last = bucket[0][0], bucket[-1][-1] + 1
            order = first + np.argsort(noisy_lengths[first:last], kind="stable")
            batches += [order[place - first] for place in bucket]
        return drawn, [batches[number] for number in generator.permutation(self.num_batches)]


class EvaluationSampler(Sampler[list[int]]):
    """Batches sorted by length, every utterance in exactly one batch of one process.

    All processes have as many batches, which a model that is synchronised in every forward pass
    needs; they may differ by one utterance.

    Args:
        lengths: Length of each utterance (N,), in any unit.
        batch_size: Utterances in a batch, for each process.
        num_replicas: Number of processes.
        rank: This process, from 0.
        unit: What each length is of, where it is no utterance.

    Raises:
        InputError: If there are fewer utterances than processes.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        num_replicas: int = 1,
        rank: int = 0,
        unit: str = "utterance",
    ) -> None:
        num_batches = num_global_batches(len(lengths), batch_size, num_replicas, unit)
        order = np.argsort(np.asarray(lengths), kind="stable")
        self.batches: list[list[int]] = [
            batch[rank::num_replicas].tolist() for batch in np.array_split(order, num_batches)
        ]

    def __len__(self) -> int:
        """Number of batches, the same for every process."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of this process' part of each batch."""
        return iter(self.batches)


class DialogueSampler(Sampler[list[int] | list[Draw]]):
    """Batches of whole dialogues: each is the utterances of those that another sampler chooses.

    Args:
        batches: Chooses dialogues.
        dialogues: The utterances of each dialogue, in order.
    """

    def __init__(
        self,
        batches: LengthBucketSampler | EvaluationSampler,
        dialogues: Sequence[Sequence[int]],
    ) -> None:
        self.batches = batches
        self.dialogues = dialogues

    @property
    def sampler(self) -> LengthBucketSampler | EvaluationSampler:
        """What chooses dialogues: Lightning tells it the epoch."""
        return self.batches

    def __len__(self) -> int:
        """Batches of a whole epoch, the same for every process."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int] | list[Draw]]:
        """Indices of utterances, or their draws; those of a dialogue one after the other."""
        for chosen in self.batches:
            given: list[int] = []
            draws: list[Draw] = []
            for one in chosen:
                if isinstance(one, Draw):
                    # Each utterance is drawn once an epoch: its own index tells its draw.
                    draws += [Draw(i, one.epoch, i) for i in self.dialogues[one.index]]
                else:
                    given += self.dialogues[one]
            yield draws or given


def check_dialogue_sampling(sampling: Sampling | None) -> None:
    """Refuse a choice of single utterances where whole dialogues are wanted.

    Raises:
        InputError: If it is one.
    """
    if sampling is not None and not isinstance(sampling, NaturalSampling):
        raise InputError(
            f"sampling: expected natural with data.dialogue_batches=true, whose dialogues are "
            f"whole, got {type(sampling).__name__}, which draws single utterances; set "
            "sampling=natural, and weigh classes by loss=weighted"
        )
