"""Batches of whole dialogues: their order, their speakers, and where they end."""

from functools import partial
from itertools import chain
from types import SimpleNamespace

import pytest
import torch

from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.oversampled_split import OversampledBeforeSplit
from mmemo.corpora.splits import GroupDisjointSplit
from mmemo.corpora.utterance import LabelSet
from mmemo.data.augmentation import Draw
from mmemo.data.batch import AudioInput, Collator, Example
from mmemo.data.dialogues import Dialogues, Turn
from mmemo.data.sampling import (
    BalancedSampling,
    DialogueSampler,
    EvaluationSampler,
    LengthBucketSampler,
)
from mmemo.errors import InputError
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.dialogue_rnn import DialogueRNN
from mmemo.models.fusion import BottleneckFusion
from mmemo.models.scratch_text_encoder import ScratchTextEncoder
from tests.data.test_datamodule import build

DIALOGUES = [[4, 0], [1], [2, 3, 5], [6, 7]]


@pytest.fixture
def dialogues(prepared: PreparedCorpus) -> PreparedCorpus:
    """Ten utterances a split in three dialogues, told backwards, of two speakers in turn."""
    manifest = prepared.manifest
    number = manifest["utterance_id"]
    manifest["dialogue_id"] = number.map(lambda n: 0 if n < 4 else 1 if n < 9 else 2)
    manifest["speaker"] = number.map(lambda n: "Ada" if n % 2 else "Bob")
    manifest["utterance_id"] = 9 - number
    return prepared


def test_utterances_are_dealt_to_their_dialogues() -> None:
    turns = [Turn("a", "x"), Turn("b", "z"), Turn("a", "y"), Turn("a", "x"), Turn("b", "")]
    found = Dialogues.of(turns)
    assert found.places.tolist() == [[0, 2, 3], [1, 4, 0]]
    assert found.mask.tolist() == [[True, True, True], [True, True, False]]
    assert found.speaker.tolist() == [[0, 1, 0], [0, 1, 0]]
    vectors = torch.arange(10.0).view(5, 2)
    arranged = found.arranged(vectors)
    assert arranged[1].tolist() == [[2.0, 3.0], [8.0, 9.0], [0.0, 0.0]]
    assert torch.equal(found.flattened(arranged), vectors)


def test_alone_each_is_a_dialogue() -> None:
    found = Dialogues.alone(3, torch.device("cpu"))
    assert found.places.tolist() == [[0], [1], [2]]
    assert found.mask.all() and not found.speaker.any()


def test_a_batch_tells_its_dialogues_where_its_examples_do() -> None:
    example = Example("a", 0, torch.ones(4), None)
    assert Collator()([example]).dialogues is None
    batch = Collator()([Example(k, 0, torch.ones(4), None, turn=Turn("d", k)) for k in "ab"])
    assert batch.dialogues is not None
    assert batch.dialogues.speaker.tolist() == [[0, 1]]
    moved = batch.to("meta").dialogues
    assert moved is not None and moved.places.device.type == "meta"


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_each_dialogue_is_whole_and_in_one_process(num_replicas: int) -> None:
    def batches(rank: int) -> list[list[int]]:
        chosen = LengthBucketSampler([2, 1, 3, 2], 1, num_replicas, rank, seed=3)
        return [[int(i) for i in batch] for batch in DialogueSampler(chosen, DIALOGUES)]

    found = [batches(rank) for rank in range(num_replicas)]
    assert len({len(part) for part in found}) == 1, "every process has as many batches"
    assert sorted(chain(*found)) == sorted(DIALOGUES)
    evaluated = [
        list(DialogueSampler(EvaluationSampler([2, 1, 3, 2], 2, num_replicas, r), DIALOGUES))
        for r in range(num_replicas)
    ]
    assert sorted(chain(*chain(*evaluated))) == list(range(8))


def test_draws_are_of_utterances() -> None:
    chosen = LengthBucketSampler([2, 1, 3, 2], 4, tells_draws=True)
    (batch,) = DialogueSampler(chosen, DIALOGUES)
    assert sorted(batch, key=lambda draw: draw.index) == [Draw(i, 0, i) for i in range(8)]


def test_dialogues_begin_where_an_epoch_was_interrupted() -> None:
    def sampler() -> DialogueSampler:
        return DialogueSampler(LengthBucketSampler([2, 1, 3, 2], 1, seed=3), DIALOGUES)

    whole = sampler()
    whole.sampler.set_epoch(1)
    resumed = sampler()
    assert isinstance(resumed.batches, LengthBucketSampler)
    resumed.batches.resume_at(1, 2)
    assert list(resumed) == list(whole)[2:]
    assert len(resumed) == 4


def test_too_few_dialogues_for_the_processes() -> None:
    with pytest.raises(InputError, match="at least one dialogue of each split"):
        LengthBucketSampler([2, 1], 1, 3, unit="dialogue")


def test_loaders_give_whole_dialogues_in_order(dialogues: PreparedCorpus, five: LabelSet) -> None:
    data = build(dialogues, five, dialogue_batches=True, batch_size=2, eval_batch_size=3)
    whole = {
        tuple(f"/dia0_utt{n}" for n in numbers) for numbers in ((3, 2, 1, 0), (8, 7, 6, 5, 4), (9,))
    }
    batches = [*data.train_dataloader()]
    assert [len(batch) for batch in batches] != [4, 5, 1]
    found = set()
    for batch in batches:
        assert batch.dialogues is not None
        for places, mask in zip(batch.dialogues.places, batch.dialogues.mask, strict=True):
            found.add(tuple(batch.keys[p].removeprefix("train") for p in places[mask]))
    assert found == whole
    (batch,) = data.test_dataloader()
    assert {key.partition("/")[0] for key in batch.keys} == {"test"}
    assert batch.dialogues is not None
    longest = int(batch.dialogues.mask.sum(dim=1).argmax())
    assert batch.dialogues.speaker[longest].tolist() == [0, 1, 0, 1, 0]
    (single,) = build(dialogues, five, eval_batch_size=20).test_dataloader()
    assert single.dialogues is None


def test_a_dialogue_of_two_splits_is_two(dialogues: PreparedCorpus, five: LabelSet) -> None:
    split = GroupDisjointSplit("by_speaker", ["speaker"], 3, 2, 0, 0)
    manifest = dialogues.manifest
    manifest["speaker"] = manifest["utterance_id"].map(lambda n: "ABC"[n % 3])
    data = build(dialogues, five, split=split, dialogue_batches=True, batch_size=99)
    (batch,) = data.train_dataloader()
    train = set(data.datasets["train"].keys)
    assert set(batch.keys) == train
    speakers = data.datasets["train"].rows["speaker"].unique()
    assert len(speakers) == 1, "the others are of other splits"
    assert batch.dialogues is not None
    assert not batch.dialogues.speaker.any()


def test_excluded_classes_are_context_and_not_answered(dialogues: PreparedCorpus) -> None:
    labels = LabelSet("two", {"joy": "#111111", "anger": "#222222"})
    manifest = dialogues.manifest
    broken = manifest["key"] == "test/dia0_utt3"
    manifest.loc[broken, ["status", "reason"]] = ["skipped", "no sound track"]
    data = build(dialogues, labels, dialogue_batches=True, eval_batch_size=9)
    assert [len(dataset.rows) for dataset in data.datasets.values()] == [4, 4, 4]
    (batch,) = data.test_dataloader()
    # Utterance 9, sadness or surprise, is alone in its dialogue, in which nothing is asked.
    assert sorted(batch.keys) == [f"test/dia0_utt{n}" for n in (0, 1, 5, 6)]
    assert batch.audio is not None and batch.text is not None
    assert isinstance(batch.audio, AudioInput) and len(batch.audio.waveform) == 8
    assert batch.target.tolist() == [1 - int(key[-1]) % 5 for key in batch.keys]
    found = batch.dialogues
    assert found is not None
    order = [places[mask].tolist() for places, mask in zip(found.places, found.mask, strict=True)]
    assert sorted(map(len, order)) == [3, 5]
    for places in order:
        # Told backwards: 2, 1, 0 and 8, 7, 6, 5, 4.
        asked = [int(batch.keys[p][-1]) for p in places if p < len(batch)]
        assert asked == sorted(asked, reverse=True)
    long = max(order, key=len)
    assert [p < len(batch) for p in long] == [False, False, True, True, False]


def test_single_utterances_are_those_that_are_answered(dialogues: PreparedCorpus) -> None:
    labels = LabelSet("two", {"joy": "#111111", "anger": "#222222"})
    data = build(dialogues, labels, dialogue_batches=True, eval_batch_size=3)
    answered = sorted(data.datasets["train"].rows["key"])
    assert len(answered) == 4 < len(data.datasets["train"])
    for loader in (data.train_sample_dataloader(99), data.ordered_dataloader("train")):
        batches = list(loader)
        assert sorted(key for batch in batches for key in batch.keys) == answered
        for batch in batches:
            assert isinstance(batch.audio, AudioInput)
            assert len(batch.audio.waveform) == len(batch.target) == len(batch)
    assert len([*data.train_sample_dataloader(2)][0]) == 2
    whole = [*data.whole_dataloader("train")]
    assert sorted(key for batch in whole for key in batch.keys) == answered
    assert all(batch.dialogues is not None for batch in whole)


def test_the_classifier_answers_what_is_answered() -> None:
    model = EmotionClassifier(
        None,
        ScratchTextEncoder(vocab_size=300, width=4, num_layers=1, num_heads=1, max_tokens=8),
        BottleneckFusion,
        num_classes=3,
        context=partial(DialogueRNN, global_dim=3, party_dim=3, emotion_dim=3),
    ).eval()
    features = torch.randn(4, 1, 4)

    def example(place: int, is_answered: bool = True) -> Example:
        turn = Turn("d", "ab"[place % 2])
        vectors = {"text_features": features[place]}
        return Example(
            str(place), place % 3, None, None, turn=turn, is_answered=is_answered, **vectors
        )

    whole = model(Collator()([example(place) for place in range(4)]))
    part = Collator()([example(place, is_answered=place in (1, 3)) for place in range(4)])
    assert part.keys == ("1", "3")
    assert part.target.tolist() == [1, 0]
    torch.testing.assert_close(model(part), whole[[1, 3]])


def test_what_has_no_whole_dialogues_is_refused(dialogues: PreparedCorpus, five: LabelSet) -> None:
    copies = OversampledBeforeSplit(["train", "val"], 0.25, 0.25, 0)
    whole, rare = dialogues.manifest, ["train/dia0_utt0", "train/dia0_utt5", "val/dia0_utt5"]
    dialogues.manifest = whole[~whole["key"].isin(rare)]
    with pytest.raises(InputError, match="several times; a split that copies"):
        build(dialogues, five, split=copies, dialogue_batches=True)
    dialogues.manifest = whole
    with pytest.raises(InputError, match="sampling: expected natural .* got BalancedSampling"):
        build(dialogues, five, sampling=BalancedSampling(), dialogue_batches=True)
    dialogues.manifest["dialogue_id"] = range(len(dialogues.manifest))
    with pytest.raises(InputError, match="each of the 10 training utterances is alone"):
        build(dialogues, five, dialogue_batches=True)
    tested = build(dialogues, five, dialogue_batches=True, splits=("test",))
    assert len(tested.datasets["test"].dialogues or ()) == 10


def test_processes_have_dialogues_of_their_own(dialogues: PreparedCorpus, five: LabelSet) -> None:
    keys = []
    for rank in range(2):
        data = build(dialogues, five, dialogue_batches=True, eval_batch_size=1)
        data.trainer = SimpleNamespace(  # type: ignore[assignment]
            world_size=2,
            global_rank=rank,
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
        keys += [key for batch in data.val_dataloader() for key in batch.keys]
    assert sorted(keys) == sorted(data.datasets["val"].keys)
