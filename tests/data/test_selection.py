import pandas as pd
import pytest

from mmemo.corpora.utterance import LabelSet
from mmemo.data.selection import kept_rows, state_counts, utterance_states

RATE = 16_000
TWO = LabelSet("two", {"joy": "#111111", "anger": "#222222"})


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Kept; too short; of another class and too short; broken and of another class; no field."""
    table = pd.DataFrame(
        {
            "key": ["train/a", "train/b", "train/c", "test/d", "test/e", "test/f"],
            "split": ["train", "train", "train", "test", "test", "test"],
            "emotion": ["joy", "joy", "fear", "fear", None, "anger"],
            "sentiment": ["positive", None, "negative", "negative", None, "negative"],
            "status": ["kept", "kept", "kept", "skipped", "skipped", "kept"],
            "reason": [None, None, None, "corrupt container", "missing field", None],
            "detail": [None, None, None, "no header", "Emotion empty", None],
            "num_samples": [16_000, 4_799, 100, None, None, 4_800],
        }
    )
    return table.astype({"num_samples": "Int64"})


def test_each_row_has_one_state_with_the_first_reason(manifest: pd.DataFrame) -> None:
    states = utterance_states(manifest, TWO, 0.3, RATE)
    found = states[["status", "reason", "detail"]].astype(object).where(states.notna(), None)
    assert found[["status", "reason", "detail"]].to_numpy().tolist() == [
        ["kept", None, None],
        ["skipped", "shorter than min_duration_s", "0.300 s, the least is 0.3 s"],
        ["skipped", "class excluded", "fear"],
        ["skipped", "corrupt container", "no header"],
        ["skipped", "missing field", "Emotion empty"],
        ["kept", None, None],
    ]
    assert states["key"].tolist() == manifest["key"].tolist()
    assert kept_rows(states)["key"].tolist() == ["train/a", "test/f"]
    assert states["duration_s"].dropna().tolist() == [1.0, 4799 / RATE, 100 / RATE, 0.3]
    assert manifest["status"].tolist().count("kept") == 4, "the manifest stays as it is"


def test_kept_and_skipped_are_the_rows_read(manifest: pd.DataFrame) -> None:
    counts = state_counts(utterance_states(manifest, TWO, 0.3, RATE))
    assert counts.loc["train"].to_dict() == {
        "rows": 3,
        "kept": 1,
        "class excluded": 1,
        "corrupt container": 0,
        "missing field": 0,
        "shorter than min_duration_s": 1,
    }
    assert counts.loc["all", ["rows", "kept"]].tolist() == [6, 2]
    assert (counts["rows"] == counts.drop(columns="rows").sum(axis=1)).all()


def test_the_label_sets_column_decides(manifest: pd.DataFrame) -> None:
    labels = LabelSet("mood", {"negative": "#111111", "positive": "#222222"}, column="sentiment")
    states = utterance_states(manifest, labels, 0.0, RATE).set_index("key")
    assert states.loc["train/b", ["reason", "detail"]].tolist() == [
        "missing field",
        "sentiment empty",
    ]
    kept = states.index[states["status"] == "kept"].tolist()
    assert kept == ["train/a", "train/c", "test/f"]


def test_nothing_kept_is_a_count_too(manifest: pd.DataFrame) -> None:
    labels = LabelSet("none", {"x": "#111111", "y": "#222222"})
    counts = state_counts(utterance_states(manifest, labels, 0.0, RATE))
    assert counts["kept"].tolist() == [0, 0, 0]
    assert counts["rows"].tolist() == [3, 3, 6]
