from itertools import chain

import numpy as np
import pytest

from mmemo.data.sampling import (
    BalancedSampling,
    EvaluationSampler,
    LengthBucketSampler,
    NaturalSampling,
    num_global_batches,
)
from mmemo.errors import InputError

LENGTHS = [int(x) for x in np.random.default_rng(0).permutation(np.arange(1, 36))]


def global_batches(samplers: list[LengthBucketSampler]) -> list[list[int]]:
    """What the processes see in each step, together."""
    return [sorted(chain(*parts)) for parts in zip(*samplers, strict=True)]


@pytest.mark.parametrize("num_replicas", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_every_utterance_once_in_batches_of_like_size(num_replicas: int, batch_size: int) -> None:
    samplers = [
        LengthBucketSampler(LENGTHS, batch_size, num_replicas, rank, bucket_batches=3)
        for rank in range(num_replicas)
    ]
    batches = global_batches(samplers)
    assert sorted(chain(*batches)) == list(range(35))
    assert {len(batches)} == {len(sampler) for sampler in samplers}
    sizes = {len(batch) for batch in batches}
    assert max(sizes) - min(sizes) <= 1
    assert all(part for sampler in samplers for part in sampler)


def test_number_and_sizes_of_batches() -> None:
    assert len(LengthBucketSampler(LENGTHS, 8)) == 5
    assert sorted(len(batch) for batch in LengthBucketSampler(LENGTHS, 16)) == [11, 12, 12]
    # One each for two processes leaves no 36th utterance: the last of 17 pairs is three.
    assert num_global_batches(35, 1, 2) == 17
    assert num_global_batches(35, 2, 2) == num_global_batches(35, 4, 1) == 9


@pytest.mark.parametrize("bucket_batches", [0, 1, 3])
def test_processes_share_the_batches_of_one(bucket_batches: int) -> None:
    def batches(batch_size: int, num_replicas: int) -> list[list[int]]:
        samplers = [
            LengthBucketSampler(LENGTHS, batch_size, num_replicas, rank, 7, bucket_batches)
            for rank in range(num_replicas)
        ]
        return global_batches(samplers)

    assert batches(4, 1) == batches(2, 2)
    assert batches(6, 1) == batches(3, 2) == batches(2, 3)


def test_one_bucket_makes_batches_of_neighbours() -> None:
    # 1..32 in eight batches of four neighbours: each is padded by 3 + 2 + 1.
    lengths = [int(x) for x in np.random.default_rng(0).permutation(np.arange(1, 33))]
    sampler = LengthBucketSampler(lengths, 4, length_noise=0.0)
    found = [[lengths[i] for i in batch] for batch in sampler]
    assert sorted(found) == [list(range(first, first + 4)) for first in range(1, 32, 4)]
    assert found != sorted(found)
    padded = sum(4 * max(batch) for batch in found)
    assert padded - sum(lengths) == 8 * (3 + 2 + 1)


def test_noise_lets_other_neighbours_meet() -> None:
    def batches(length_noise: float, epoch: int) -> list[list[int]]:
        sampler = LengthBucketSampler(LENGTHS, 4, length_noise=length_noise)
        sampler.set_epoch(epoch)
        return sorted(sorted(batch) for batch in sampler)

    assert batches(0.0, 0) == batches(0.0, 1)
    assert batches(0.05, 0) != batches(0.05, 1)
    # The longest, 35, stays among the upper four, as 31 * 1.05 < 35 * 0.95, and so in the last two
    # batches, of four and three. The seventh from the top is at least 29 * 0.95 = 27.6 with its
    # noise, and 27.6 / 1.05 = 26.2 without.
    for epoch in range(20):
        found = [[LENGTHS[i] for i in batch] for batch in batches(0.05, epoch)]
        assert all(min(batch) > 26 for batch in found if 35 in batch)


def test_utterances_are_sorted_within_a_bucket_alone() -> None:
    lengths = list(range(400))
    plain, bucketed = (
        [[lengths[i] for i in batch] for batch in LengthBucketSampler(lengths, 10, 1, 0, 0, size)]
        for size in (0, 4)
    )
    spread = [sum(max(batch) - min(batch) for batch in found) for found in (plain, bucketed)]
    # Ten random numbers span 9/11 of 400 on average; the quarters of forty a quarter of that.
    assert 0.7 < spread[0] / (40 * 400 * 9 / 11) < 1.3
    assert 0.7 < spread[1] / (40 * 100 * 9 / 11) < 1.3


def test_processes_have_equal_work() -> None:
    parts = [LengthBucketSampler(LENGTHS, 4, 2, rank, length_noise=0.0) for rank in range(2)]
    for first, second in zip(*parts, strict=True):
        pairs = zip(first, second, strict=False)
        assert all(LENGTHS[b] - LENGTHS[a] == 1 for a, b in pairs)


def test_order_is_given_by_seed_and_epoch() -> None:
    def order(seed: int, epoch: int, bucket_batches: int = 3) -> list[list[int]]:
        sampler = LengthBucketSampler(LENGTHS, 4, seed=seed, bucket_batches=bucket_batches)
        sampler.set_epoch(epoch)
        assert list(sampler) == list(sampler)
        return list(sampler)

    assert order(3, 0) == order(3, 0)
    assert order(3, 0) != order(3, 1)
    assert order(3, 0) != order(4, 0)
    assert order(3, 0, 0) != order(3, 0)


def test_a_resumed_epoch_is_the_rest_of_it() -> None:
    whole = LengthBucketSampler(LENGTHS, 2, 2, 1, seed=5)
    whole.set_epoch(2)
    resumed = LengthBucketSampler(LENGTHS, 2, 2, 1, seed=5)
    resumed.resume_at(2, 4)
    resumed.set_epoch(2)
    assert len(resumed) == 9
    assert list(resumed) == list(whole)[4:]
    assert list(resumed) == list(whole), "left out once"
    resumed.resume_at(2, 4)
    resumed.set_epoch(3)
    whole.set_epoch(3)
    assert list(resumed) == list(whole), "another epoch is whole"


def test_after_all_batches_the_next_epoch_is_due() -> None:
    whole = LengthBucketSampler(LENGTHS, 4)
    whole.set_epoch(3)
    resumed = LengthBucketSampler(LENGTHS, 4)
    resumed.resume_at(2, 9)
    assert list(resumed) == list(whole)


def test_balanced_classes_have_equal_shares() -> None:
    # 30, 4 and 1 of 35: two classes are drawn 12 times, one 11 times.
    targets = np.array([0] * 30 + [1] * 4 + [4])
    for seed in range(5):
        drawn = BalancedSampling().draw(targets, np.random.default_rng(seed))
        counts = np.bincount(drawn, minlength=35)
        by_class = [counts[:30], counts[30:34], counts[34:]]
        assert sorted(part.sum() for part in by_class) == [11, 12, 12]
        assert set(by_class[0]) == {0, 1}, "none of the frequent class is repeated"
        assert set(by_class[1]) <= {2, 3}, "those of the rare class are repeated as evenly"


def test_balanced_epochs_differ_and_cover_the_frequent_class() -> None:
    targets = [0] * 30 + [1] * 5
    sampler = LengthBucketSampler(LENGTHS, 5, targets=targets, sampling=BalancedSampling())
    seen = []
    for epoch in range(8):
        sampler.set_epoch(epoch)
        drawn = list(chain(*sampler))
        assert len(drawn) == 35
        assert len(sampler) == 7
        seen.append({index for index in drawn if index < 30})
        assert len(seen[-1]) in (17, 18)
    assert seen[0] != seen[1]
    assert set.union(*seen) == set(range(30))


def test_natural_sampling_takes_all() -> None:
    drawn = NaturalSampling().draw(np.array([0, 0, 1]), np.random.default_rng(0))
    assert drawn.tolist() == [0, 1, 2]


@pytest.mark.parametrize("num_replicas", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_evaluation_has_every_utterance_once(num_replicas: int, batch_size: int) -> None:
    samplers = [
        EvaluationSampler(LENGTHS, batch_size, num_replicas, rank) for rank in range(num_replicas)
    ]
    assert sorted(chain(*chain(*samplers))) == list(range(35))
    assert len({len(sampler) for sampler in samplers}) == 1
    assert all(part for sampler in samplers for part in sampler)
    for sampler in samplers:
        lengths = [LENGTHS[i] for i in chain(*sampler)]
        assert lengths == sorted(lengths)


def test_fewer_utterances_than_processes_are_refused() -> None:
    message = r"a split of 3 for 4 processes; use fewer \(trainer.devices, trainer.num_nodes\)"
    with pytest.raises(InputError, match=message):
        LengthBucketSampler([1, 2, 3], 8, 4, 0)
    with pytest.raises(InputError, match=message):
        EvaluationSampler([1, 2, 3], 8, 4, 0)
