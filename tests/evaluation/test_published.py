from __future__ import annotations

from pathlib import Path

import pytest

from mmemo.commands.launch import config_dir
from mmemo.errors import InputError
from mmemo.evaluation.published import published_for, read_published

ENTRY = """
corpus: meld
classes: {three: [negative, neutral, positive]}
results:
  - system: A
    modalities: text
    context: none
    metric: METRIC
    classes: three
    split: official
    value: 0.5
    source: B
"""


def test_ours_name_metric_classes_and_split() -> None:
    results = read_published(config_dir() / "published")
    assert {len(result.classes) for result in results} == {5, 7}
    assert all(0 < result.value < 1 for result in results)
    telme = next(result for result in results if result.system == "TelME")
    assert (telme.metric, telme.value, len(telme.classes)) == ("weighted_f1", 0.6737, 7)
    recipe = [result for result in results if "the recipe" in result.system]
    assert recipe
    assert all(result.split == "not the official test split" for result in recipe)


def test_those_of_another_corpus_do_not_stand_beside(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ENTRY.replace("METRIC", "accuracy"))
    (result,) = read_published(tmp_path)
    assert published_for([result], {"corpus": "meld"}) == [result]
    assert published_for([result], {"corpus": "demo"}) == []
    assert result.document()["classes"] == ["negative", "neutral", "positive"]


def test_an_entry_without_a_known_metric_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ENTRY.replace("METRIC", "f1"))
    with pytest.raises(InputError, match=r"a\.yaml: expected system, .*got .*'metric': 'f1'"):
        read_published(tmp_path)
