from pathlib import Path
from typing import Any

import pytest
import yaml

from mmemo.commands.launch import config_dir
from mmemo.comparison.published import PublishedResult, comparable, read_published
from mmemo.errors import InputError

FIVE = ["anger", "joy", "neutral", "sadness", "surprise"]
SEVEN = ["anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise"]
ENTRY: dict[str, Any] = {
    "system": "A",
    "modalities": "text",
    "context": "none",
    "metric": "accuracy",
    "classes": "two",
    "split": "official",
    "value": 0.5,
    "source": "by hand",
}


def write(folder: Path, **changes: object) -> Path:
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    document = {"corpus": "c", "classes": {"two": ["joy", "anger"]}, "results": [entry]}
    (folder / "c.yaml").write_text(yaml.safe_dump(document))
    return folder


def test_an_entry_is_read_with_the_classes_of_its_file(tmp_path: Path) -> None:
    (result,) = read_published(write(tmp_path, sd=0.01, num_runs=3))
    assert result == PublishedResult(
        *("c", "A", "text", "none", "accuracy", ("joy", "anger"), "official", 0.5, "by hand"),
        sd=0.01,
        num_runs=3,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": None}, "expected the fields classes, context, metric"),
        ({"f1": 0.5}, "expected the fields"),
        ({"metric": "f1"}, "expected a metric of accuracy, macro_f1, weighted_f1"),
        ({"classes": "five"}, "expected classes of two"),
        ({"value": 67.37}, "expected a value between 0 and 1"),
    ],
    ids=["missing", "unknown", "metric", "classes", "per cent"],
)
def test_a_wrong_entry_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"c\.yaml: {message}.*correct that entry"):
        read_published(write(tmp_path, **changes))


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("results: []")
    with pytest.raises(InputError, match=r"c\.yaml: expected classes, corpus, results"):
        read_published(tmp_path)


def test_what_differs_is_named_and_comes_last(tmp_path: Path) -> None:
    (result,) = read_published(write(tmp_path))
    assert result.differs_in(["anger", "joy"], "official", "accuracy") == []
    assert result.differs_in(["joy"], "official", "accuracy") == ["classes"]
    leaky = result.differs_in(["joy", "anger"], "oversampled_before_split (LEAKY)", "macro_f1")
    assert leaky == ["metric", "split"]
    (other,) = read_published(write(tmp_path, metric="macro_f1"))
    ours = ("c", ["joy", "anger"], "official")
    found = comparable([other, result], *ours, "accuracy")
    assert [result.differs for result in found] == [(), ("metric",)]
    assert comparable([result], "another corpus", *ours[1:], "accuracy") == ()


def beside(classes: list[str], split: str, metric: str) -> dict[str, float]:
    shipped = read_published(config_dir() / "published")
    found = comparable(shipped, "meld", classes, split, metric)
    return {result.system: result.value for result in found if not result.differs}


def test_the_papers_own_numbers_stand_beside_no_official_ones() -> None:
    """Nor beside the leaky protocol's: the paper does not state its evaluation set."""
    for metric in ("accuracy", "macro_f1", "weighted_f1"):
        for split in ("official", "oversampled_before_split (LEAKY)"):
            assert not [name for name in beside(FIVE, split, metric) if "recipe" in name]
    assert beside(FIVE, "official", "accuracy") == {"always neutral": 0.504}
    assert beside(FIVE, "official", "weighted_f1") == {}


def test_seven_classes_on_the_official_split() -> None:
    found = beside(SEVEN, "official", "weighted_f1")
    assert found["TelME"] == 0.6737
    assert found["MiSTER-E"] == 0.695
    assert found["RoBERTa-large"] == 0.637
    assert (found["DialogueRNN"], found["DialogueGCN"]) == (0.5703, 0.581)
    assert "Bi-LG-GCN" not in beside(SEVEN, "official", "accuracy")


def test_what_was_published_on_iemocap_is_of_other_splits() -> None:
    shipped = read_published(config_dir() / "published")
    four = ["anger", "joy", "neutral", "sadness"]
    for split in ("official", "leave_one_group_out", "leave_one_speaker_out"):
        found = comparable(shipped, "iemocap", four, split, "uar")
        assert {result.value for result in found} > {0.7105, 0.727, 0.6418}
        assert all("split" in result.differs for result in found)


def test_always_neutral_is_what_the_official_counts_give() -> None:
    # 1,256 of 2,610 test utterances, of 2,492 without disgust and fear.
    share = 1256 / 2610
    assert round(share, 3) == beside(SEVEN, "official", "accuracy")["always neutral"]
    f1 = 2 * share / (1 + share)
    assert round(share * f1, 3) == beside(SEVEN, "official", "weighted_f1")["always neutral"]
    assert round(1256 / 2492, 3) == beside(FIVE, "official", "accuracy")["always neutral"]
