from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch

from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.oversampled_split import OversampledBeforeSplit
from mmemo.corpora.splits import GroupDisjointSplit, OfficialSplit, SplitProtocol
from mmemo.corpora.utterance import LabelSet
from mmemo.data.batch import Collator, Example, TextInput
from mmemo.data.context import Context, dialogue_contexts, spoken_texts
from mmemo.data.datamodule import EmotionDataModule
from mmemo.data.frontends import Tokens
from mmemo.data.selection import kept_rows
from mmemo.data.text_cleaning import AlphanumericCleaning
from mmemo.errors import InputError
from tests.conftest import MeldMaker

# Key, split of the corpus, dialogue, utterance, speaker, emotion, transcript, status.
CORPUS = [
    ("t0.2", "train", 0, 2, "Bo", "joy", "Great!", "kept"),
    ("t0.0", "train", 0, 0, "Al", "joy", "Hi.", "kept"),
    ("t0.1", "train", 0, 1, "Al", "fear", "No...", "kept"),
    ("t0.3", "train", 0, 3, "", "joy", "So?", "skipped"),
    ("t0.4", "train", 0, 4, "Al", "joy", "", "skipped"),
    ("t0.7", "train", 0, 7, "Al", "anger", "Stop it.", "kept"),
    ("t1.0", "train", 1, 0, "Al", "joy", "Another.", "kept"),
    ("v0.0", "val", 0, 0, "Al", "joy", "Elsewhere.", "kept"),
    ("v0.1", "val", 0, 1, "Bo", "joy", "There.", "kept"),
]
COLUMNS = (
    "key",
    "split",
    "dialogue_id",
    "utterance_id",
    "speaker",
    "emotion",
    "transcript",
    "status",
)


@pytest.fixture
def states() -> pd.DataFrame:
    return pd.DataFrame(CORPUS, columns=list(COLUMNS)).assign(corpus="meld")


def contexts(
    states: pd.DataFrame, num_before: int, num_after: int, split: SplitProtocol | None = None
) -> dict[str, Context]:
    kept = kept_rows(states)
    protocol = split or OfficialSplit()
    rows = protocol.assign(kept[kept["emotion"].isin(["joy", "anger"])], "emotion")
    found = dialogue_contexts(states, rows, num_before, num_after, protocol.group_columns)
    return dict(zip(rows["key"], found, strict=True))


def test_context_is_what_was_said_nearest_whatever_its_label(states: pd.DataFrame) -> None:
    assert contexts(states, 2, 1) == {
        "t0.0": Context((), ("t0.1",)),
        "t0.2": Context(("t0.0", "t0.1"), ("t0.3",)),
        "t0.7": Context(("t0.2", "t0.3"), ()),
        "t1.0": Context(),
        "v0.0": Context((), ("v0.1",)),
        "v0.1": Context(("v0.0",), ()),
    }
    earlier_alone = contexts(states, 9, 0)
    assert earlier_alone["t0.7"] == Context(("t0.0", "t0.1", "t0.2", "t0.3"))
    assert all(context.after == () for context in earlier_alone.values())
    assert set(contexts(states, 0, 0).values()) == {Context()}


def test_texts_are_cleaned_and_named(states: pd.DataFrame) -> None:
    plain = spoken_texts(states, None, speaker_names=False)
    assert plain["t0.1"] == "No..."
    named = spoken_texts(states, AlphanumericCleaning(), speaker_names=True)
    assert (named["t0.1"], named["t0.2"]) == ("Al: No", "Bo: Great")
    assert named["t0.3"] == "So", "no name is known"


def test_a_model_does_not_read_which_of_several_corpora_a_speaker_is_of(
    states: pd.DataFrame,
) -> None:
    joint = states.assign(key="meld/" + states["key"], speaker="meld/" + states["speaker"])
    named = spoken_texts(joint, None, speaker_names=True)
    assert named["meld/t0.2"] == "Bo: Great!"


class BySpeaker(OfficialSplit):
    """Bo is tested, Al trains; Cy, who says nothing that is dealt, is neither."""

    group_columns = ("speaker",)

    def assign(self, rows: pd.DataFrame, column: str) -> pd.DataFrame:
        rows = super().assign(rows, column)
        return rows.assign(split=rows["speaker"].map({"Al": "train", "Bo": "test"}))


def test_no_context_is_taken_from_another_split(states: pd.DataFrame) -> None:
    found = contexts(states, 9, 9, BySpeaker())
    # t0.1 and t0.3 are of no split: the dialogue is in both, so that neither has them.
    assert found["t0.0"] == Context((), ("t0.7",))
    assert found["t0.2"] == Context()
    assert found["t0.7"] == Context(("t0.0",))
    assert found["v0.1"] == Context()


def test_what_is_not_dealt_goes_with_its_dialogue_unless_its_group_is_elsewhere(
    states: pd.DataFrame,
) -> None:
    # Without Bo's row, dialogue 0 is Al's alone; Bo is tested by v0.1.
    states.loc[states["key"] == "t0.2", "emotion"] = "fear"
    states.loc[states["key"] == "t0.3", "speaker"] = "Cy"
    found = contexts(states, 9, 0, BySpeaker())
    assert found["t0.7"] == Context(("t0.0", "t0.1", "t0.3")), "Bo is in the other split"


def test_copies_in_several_splits_are_nobodys_context(states: pd.DataFrame) -> None:
    joy = ["joy", "anger"]
    split = OversampledBeforeSplit(["train"], 0.34, 0.34, seed=0)
    rows = split.assign(
        states[(states["status"] == "kept") & states["emotion"].isin(joy)], "emotion"
    )
    found = dialogue_contexts(states, rows, 9, 9)
    splits = rows.groupby("source_key")["split"].agg(set)
    assert any(len(s) > 1 for s in splits), "the one row of anger is copied"
    for (_, row), context in zip(rows.iterrows(), found, strict=True):
        for key in (*context.before, *context.after):
            assert splits[key] == {row["split"]}


class Words:
    """Tokens are the words' lengths; context is kept whole."""

    pad_token_id = 0

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        parts = [[len(w) for w in text.split()] for text in (*before, transcript, *after)]
        start = sum(map(len, parts[: len(before)]))
        span = (start, start + len(parts[len(before)])) if before or after else None
        return Tokens(sum(parts, []), span)


def test_the_loader_hands_out_context(make_meld: MeldMaker, tmp_path: Path, five: LabelSet) -> None:
    prepared = Preparer(tmp_path / "p", num_workers=0).prepare(
        MeldCorpus(make_meld(per_split=10)).read(), None
    )

    def build(labels: LabelSet = five, **options: object) -> EmotionDataModule:
        given = {"batch_size": 4, "eval_batch_size": 4, "max_duration_s": 1.0, "num_workers": 0}
        return EmotionDataModule(
            prepared,
            labels,
            None,
            Words(),
            seed=0,
            **{"split": OfficialSplit(), **given, **options},  # type: ignore[arg-type]
        )

    # "Sentence 3 of sadness." after "Sentence 2 of neutral.", whose class is left out.
    two = LabelSet("two", {"joy": "#111111", "sadness": "#222222"})
    dataset = build(two, context_utterances=1, future_utterances=1, speaker_names=True).datasets
    example = dataset["val"][1]
    assert example.key == "val/dia0_utt3"
    assert example.input_ids is not None
    assert example.input_ids.tolist() == [4, 8, 1, 2, 8, 4, 8, 1, 2, 8, 4, 8, 1, 2, 9]
    assert example.own_tokens == (5, 10)
    assert dataset["val"].lengths()[1] == 3 * len("Ada: Sentence 3 of sadness.") + 1
    plain = build(two).datasets["val"][1]
    assert plain.input_ids is not None
    assert (plain.input_ids.tolist(), plain.own_tokens) == ([8, 1, 2, 8], None)
    with pytest.raises(InputError, match="future_utterances: expected at least 0, got -1"):
        build(future_utterances=-1)

    half = (prepared.manifest["utterance_id"] >= 5).map({False: "first", True: "second"})
    prepared.manifest["speaker"] = half.where(prepared.manifest["split"] != "test", "third")
    by_speaker = GroupDisjointSplit("by_speaker", ["speaker"], 3, 2, 0, 0)
    datamodule = build(split=by_speaker, context_utterances=1)
    assert sum(len(d) for d in datamodule.datasets.values()) == 30
    for part in datamodule.datasets.values():
        for row, before in zip(part.rows.itertuples(), part.before, strict=True):
            begins = row.utterance_id == 0 or (row.utterance_id == 5 and row.speaker != "third")
            assert len(before) == (0 if begins else 1), row.key


def test_own_tokens_are_marked_where_there_are_others() -> None:
    def text(*examples: Example) -> TextInput:
        found = Collator(pad_token_id=1)(examples).text
        assert isinstance(found, TextInput)
        return found

    plain = Example("a", 0, None, torch.tensor([5, 6]))
    beside = Example("b", 0, None, torch.tensor([5, 6, 7, 8]), own_tokens=(1, 3))
    assert text(plain, plain).own is None
    assert torch.equal(text(plain).pooled_mask, text(plain).mask)
    both = text(plain, beside).to("cpu")
    assert both.pooled_mask.tolist() == [[True, True, False, False], [False, True, True, False]]
    assert both.mask.tolist() == [[True, True, False, False], [True] * 4]
