from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmemo.comparison.comparison import Comparison
from mmemo.errors import InputError
from tests.comparison.compared_runs import GOOD, compared, many, table
from tests.comparison.run_folders import predictions, write_run


def test_one_dialogue_has_scores_and_no_interval(tmp_path: Path) -> None:
    for dim, preds in ((32, "ajn"), (64, "ajj")):
        rows = predictions("test", "ajn", preds)
        write_run(tmp_path / str(dim), rows, settings={"fusion.bottleneck_dim": dim})
    (result,) = compared(tmp_path)["tables"]
    assert [group["test"]["accuracy"]["interval"] for group in result["groups"]] == [None, None]
    (pair,) = result["differences"]
    assert (pair["interval"], pair["bootstrap_p"], pair["randomisation_p"]) == (None, None, None)
    assert set(pair["holm"].values()) == {None}


@pytest.fixture
def many_dialogues(tmp_path: Path) -> Path:
    """Three seeds of a good setting and of a bad one."""
    rng = np.random.default_rng(0)
    for seed in (1, 2, 3):
        for dim, share in ((32, 0.9), (64, 0.1)):
            write_run(
                tmp_path / f"{dim}-{seed}",
                many(rng, share),
                many(rng, share, "val"),
                seed,
                settings={"fusion.bottleneck_dim": dim},
            )
    return tmp_path


def test_settings_and_these_trained_models_have_intervals_of_their_own(
    many_dialogues: Path,
) -> None:
    (result,) = compared(many_dialogues)["tables"]
    inference = result["inference"]
    assert (inference["unit"], inference["num_units"]) == ("dialogue", 24)
    assert inference["kinds"] == {
        "interval": "the setting: seeds and dialogues drawn anew",
        "interval_models": "these trained models: dialogues drawn anew",
    }
    for group in result["groups"]:
        for score in group["test"].values():
            (low, high), (models_low, models_high) = score["interval"], score["interval_models"]
            assert low < score["mean"] < high
            assert models_low < score["mean"] < models_high
            # Percentiles and quantiles of t differ a little.
            assert high - low > 0.9 * (models_high - models_low)
    (pair,) = result["differences"]
    assert pair["setting_p"] < 0.01 and pair["bootstrap_p"] < 0.01
    assert pair["interval"][0] < pair["difference"] < pair["interval"][1]
    assert pair["holm"]["setting_p"] == pair["setting_p"]
    (cost,) = [note for note in result["notes"] if "What the seeds cost" in note]
    assert "with 10 seeds each" in cost
    again = compared(many_dialogues)["tables"][0]
    assert again["differences"] == result["differences"]


def test_one_seed_tells_nothing_of_the_setting(many_dialogues: Path) -> None:
    for run in many_dialogues.glob("*-[23]"):
        run.rename(many_dialogues.parent / f"away-{run.name}")
    (result,) = compared(many_dialogues)["tables"]
    score = result["groups"][0]["test"]["accuracy"]
    assert score["interval"] is None and score["interval_models"] is not None
    assert result["differences"][0]["setting_p"] is None
    assert any("A setting has an interval from 3 seeds on" in note for note in result["notes"])


def test_what_the_split_keeps_together_is_drawn(many_dialogues: Path, tmp_path: Path) -> None:
    (by_option,) = compared(many_dialogues, unit="speaker")["tables"]
    assert by_option["inference"]["num_units"] == 2
    assert by_option["inference"]["is_unit_of_split"] is False
    (alone,) = compared(many_dialogues, unit="utterance")["tables"]
    assert (alone["inference"]["unit"], alone["inference"]["num_units"]) == ("utterance", 48)
    kept = {"split": "speaker_disjoint", "split_settings": {"group_columns": ["speaker"]}}
    rng = np.random.default_rng(0)
    write_run(tmp_path / "kept" / "1", many(rng, 0.9), protocol=kept)
    (result,) = compared(tmp_path / "kept")["tables"]
    assert (result["inference"]["unit"], result["inference"]["num_units"]) == ("speaker", 2)
    with pytest.raises(InputError, match="unit: expected null"):
        Comparison(unit="clip")


def test_a_split_whose_groups_are_not_in_the_predictions_is_told(tmp_path: Path) -> None:
    kept = {"split_settings": {"group_columns": ["season", "episode"]}}
    write_run(tmp_path / "1", table(GOOD[0]), protocol=kept)
    (result,) = compared(tmp_path)["tables"]
    assert result["inference"]["unit"] == "dialogue"
    assert any("keeps each episode together, which these" in note for note in result["notes"])


def test_more_comparisons_take_more_resamples(many_dialogues: Path) -> None:
    rng = np.random.default_rng(1)
    for dim in range(100, 128):
        write_run(
            many_dialogues / str(dim),
            many(rng, 0.5),
            many(rng, 0.5, "val"),
            settings={"fusion.bottleneck_dim": dim},
        )
    (result,) = compared(many_dialogues)["tables"]
    inference = result["inference"]
    assert (inference["num_comparisons"], inference["num_resamples"]) == (29, 5800)
    assert inference["smallest_adjusted_p"]["randomisation_p"] == pytest.approx(29 / 5801)
    assert inference["smallest_adjusted_p"]["bootstrap_p"] < 0.1
    assert any("smallest p that 24 dialogues and 5,800" in note for note in result["notes"])
