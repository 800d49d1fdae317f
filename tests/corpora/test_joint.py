"""Several corpora as one: names that cannot be mixed up, and the classes that they share."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.joint import JointCorpus, Rule
from mmemo.corpora.splits import GroupDisjointSplit
from mmemo.corpora.utterance import LabelSet, Skip, Utterance, own_name
from mmemo.errors import InputError

FOUR = LabelSet("four", dict.fromkeys(("anger", "joy", "fear", "calm"), "red"))


@dataclass(frozen=True)
class Made:
    """A corpus of an utterance for each emotion, in dialogues of two, all of one speaker."""

    emotions: tuple[str, ...]
    has_clips: bool = True
    problem: str = ""
    origin: str = "its own"
    no_transcripts: str = ""

    def read(self) -> Annotations:
        if self.problem:
            raise InputError(self.problem)
        rows = tuple(
            Utterance(
                corpus="table",
                key=f"{place}.wav",
                split="train" if place else "test",
                dialogue_id=place // 2,
                utterance_id=place % 2,
                speaker="Ada" if place else "",
                transcript="So.",
                emotion=emotion,
                media_path=f"/clips/{place}.wav",
                season=1 if place else None,
                session="1",
                episode=2,
            )
            for place, emotion in enumerate(self.emotions)
        )
        skips = (Skip("row9", "val", "missing field", "emotion empty", "own.csv, row 9"),)
        return Annotations(
            *("table", rows, ClipFiles(), skips, {"train": 2}),
            split_origin=self.origin,
            no_transcripts=self.no_transcripts,
        )


def joint(*emotions: tuple[str, ...], rule: Rule = "intersection") -> JointCorpus:
    names = ("own", "theirs", "third")[: len(emotions)]
    return JointCorpus(dict(zip(names, map(Made, emotions), strict=True)), rule)


def test_rows_of_corpora_with_the_same_names_stay_apart() -> None:
    read = joint(("joy", "anger", "joy"), ("anger", "joy")).read()
    assert read.corpus == "own+theirs"
    rows = read.frame()
    keys = ["own/0.wav", "own/1.wav", "own/2.wav", "theirs/0.wav", "theirs/1.wav"]
    assert rows["key"].tolist() == keys
    assert rows["corpus"].tolist() == ["own"] * 3 + ["theirs"] * 2
    # No name stays none: a split by speakers has to miss it.
    assert rows["speaker"].tolist() == ["", "own/Ada", "own/Ada", "", "theirs/Ada"]
    assert rows["session"].tolist() == ["own/1"] * 3 + ["theirs/1"] * 2
    assert rows["dialogue_id"].tolist() == [0, 0, 1, 2, 2]
    assert rows["season"].fillna(0).tolist() == [0, 1, 1, 0, 101]
    assert rows["split"].tolist() == ["test", "train", "train", "test", "train"]
    assert [skip.key for skip in read.skips] == ["own/row9", "theirs/row9"]
    assert read.num_repaired == {"train": 4}
    assert own_name("theirs", "theirs/Ada") == "Ada"


def test_each_corpus_keeps_its_own_rows_to_be_prepared_from() -> None:
    corpus = joint(("joy", "anger"), ("anger", "joy"))
    read = corpus.read()
    assert {name: part.digest() for name, part in read.parts.items()} == {
        name: part.read().digest() for name, part in corpus.parts.items()
    }
    with pytest.raises(InputError, match="prepare them one by one"):
        read.clips.check()


def test_who_has_split_what_is_told_once_where_it_is_the_same() -> None:
    assert joint(("joy", "anger"), ("joy",)).read().split_origin == "its own"
    made = {"own": Made(("joy",)), "theirs": Made(("joy",), origin="made here, by speaker")}
    origin = JointCorpus(made).read().split_origin
    assert origin == "own: its own; theirs: made here, by speaker"


def test_intersection_leaves_the_classes_that_all_have() -> None:
    read = joint(
        ("joy", "anger", "fear", "fear"), ("joy", "anger"), ("anger", "joy", "fear")
    ).read()
    shared = read.shared_labels(FOUR)
    assert (shared.name, shared.classes) == ("four-shared", ("anger", "joy"))
    # Once is enough: a run that goes on has it in its config already.
    assert read.shared_labels(shared) is shared
    assert read.lacking(FOUR) == {"fear": {"own": 2, "third": 1}, "calm": {}}
    assert read.sentences(FOUR) == [
        "corpus=own+theirs+third, rule intersection: fear is left out, which not every corpus has "
        "(own 2, third 1)",
        "corpus=own+theirs+third, rule intersection: calm is left out, which not every corpus has "
        "(none has)",
    ]


def test_union_keeps_what_any_has() -> None:
    read = joint(("joy", "anger", "fear"), ("joy", "calm"), rule="union").read()
    assert read.shared_labels(FOUR) is FOUR
    assert read.lacking(FOUR)["calm"] == {"theirs": 1}
    assert "calm is kept" in read.sentences(FOUR)[-1]


def test_fewer_than_two_common_classes_are_refused_with_what_is_there() -> None:
    read = joint(("joy", "anger"), ("joy", "fear")).read()
    there = r"found joy \(own: anger, joy; theirs: fear, joy\); set corpus.rule=union"
    with pytest.raises(InputError, match=there):
        read.shared_labels(FOUR)


def test_an_error_of_one_corpus_says_which_and_how_its_settings_are_called() -> None:
    parts = {"own": Made(("joy",)), "theirs": Made((), problem="corpus.csv: expected a file")}
    message = r"corpus.csv: expected a file \(this is of the corpus theirs: write corpus.theirs.KEY"
    with pytest.raises(InputError, match=message):
        JointCorpus(parts).read()


def test_a_corpus_without_transcripts_is_named_to_models_that_read() -> None:
    parts = {"own": Made(("joy",)), "theirs": Made(("joy",), no_transcripts="expected words")}
    told = JointCorpus(parts).read().no_transcripts
    assert told.startswith("expected words (this is of the corpus theirs: ")
    assert JointCorpus({"a": parts["own"], "b": parts["own"]}).read().no_transcripts == ""


@pytest.mark.parametrize(
    ("parts", "rule", "message"),
    [
        ({"own": Made(("joy",))}, "union", "expected two corpora or more, got own"),
        ({}, "union", "expected two corpora or more, got none"),
        ({"a.b": Made(("joy",)), "c": Made(("joy",))}, "union", "letters, digits and _, got a.b"),
        ({"a": Made(("joy",)), "b": Made(("joy",))}, "both", "corpus.rule: expected one of"),
        (
            {"a": Made(("joy",)), "b": JointCorpus({"c": Made(()), "d": Made(())})},
            "union",
            "got b, which are several themselves",
        ),
    ],
)
def test_what_is_no_choice_of_corpora_is_refused(
    parts: dict[str, Made], rule: Rule, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        JointCorpus(parts, rule)


def test_clips_are_there_where_all_have_them() -> None:
    with_clips, without = Made(("joy",)), Made(("joy",), has_clips=False)
    assert JointCorpus({"a": with_clips, "b": with_clips}).has_clips
    assert not JointCorpus({"a": with_clips, "b": without}).has_clips


def test_a_split_by_corpus_tests_one_that_is_not_trained() -> None:
    rows = joint(*[("joy", "anger", "joy", "anger", "joy", "anger")] * 3).read().frame()
    for fold in range(3):
        split = GroupDisjointSplit("by corpus", ["corpus"], 3, 2, fold, seed=0)
        dealt = split.assign(rows, "emotion").groupby("split")["corpus"].unique()
        assert sorted(len(corpora) for corpora in dealt) == [1, 1, 1]
        assert {corpus for corpora in dealt for corpus in corpora} == {"own", "theirs", "third"}
