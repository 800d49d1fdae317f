from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
)

from tests.comparison.compared_runs import BAD, GOOD, TARGETS, compared, many, table
from tests.comparison.run_folders import write_run


def one_speaker_out(folder: Path, folds: Iterable[int], num_folds: int) -> None:
    """Runs of a cross-validation of which no setting tells how many folds it has."""
    for fold in folds:
        rows = table(GOOD[0]).iloc[2 * fold : 2 * fold + 2]
        write_run(
            folder / str(fold),
            rows.assign(speaker=f"s{fold}"),
            table(BAD[0], "val"),
            settings={"split.test_fold": fold},
            protocol={
                "split": "leave_one_speaker_out",
                "split_settings": {
                    "group_columns": ["speaker"],
                    "num_test_folds": num_folds,
                    "test_fold": fold,
                },
            },
        )


def test_speakers_left_out_one_by_one_are_pooled(tmp_path: Path) -> None:
    one_speaker_out(tmp_path, range(6), 6)
    (result,) = compared(tmp_path, metric="uar")["tables"]
    (group,) = result["groups"]
    assert (result["inference"]["unit"], result["inference"]["num_units"]) == ("speaker", 6)
    assert result["inference"]["is_jackknife"]
    uar = balanced_accuracy_score(list(TARGETS), list(GOOD[0]))
    assert group["test"]["uar"]["values"] == [pytest.approx(uar)]
    low, high = group["test"]["uar"]["interval_models"]
    assert low < uar < high
    assert not any("lacks the test folds" in note for note in result["notes"])
    # Where there is one group alone nothing was chosen.
    assert not any("what validates one fold" in note for note in result["notes"])


def test_folds_that_are_missing_are_listed(tmp_path: Path) -> None:
    one_speaker_out(tmp_path, (0, 1, 4), 6)
    (result,) = compared(tmp_path, metric="uar")["tables"]
    assert any("seed 1 lacks the test folds 2, 3, 5 of 6" in note for note in result["notes"])


def test_folds_are_scored_once_and_need_not_be_in_one_order(tmp_path: Path) -> None:
    val = table(BAD[0], "val")
    for dim, order in ((32, 1), (64, -1)):
        for fold in (0, 1):
            rows = table(GOOD[0]).iloc[6 * fold : 6 * fold + 6]
            write_run(
                tmp_path / f"{dim}-{fold}",
                rows.iloc[::order],
                val.iloc[::order],
                settings={
                    "fusion.bottleneck_dim": dim,
                    "split.test_fold": fold,
                    "split.num_test_folds": 2,
                },
                protocol={"split_settings": {"num_test_folds": 2, "test_fold": fold}},
            )
    (result,) = compared(tmp_path)["tables"]
    assert result["protocol"]["split_settings"] == {"num_test_folds": 2}
    # Both folds validate on the same twelve.
    assert result["protocol"]["num_utterances"] == {"val": 12, "test": 12}
    for group in result["groups"]:
        # 11 of 12 right; the mean of the folds' scores would be another for F1.
        assert group["test"]["accuracy"]["values"] == [pytest.approx(11 / 12)]
        assert (
            group["confusion"]
            == confusion_matrix(list(TARGETS), list(GOOD[0]), labels=["a", "j", "n"]).tolist()
        )
    (pair,) = result["differences"]
    assert (pair["difference"], pair["randomisation_p"], pair["bootstrap_p"]) == (0.0, 1.0, None)
    assert pair["mcnemar"][0]["only_a_right"] == 0


def write_folds(folder: Path, val_folds: tuple[int, ...] = (0,), nested: bool = False) -> None:
    """Two settings, three folds of eight dialogues: a fold validates where the next is tested."""
    rng = np.random.default_rng(3)
    rows = [many(rng, share) for share in (0.9, 0.3)]
    for dim, whole in zip((32, 64), rows, strict=True):
        parts = [whole.iloc[16 * fold : 16 * fold + 16] for fold in range(3)]
        for fold in range(3):
            # In fold 1 the worse setting validates better.
            val = rows[(dim == 64) != (fold == 1)].iloc[16 * ((fold + 1) % 3) :][:16]
            for val_fold in val_folds:
                write_run(
                    folder / f"{dim}-{fold}-{val_fold}",
                    parts[fold],
                    val.assign(split="val"),
                    settings={
                        "fusion.bottleneck_dim": dim,
                        "split.test_fold": fold,
                        "split.num_test_folds": 3,
                        "split.val_fold": val_fold,
                        "split.nested": nested,
                    },
                    protocol={"split_settings": {"test_fold": fold, "nested": nested}},
                )


def test_joined_folds_are_told_to_rank_on_test_and_choose_fold_by_fold(tmp_path: Path) -> None:
    write_folds(tmp_path)
    (result,) = compared(tmp_path, metric="accuracy")["tables"]
    assert result["protocol"]["num_utterances"] == {"val": 48, "test": 48}
    (note,) = [n for n in result["notes"] if "what validates one fold is tested in another" in n]
    assert "split.nested=true" in note
    choice = result["fold_choice"]
    assert choice["chosen"] == {
        "0": "bottleneck_dim=32",
        "1": "bottleneck_dim=64",
        "2": "bottleneck_dim=32",
    }
    rng = np.random.default_rng(3)
    good, bad = (many(rng, share) for share in (0.9, 0.3))
    joined = pd.concat([good.iloc[:16], bad.iloc[16:32], good.iloc[32:]])
    expected = accuracy_score(joined["target"], joined["pred"])
    assert choice["test"]["accuracy"]["values"] == [pytest.approx(expected)]
    low, high = choice["test"]["accuracy"]["interval_models"]
    assert low < expected < high


def test_nested_folds_count_an_utterance_once(tmp_path: Path) -> None:
    write_folds(tmp_path / "one")
    write_folds(tmp_path / "nested", val_folds=(0, 1), nested=True)
    (one,) = compared(tmp_path / "one")["tables"]
    (nested,) = compared(tmp_path / "nested")["tables"]
    assert nested["protocol"]["num_utterances"] == {"val": 48, "test": 48}
    assert nested["protocol"]["split_settings"] == {"nested": True}
    assert nested["inference"]["num_units"] == 24
    for ours, theirs in zip(nested["groups"], one["groups"], strict=True):
        assert ours["test"]["macro_f1"]["values"] == pytest.approx(
            theirs["test"]["macro_f1"]["values"]
        )
    assert not any("split.nested=true" in note for note in nested["notes"])
    (tmp_path / "nested" / "32-0-1" / "run.json").unlink()
    notes = [n for result in compared(tmp_path / "nested")["tables"] for n in result["notes"]]
    assert "demo: seed 1 lacks validation folds of some test folds" in notes
