from pathlib import Path

import pandas as pd
import pytest
import torch

from mmemo.errors import InputError
from mmemo.evaluation.predictions import build_table, classes_of, read_predictions, restricted

ROWS = pd.DataFrame(
    {
        "key": ["test/dia0_utt0", "test/dia0_utt1", "test/dia4_utt0"],
        "split": "test",
        "corpus": "meld",
        "corpus_split": ["test", "test", "train"],
        "split_protocol": "by hand",
        "dialogue_id": [0, 0, 4],
        "utterance_id": [0, 1, 0],
        "speaker": ["Ada", "Dev", "Ada"],
        "transcript": ["Hi.", "No!", "Oh."],
        "emotion": ["joy", "anger", "joy"],
        "offset": [0, 5, 9],
        "num_samples": [16000, 24000, 0],
        "unit": ["test/0", "test/0", "train/4"],
    }
)
OUTPUTS = [
    (("test/dia4_utt0",), torch.tensor([[0.9, 0.1]])),
    (("test/dia0_utt0", "test/dia0_utt1"), torch.tensor([[0.3, 0.7], [0.2, 0.8]])),
]


def test_each_utterance_has_its_row_in_corpus_order() -> None:
    table = build_table(OUTPUTS, ROWS, ["joy", "anger"], "emotion", 16000)
    assert list(table.columns) == [
        *("key", "split", "corpus_split", "split_protocol", "dialogue_id", "utterance_id"),
        *("speaker", "transcript"),
        *("target", "corpus", "unit", "duration_s", "pred", "prob_joy", "prob_anger"),
    ]
    assert table["key"].tolist() == ROWS["key"].tolist()
    assert table["target"].tolist() == ["joy", "anger", "joy"]
    assert table["pred"].tolist() == ["anger", "anger", "joy"]
    assert table["prob_joy"].tolist() == pytest.approx([0.3, 0.2, 0.9])
    assert table["duration_s"].tolist() == pytest.approx([1.0, 1.5, float("nan")], nan_ok=True)
    assert classes_of(table) == ["joy", "anger"]


@pytest.mark.parametrize("outputs", [OUTPUTS[:1], [*OUTPUTS, OUTPUTS[0]]], ids=["lost", "twice"])
def test_lost_and_repeated_predictions_are_errors(outputs: list[object]) -> None:
    with pytest.raises(RuntimeError, match="each of 3 utterances to be predicted once"):
        build_table(outputs, ROWS, ["joy", "anger"], "emotion", 16000)  # type: ignore[arg-type]


def test_table_survives_parquet(tmp_path: Path) -> None:
    table = build_table(OUTPUTS, ROWS, ["joy", "anger"], "emotion", 16000)
    table.to_parquet(tmp_path / "p.parquet", index=False)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "p.parquet"), table)
    earlier = table.drop(columns="duration_s")
    earlier.to_parquet(tmp_path / "p.parquet", index=False)
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "p.parquet"), earlier)


def test_missing_and_foreign_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p\.parquet: expected a table of predictions"):
        read_predictions(tmp_path / "p.parquet")
    pd.DataFrame({"key": ["a"]}).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"missing split, corpus_split"):
        read_predictions(tmp_path / "p.parquet")


def test_a_table_among_some_of_its_classes() -> None:
    table = pd.DataFrame(
        {
            "key": ["a", "b", "c", "d"],
            "target": ["joy", "fear", "anger", "joy"],
            "pred": ["fear", "joy", "joy", "fear"],
            "prob_anger": [0.1, 0.2, 0.1, 0.0],
            "prob_fear": [0.5, 0.2, 0.1, 1.0],
            "prob_joy": [0.4, 0.6, 0.8, 0.0],
        }
    )
    found = restricted(table, ["joy", "anger"])
    assert found.drop(columns=["prob_joy", "prob_anger"]).to_dict("list") == {
        "key": ["a", "c", "d"],
        "target": ["joy", "anger", "joy"],
        "pred": ["joy", "joy", "joy"],
    }
    # 0.4 and 0.1 of their sum; where both are 0 they are equal.
    assert found["prob_joy"].tolist() == pytest.approx([0.8, 8 / 9, 0.5])
    assert found["prob_anger"].tolist() == pytest.approx([0.2, 1 / 9, 0.5])
