from __future__ import annotations

from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mmemo.corpora.facts import CorpusFacts, Difference, ExpectedCounts
from mmemo.errors import InputError
from mmemo.folders import config_dir
from tests.audit.hand_made import table

ROWS = table(
    ("train", 0, 0, "joy", "a"),
    ("train", 0, 3, "joy", "b"),
    ("train", 2, 0, "fear", "c"),
    ("val", 0, 0, "anger", "d"),
    ("test", 0, 0, "joy", "e"),
    speaker=["Ada", "Bo", "Ada", "Ada", "Cy"],
)


def facts(**known: Any) -> CorpusFacts:  # noqa: ANN401 (of any field)
    return CorpusFacts("CC0-1.0", "https://example.org", "Ada 2020", **known)


def test_each_count_that_is_another_one_is_told() -> None:
    known = facts(
        total={"num_rows": 6, "num_speakers": 3},
        splits={
            "train": ExpectedCounts(3, 3, 2, {"emotion": {"joy": 1, "anger": 1}}),
            "val": ExpectedCounts(1, 1, 1, {"emotion": {"anger": 1}}),
        },
    )
    whole, train = Difference("all", "rows", 5, 6), Difference("train", "dialogues", 2, 3)
    assert known.differences(ROWS, "emotion") == (
        whole,
        train,
        Difference("train", "anger", 0, 1),
        Difference("train", "fear", 1, 0),
        Difference("train", "joy", 2, 1),
    )
    assert known.differences(ROWS, "sentiment") == (whole, train)
    assert known.differences(ROWS, "emotion", has_own_split=False) == (whole,)


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({}, ""),
        ({"total": {"num_rows": 5, "num_speakers": 3}, "speakers": ["Ada", "Bo", "Cy"]}, ""),
        ({"splits": {"train": {"num_rows": 3, "num_dialogues": 7}}}, ""),
        (
            {"total": {"num_rows": 9}, "speakers": ["Ada", "Bo", "Cy", "Di", "Eve", "Flo", "Gil"]},
            "expected 9 rows of 7 speakers, found 5 of 3: speakers Di to Gil are missing",
        ),
        (
            {
                "total": {"num_rows": 9, "labels": {"emotion": {"joy": 7, "calm": 2}}},
                "speakers": ["Ada", "Bo", "Cy", "Di"],
            },
            "expected 9 rows of 4 speakers, found 5 of 3: speaker Di is missing, no calm",
        ),
        (
            {"total": {"num_rows": 9}, "speakers": ["Aba", "Ada", "Bo"]},
            "expected 9 rows of 3 speakers, found 5 of 3: speaker Aba is missing, "
            "speaker Cy not known",
        ),
        (
            {"total": {"num_rows": 6, "labels": {"emotion": {"joy": 4, "fear": 1, "anger": 1}}}},
            "expected 6 rows, found 5: 3 of 4 joy",
        ),
        ({"splits": {"test": {"num_rows": 2}}}, "expected 2 rows, found 5: 1 of 2 rows in test"),
        (
            {"total": {"labels": {"emotion": {"joy": 3, "fear": 1}}}},
            "not as documented: 1 of 0 anger",
        ),
    ],
)
def test_what_a_copy_lacks_is_one_sentence(known: dict[str, Any], sentence: str) -> None:
    assert facts(**known).shortfall(ROWS) == sentence


def test_rows_without_a_speaker_are_of_none() -> None:
    rows = ROWS.assign(speaker=["", None, "Ada", "Ada", "Cy"])
    assert facts(total={"num_speakers": 2}).shortfall(rows) == ""


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ({"total": {"rows": 3}}, "facts.total: expected some of num_rows, .*, got rows"),
        ({"total": {"num_rows": "many"}}, "facts.total.num_rows: expected counts, got 'many'"),
        ({"splits": {"dev": {"num_rows": 3}}}, "facts.splits: expected some of train, val, test"),
        (
            {"splits": {"val": {"labels": {"emotion": {"joy": -1}}}}},
            "facts.splits.val.labels.emotion.joy: .*got '-1'",
        ),
    ],
)
def test_facts_that_are_none_are_refused(known: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        facts(**known)


def documented() -> dict[str, CorpusFacts]:
    """The facts of every file of conf/corpus that states some."""
    files = {path.stem: OmegaConf.load(path) for path in (config_dir() / "corpus").glob("*.yaml")}
    return {
        name: instantiate(file.facts, _convert_="all")
        for name, file in files.items()
        if file.get("facts")
    }


def test_documented_classes_sum_to_the_documented_rows() -> None:
    found = documented()
    for name, known in found.items():
        for part in (known.total, *known.splits.values()):
            for labels in part.labels.values():
                assert sum(labels.values()) == part.num_rows, name
        if known.speakers and known.total.num_speakers is not None:
            assert known.total.num_speakers == len(known.speakers), name
        assert known.licence, name
        assert known.homepage.startswith("https://"), name
        assert known.citation, name
        assert known.usual_split, name
    assert found["meld"].num_rows == 9989 + 1109 + 2610
    assert {column for part in found["meld"].splits.values() for column in part.labels} == {
        "emotion",
        "sentiment",
    }
