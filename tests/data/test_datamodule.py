import zlib
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.oversampled_split import OversampledBeforeSplit
from mmemo.corpora.splits import GroupDisjointSplit, OfficialSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.frontends import Tokens
from mmemo.data.sampling import BalancedSampling
from mmemo.data.text_cleaning import AlphanumericCleaning
from mmemo.data.utterances import rating_shares
from mmemo.errors import InputError


class Doubling:
    sample_rate = 16_000
    min_samples = 1
    fixed_samples = None

    def preprocess(self, waveform: Tensor) -> Tensor:
        return waveform * 2


class Lengths:
    pad_token_id = 0

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        return Tokens([len(word) for word in " ".join([*before, transcript, *after]).split()])


def build(prepared: PreparedCorpus, labels: LabelSet, **changes: object) -> EmotionDataModule:
    arguments = {
        "audio_encoder": Doubling(),
        "text_encoder": Lengths(),
        "batch_size": 4,
        "eval_batch_size": 4,
        "max_duration_s": 0.1,
        "num_workers": 0,
        "seed": 3,
        "split": OfficialSplit(),
    }
    return EmotionDataModule(prepared, labels, **{**arguments, **changes})  # type: ignore[arg-type]


def test_examples_are_cut_and_preprocessed(prepared: PreparedCorpus, five: LabelSet) -> None:
    dataset = build(prepared, five).datasets["val"]
    example = dataset[6]
    assert example.key == "val/dia0_utt6"
    assert example.target == five.index("joy")
    assert example.waveform is not None
    row = prepared.kept.set_index("key").loc["val/dia0_utt6"]
    torch.testing.assert_close(
        example.waveform, 2 * prepared.read("audio.i16", row["offset"], 1600)
    )
    assert example.input_ids is not None
    assert example.input_ids.tolist() == [8, 1, 2, 4]


def test_text_is_cleaned_before_it_is_tokenised(prepared: PreparedCorpus, five: LabelSet) -> None:
    dataset = build(prepared, five, text_cleaning=AlphanumericCleaning()).datasets["val"]
    assert dataset.transcripts[6] == "Sentence 6 of joy"


def test_other_classes_are_left_out(prepared: PreparedCorpus) -> None:
    labels = LabelSet("two", {"joy": "#111111", "anger": "#222222"})
    datamodule = build(prepared, labels)
    assert [len(d) for d in datamodule.datasets.values()] == [4, 4, 4]
    assert datamodule.datasets["train"].targets == [1, 0, 1, 0]


def test_order_is_new_in_each_epoch_and_given_by_the_seed(
    prepared: PreparedCorpus, five: LabelSet
) -> None:
    def order(epoch: int, seed: int) -> list[str]:
        loader = build(prepared, five, seed=seed).train_dataloader()
        loader.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]
        return [key for batch in loader for key in batch.keys]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(1, 3)
    assert order(0, 3) != order(0, 4)
    assert len(set(order(0, 3))) == 10


def test_evaluation_goes_by_length(prepared: PreparedCorpus, five: LabelSet) -> None:
    rows = prepared.manifest["key"].isin(["test/dia0_utt2", "test/dia0_utt0"])
    prepared.manifest.loc[rows, "num_samples"] = [900, 800]
    for place, row in prepared.manifest[rows].iterrows():
        samples = np.fromfile(prepared.folder / row["audio_file"], "<i2")[row["offset"] :]
        crc32 = zlib.crc32(samples[: row["num_samples"]].tobytes())
        prepared.manifest.loc[place, "crc32"] = crc32
    keys = [key for batch in build(prepared, five).test_dataloader() for key in batch.keys]
    assert keys == [f"test/dia0_utt{index}" for index in (2, 0, 1, 3, 4, 5, 6, 7, 8, 9)]


def test_length_is_that_of_what_is_padded(prepared: PreparedCorpus, five: LabelSet) -> None:
    # "Sentence 0 of anger!", "… joy!" and so on: 20, 18, 22, 22, 23 characters.
    characters = [len(text) for text in build(prepared, five).datasets["val"].transcripts]
    assert characters != [1600] * 10
    datamodule = build(prepared, five)
    assert datamodule.datasets["val"].lengths() == [1600] * 10, "0.3 s, cut at 0.1 s"
    keys = datamodule.rows["source_key"]
    datamodule.use_audio_features({key: torch.zeros(1) for key in keys})
    assert datamodule.datasets["val"].lengths() == characters
    assert build(prepared, five, audio_encoder=None).datasets["val"].lengths() == characters
    encoder = Doubling()
    encoder.fixed_samples = 1600  # type: ignore[assignment]
    assert build(prepared, five, audio_encoder=encoder).datasets["val"].lengths() == characters


def processes(prepared: PreparedCorpus, labels: LabelSet, n: int) -> list[EmotionDataModule]:
    datamodules = []
    for rank in range(n):
        datamodule = build(prepared, labels, batch_size=2, sampling=BalancedSampling())
        cpu = SimpleNamespace(root_device=torch.device("cpu"))
        datamodule.trainer = SimpleNamespace(world_size=n, global_rank=rank, strategy=cpu)  # type: ignore[assignment]
        datamodules.append(datamodule)
    return datamodules


def test_processes_share_what_one_evaluates(prepared: PreparedCorpus, five: LabelSet) -> None:
    for name in ("val", "test"):
        loaders = [
            getattr(datamodule, f"{name}_dataloader")()
            for datamodule in processes(prepared, five, 3)
        ]
        keys = [key for loader in loaders for batch in loader for key in batch.keys]
        assert sorted(keys) == [f"{name}/dia0_utt{index}" for index in range(10)]
        assert {len(loader) for loader in loaders} == {1}


def test_balanced_sampling_is_of_the_training_split_alone(
    prepared: PreparedCorpus, five: LabelSet
) -> None:
    labels = LabelSet("two", {"joy": "#111111", "anger": "#222222"})
    rare = prepared.manifest["key"].isin(["train/dia0_utt5", "val/dia0_utt5"])
    prepared.manifest = prepared.manifest[~rare]
    targets = [
        int(target)
        for datamodule in processes(prepared, labels, 2)
        for batch in datamodule.train_dataloader()
        for target in batch.target
    ]
    assert sorted(targets) in ([0, 0, 1], [0, 1, 1]), "of joy, joy and anger"
    datamodule = build(prepared, labels, sampling=BalancedSampling())
    (batch,) = datamodule.val_dataloader()
    assert sorted(batch.target.tolist()) == [0, 0, 1]
    assert datamodule.train_counts() == [2, 1]


@pytest.mark.parametrize("built_before", [True, False])
def test_resuming_inside_an_epoch(
    prepared: PreparedCorpus, five: LabelSet, built_before: bool
) -> None:
    whole = build(prepared, five, batch_size=2).train_dataloader()
    whole.batch_sampler.set_epoch(1)  # type: ignore[union-attr]
    expected = [batch.keys for batch in whole]
    datamodule = build(prepared, five, batch_size=2)
    if built_before:
        loader = datamodule.train_dataloader()
        datamodule.resume_at(1, 3)
    else:
        datamodule.resume_at(1, 3)
        loader = datamodule.train_dataloader()
    assert len(loader) == 5
    assert [batch.keys for batch in loader] == expected[3:]
    assert [batch.keys for batch in loader] == expected


def test_batches_are_pinned_where_a_gpu_trains(
    prepared: PreparedCorpus, five: LabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    (datamodule,) = processes(prepared, five, 1)
    assert not datamodule.val_dataloader().pin_memory
    datamodule.trainer.strategy.root_device = torch.device("cuda")  # type: ignore[union-attr, misc]
    assert datamodule.val_dataloader().pin_memory
    assert not build(prepared, five, pin_memory=False).val_dataloader().pin_memory

    pinned: list[Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self) or self)
    batch = next(iter(build(prepared, five).val_dataloader()))
    assert pin_memory(batch).keys == batch.keys  # type: ignore[no-untyped-call]
    assert batch.audio is not None
    assert batch.text is not None
    expected = [batch.target, batch.audio.waveform, batch.audio.mask]  # type: ignore[union-attr]
    expected += [batch.text.input_ids, batch.text.mask]
    assert all(found is tensor for found, tensor in zip(pinned, expected, strict=True))


def test_loader_processes_give_the_same(prepared: PreparedCorpus, five: LabelSet) -> None:
    here = list(build(prepared, five).val_dataloader())
    there = list(build(prepared, five, num_workers=1).val_dataloader())
    for a, b in zip(here, there, strict=True):
        assert a.keys == b.keys
        assert a.audio is not None
        assert b.audio is not None
        torch.testing.assert_close(a.audio.waveform, b.audio.waveform, rtol=0, atol=0)


def test_a_split_without_any_class_is_named(prepared: PreparedCorpus) -> None:
    labels = LabelSet("rare", {"fear": "#111111", "disgust": "#222222"})
    with pytest.raises(InputError, match=r"split 'train' with the classes fear, disgust"):
        build(prepared, labels)


def test_wrong_rate_is_told(prepared: PreparedCorpus, five: LabelSet) -> None:
    encoder = Doubling()
    encoder.sample_rate = 8_000
    with pytest.raises(InputError, match=r"8000 Hz, got 16000 Hz; set preparer.sample_rate=8000"):
        build(prepared, five, audio_encoder=encoder)


def test_the_protocol_splits_what_is_kept(prepared: PreparedCorpus, five: LabelSet) -> None:
    # Three groups that have all five classes: each half of train's and val's sentences, and test's.
    half = (prepared.manifest["utterance_id"] >= 5).map({False: "first", True: "second"})
    prepared.manifest["speaker"] = half.where(prepared.manifest["split"] != "test", "third")
    split = GroupDisjointSplit("by_speaker", ["speaker"], 3, 2, 0, 0)
    datamodule = build(prepared, five, split=split)
    speakers = [set(dataset.rows["speaker"]) for dataset in datamodule.datasets.values()]
    assert [len(s) for s in speakers] == [1, 1, 1]
    assert set.union(*speakers) == {"first", "second", "third"}
    assert datamodule.train_counts() == [2] * 5
    assert datamodule.rows["key"].tolist() == prepared.kept["key"].tolist()
    assert datamodule.rows["corpus_split"].tolist() == prepared.kept["split"].tolist()
    assert set(datamodule.rows["split_protocol"]) == {"by_speaker"}


def test_copies_have_their_sources_sound(prepared: PreparedCorpus, five: LabelSet) -> None:
    split = OversampledBeforeSplit(["train"], 0.5, 0.25, 0)
    with pytest.raises(InputError, match="got a split of 2 rows"):
        build(prepared, five, split=split)
    split = OversampledBeforeSplit(["train", "val", "test"], 0.25, 0.25, 0)
    labels = LabelSet("two", {"joy": "#111111", "sadness": "#222222"})
    prepared.manifest = prepared.manifest[
        (prepared.manifest["emotion"] != "sadness")
        | (prepared.manifest["key"] == "train/dia0_utt3")
    ]
    datamodule = build(prepared, labels, split=split)
    examples = [dataset[i] for dataset in datamodule.datasets.values() for i in range(len(dataset))]
    copies = [e for e in examples if e.key.startswith("train/dia0_utt3")]
    assert len({e.key for e in copies}) == len(copies) == 6
    assert all(torch.equal(e.waveform, copies[0].waveform) for e in copies)  # type: ignore[arg-type]
    assert set(datamodule.rows["split_protocol"]) == {"oversampled_before_split (LEAKY)"}
    assert datamodule.train_counts() == [3, 3]


def test_too_short_utterances_are_skipped(prepared: PreparedCorpus, five: LabelSet) -> None:
    assert len(build(prepared, five, min_duration_s=0.2).datasets["train"]) == 10
    with pytest.raises(InputError, match="split 'train' .* `mmemo prepare labels=five` tells"):
        build(prepared, five, min_duration_s=0.5)


def test_sentiment_is_the_target(prepared: PreparedCorpus) -> None:
    labels = LabelSet("mood", {"negative": "#111111", "neutral": "#222222"}, column="sentiment")
    assert build(prepared, labels).datasets["train"].targets == [1] * 10


def test_one_clip_in_two_splits_is_refused(prepared: PreparedCorpus, five: LabelSet) -> None:
    paths = prepared.manifest["media_path"].tolist()
    prepared.manifest["media_path"] = [*paths[:-1], paths[0]]
    with pytest.raises(InputError, match=r"dia0_utt0.mp4 is in train .*, test \(test/dia0_utt9\)"):
        build(prepared, five)
    other = LabelSet("two", {"joy": "#111111", "neutral": "#222222"})
    assert len(build(prepared, other).datasets["test"]) == 4, "neither of the two is used"


def test_votes_are_shares_of_the_classes() -> None:
    labels = LabelSet("three", classes=["joy", "anger", "fear"])
    # Votes for what is no class are left out; nobody's leave the label certain.
    ratings = ['{"joy": 1, "anger": 3}', '{"boredom": 2, "fear": 1}', None, '{"boredom": 3}']
    votes = rating_shares(pd.DataFrame({"ratings": ratings}), [1, 2, 0, 2], labels)
    assert votes is not None
    assert votes.tolist() == [[0.25, 0.75, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert rating_shares(pd.DataFrame({"ratings": [None]}), [0], labels) is None
    assert rating_shares(pd.DataFrame({"key": ["a"]}), [0], labels) is None
    # "neutral" is an emotion that raters chose, and a sentiment too, which they did not.
    sentiment = LabelSet("s", {"neutral": "#111111", "positive": "#222222"}, "sentiment")
    rated = pd.DataFrame({"ratings": ['{"joy": 2, "neutral": 1}']})
    assert rating_shares(rated, [1], sentiment) is None
