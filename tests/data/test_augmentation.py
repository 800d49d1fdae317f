"""Training sound alone is perturbed, by draws that repeat."""

from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import OmegaConf
from torch import Tensor

from mmemo.audio.added_noise import Babble
from mmemo.audio.denoisers import Samples
from mmemo.audio.perturbations import Gain, Perturbation, Speed
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.data.augmentation import Augmentation, Draw
from mmemo.data.batch import AudioInput, Batch
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.sampling import BalancedSampling, LengthBucketSampler
from mmemo.errors import InputError
from mmemo.runs.composition import compose_experiment
from mmemo.runs.settings_check import _check_augmentation
from tests.data.test_datamodule import build
from tests.data.test_resuming import Recorder, Step

Heard = tuple[Step, list[float]]


def perturbations() -> dict[str, Perturbation]:
    return {"babble": Babble(probability=0.8), "speed": Speed(), "gain": Gain(probability=0.7)}


def waveforms(batch: Batch) -> dict[str, Tensor]:
    assert isinstance(batch.audio, AudioInput)
    lengths = batch.audio.mask.sum(dim=1).tolist()
    pairs = zip(batch.keys, batch.audio.waveform, lengths, strict=True)
    return {key: waveform[:length] for key, waveform, length in pairs}


def epoch_of(datamodule: EmotionDataModule, epoch: int, split: str = "train") -> dict[str, Tensor]:
    loader = datamodule.train_dataloader()
    if split != "train":
        loader = datamodule.val_dataloader() if split == "val" else datamodule.test_dataloader()
    else:
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
    return {k: w for batch in loader for k, w in waveforms(batch).items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Keys of equal waveforms."""
    return [k for k in one if one[k].shape == other[k].shape and torch.equal(one[k], other[k])]


def test_training_alone_is_perturbed(prepared: PreparedCorpus, five: LabelSet) -> None:
    plain = build(prepared, five)
    augmented = build(prepared, five, augmentation=perturbations())
    for split in ("val", "test"):
        for epoch in (0, 1):
            before, after = (epoch_of(d, epoch, split) for d in (plain, augmented))
            assert same(before, after) == list(before)
            assert len(before) == 10
    before, first, second = epoch_of(plain, 0), epoch_of(augmented, 0), epoch_of(augmented, 1)
    assert before.keys() == first.keys() == second.keys()
    # 2 % of the utterances escape all three.
    assert len(same(before, first)) <= 2
    assert len(same(first, second)) <= 2
    # What is asked for by its index is as it is, in training too: features, explanations.
    for index in range(10):
        given, asked = (d.datasets["train"][index].waveform for d in (plain, augmented))
        assert given is not None
        assert asked is not None
        assert torch.equal(given, asked)


def test_nothing_is_perturbed_by_default(prepared: PreparedCorpus, five: LabelSet) -> None:
    for nothing in (None, {}):
        datamodule = build(prepared, five, augmentation=nothing)
        assert datamodule.augmentation is None
        (first, *_) = datamodule.train_dataloader().batch_sampler  # type: ignore[misc,union-attr]
        assert all(isinstance(index, int) for index in first)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_draws_do_not_depend_on_the_workers(
    prepared: PreparedCorpus, five: LabelSet, num_workers: int
) -> None:
    alone = build(prepared, five, augmentation=perturbations())
    several = build(prepared, five, augmentation=perturbations(), num_workers=num_workers)
    loader = several.train_dataloader()
    for epoch in (0, 1):
        # The same processes serve all epochs.
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        found = {k: w for batch in loader for k, w in waveforms(batch).items()}
        expected = epoch_of(alone, epoch)
        assert same(expected, found) == list(expected)


def test_another_seed_draws_otherwise(prepared: PreparedCorpus, five: LabelSet) -> None:
    first, again, other = (
        epoch_of(build(prepared, five, augmentation=perturbations(), seed=seed), 0)
        for seed in (3, 3, 4)
    )
    assert same(first, again) == list(first)
    assert len(same(first, other)) <= 2


def test_processes_share_the_draws_of_one() -> None:
    def draws(num_replicas: int, rank: int) -> set[Draw]:
        sampler = LengthBucketSampler(
            range(23), 8 // num_replicas, num_replicas, rank, seed=5, tells_draws=True
        )
        sampler.set_epoch(2)
        return {draw for batch in sampler for draw in batch if isinstance(draw, Draw)}

    whole = draws(1, 0)
    assert whole == draws(2, 0) | draws(2, 1)
    assert {draw.number for draw in whole} == set(range(23))
    assert {draw.epoch for draw in whole} == {2}


def test_an_utterance_that_is_drawn_twice_is_perturbed_twice(
    prepared: PreparedCorpus, five: LabelSet
) -> None:
    targets = [0] * 9 + [1]
    sampler = LengthBucketSampler(
        [1] * 10, 10, targets=targets, sampling=BalancedSampling(), tells_draws=True
    )
    (batch,) = list(sampler)
    rare = [draw for draw in batch if isinstance(draw, Draw) and draw.index == 9]
    assert len(rare) == 5
    augmentation = Augmentation({"gain": Gain(probability=1.0)}, seed=3)
    heard = [float(augmentation(torch.ones(1), 16_000, draw)) for draw in rare]
    assert len(set(heard)) == 5


def test_one_perturbation_more_changes_no_draw_of_the_others() -> None:
    noted: dict[str, list[float]] = {}

    class Noting:
        def __init__(self, name: str) -> None:
            self.draws = noted.setdefault(name, [])

        def __call__(
            self, waveform: Samples, sample_rate: int, rng: np.random.Generator
        ) -> Samples:
            self.draws.append(float(rng.random()))
            return waveform

    draw = Draw(1, 2, 3)
    for names in (("a", "b"), ("c", "b", "a")):
        Augmentation({name: Noting(name) for name in names}, 7)(torch.ones(4), 16_000, draw)
    assert [len(noted[name]) for name in "abc"] == [2, 2, 1]
    assert noted["a"][0] == noted["a"][1] != noted["b"][0] == noted["b"][1]


def test_slower_sound_is_cut_where_it_is_heard(prepared: PreparedCorpus, five: LabelSet) -> None:
    slower = {"speed": Speed(0.5, 0.5, probability=1.0)}
    # Tones of 0.3 s, of which 0.1 s are heard; and as a whole.
    for max_duration_s, expected in ((0.1, 1600), (9.0, None)):
        found = epoch_of(
            build(prepared, five, augmentation=slower, max_duration_s=max_duration_s), 0
        )
        plain = epoch_of(build(prepared, five, max_duration_s=max_duration_s), 0)
        for key, waveform in found.items():
            assert len(waveform) == (expected or 2 * len(plain[key]))


class Hearing(Recorder):
    """Notes what is heard too."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[list[float]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.heard.append([float(w.abs().sum()) for w in waveforms(batch).values()])
        return super().training_step(batch, batch_idx)


def fit(
    prepared: PreparedCorpus,
    labels: LabelSet,
    num_workers: int,
    checkpoint: ModelCheckpoint | None = None,
    resumed: tuple[Path, int, int] | None = None,
) -> list[Heard]:
    datamodule = build(
        prepared,
        labels,
        augmentation=perturbations(),
        batch_size=2,
        num_workers=num_workers,
    )
    module = Hearing()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=3,
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=checkpoint is not None,
        callbacks=[checkpoint] if checkpoint else [],
        use_distributed_sampler=False,
    )
    if resumed is not None:
        datamodule.resume_at(*resumed[1:])
    path = resumed[0] if resumed else None
    trainer.fit(module, datamodule, ckpt_path=path, weights_only=True)
    return list(zip(module.steps, module.heard, strict=True))


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_resumed_run_hears_what_an_undisturbed_one_does(
    prepared: PreparedCorpus, five: LabelSet, tmp_path: Path, num_workers: int
) -> None:
    checkpoint = ModelCheckpoint(
        tmp_path / "c", "{step}", save_top_k=-1, every_n_train_steps=1, save_last=False
    )
    whole = fit(prepared, five, num_workers, checkpoint)
    assert len(whole) == 15
    for epoch, num_batches in ((0, 2), (1, 3), (2, 0)):
        done = 5 * epoch + num_batches
        path = tmp_path / "c" / f"step={done}.ckpt"
        assert fit(prepared, five, num_workers, resumed=(path, epoch, num_batches)) == whole[done:]


def test_perturbations_are_chosen_and_ordered_by_name(tmp_path: Path) -> None:
    for chosen, names in (
        ("gain", ["gain"]),
        ("[speed,babble,codec]", ["speed", "babble", "codec"]),
        ("[reverberation,tempo,pitch]", ["reverberation", "tempo", "pitch"]),
    ):
        cfg = compose_experiment("demo", [f"augmentation={chosen}"], tmp_path).cfg
        assert list(OmegaConf.to_container(cfg.data.augmentation, resolve=True)) == names  # type: ignore[arg-type]
    for chosen in ([], ["augmentation=none"]):
        assert compose_experiment("demo", chosen, tmp_path).cfg.data.augmentation is None
    own = "+augmentation.mine._target_=mmemo.audio.perturbations.Gain"
    assert list(compose_experiment("demo", [own], tmp_path).cfg.data.augmentation) == ["mine"]
    both = compose_experiment("demo", ["augmentation=pitch", own], tmp_path).cfg.data.augmentation
    assert list(both) == ["pitch", "mine"]


def test_what_augmentation_lacks_is_told_before_anything_is_prepared(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for overrides, message in (
        (["augmentation=noise", f"augmentation.noise.folder={empty}"], "expected sound files"),
        (["augmentation=gain", "modality=text"], "expected none for a model that hears nothing"),
    ):
        cfg = compose_experiment("demo", overrides, tmp_path / "run")
        experiment = cfg.experiment
        audio = experiment.build_encoders().audio if "modality=text" not in overrides else None
        with pytest.raises(InputError, match=message):
            _check_augmentation(experiment._cfg.data, audio)
