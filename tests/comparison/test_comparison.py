from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    recall_score,
)

from mmemo.comparison.comparison import ALL_PAIRS_UP_TO, Comparison
from mmemo.comparison.document import read_comparison
from mmemo.comparison.runs import find_runs, read_runs
from mmemo.comparison.subgroup_scores import subgroups_table
from mmemo.comparison.tables import calibration_table
from mmemo.documents import document_text, write_document
from mmemo.errors import InputError
from mmemo.evaluation.own_metrics import OwnMetric
from mmemo.evaluation.subgroups import Subgroups
from tests.comparison.run_folders import CLASSES, predictions, write_run

TARGETS = "ajnajnajnajn"
DIALOGUES = "000111222333"
GOOD = ("ajnajnajnajj", "ajnajnajaajn")
BAD = ("ajnaaaajnjjj", "aaaajnaaaajn")
LEAKY = {
    "split": "oversampled_before_split",
    "leaky": True,
    "leak_shares": {"val": 0.5, "test": 0.9},
}


def table(preds: str, split: str = "test") -> pd.DataFrame:
    return predictions(split, TARGETS, preds, DIALOGUES)


def compared(folder: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401
    """The comparison of the runs in a folder as ``comparison.json`` holds it."""
    document = Comparison(**options).compare(*read_runs(find_runs([folder])))
    content: dict[str, Any] = json.loads(document_text(document))
    return content


@pytest.fixture
def two_groups(tmp_path: Path) -> Path:
    """64 is better on validation, 32 on test."""
    for seed, (good, bad) in enumerate(zip(GOOD, BAD, strict=True), start=1):
        for dim, test, val in ((32, good, bad), (64, bad, good)):
            write_run(
                tmp_path / f"{dim}-{seed}",
                table(test),
                table(val, "val"),
                seed,
                settings={"fusion.bottleneck_dim": dim},
            )
    return tmp_path


def test_validation_ranks_and_test_is_reported(two_groups: Path) -> None:
    (result,) = compared(two_groups, metric="macro_f1")["tables"]
    assert [group["name"] for group in result["groups"]] == [
        "bottleneck_dim=64",
        "bottleneck_dim=32",
    ]
    worse = result["groups"][1]
    tests = [table(preds) for preds in GOOD]
    scores = [f1_score(t["target"], t["pred"], labels=CLASSES, average="macro") for t in tests]
    assert worse["test"]["macro_f1"]["values"] == pytest.approx(scores)
    assert worse["test"]["macro_f1"]["mean"] == pytest.approx(np.mean(scores))
    assert worse["test"]["macro_f1"]["sd"] == pytest.approx(np.std(scores, ddof=1))
    accuracies = [accuracy_score(t["target"], t["pred"]) for t in tests]
    assert worse["test"]["accuracy"]["values"] == pytest.approx(accuracies)
    assert worse["test"]["macro_f1"]["interval"] is None
    assert worse["test"]["macro_f1"]["interval_models"] is None
    joy = [
        f1_score(t["target"], t["pred"], labels=CLASSES, average=None)[CLASSES.index("joy")]
        for t in tests
    ]
    assert worse["per_class_f1"]["joy"]["values"] == pytest.approx(joy)
    both = sum(confusion_matrix(t["target"], t["pred"], labels=CLASSES) for t in tests)
    assert worse["confusion"] == both.tolist()
    assert worse["seeds"] == [1, 2]
    # 50 utterances, two epochs, 10 s.
    assert worse["samples_per_s"]["values"] == [10.0, 10.0]
    assert worse["num_parameters"] == 1000
    assert worse["curves"][0]["metrics"]["val/loss"] == [1.0, 0.5]
    assert worse["curves"][0]["metrics"]["train/loss"] == [1.1, None]


def test_differences_are_paired_and_told_with_what_they_can_reach(two_groups: Path) -> None:
    (result,) = compared(two_groups, metric="accuracy")["tables"]
    (pair,) = result["differences"]
    assert (pair["a"], pair["b"]) == ("bottleneck_dim=64", "bottleneck_dim=32")
    good = [accuracy_score(list(TARGETS), list(preds)) for preds in GOOD]
    bad = [accuracy_score(list(TARGETS), list(preds)) for preds in BAD]
    assert pair["difference"] == pytest.approx(np.mean(bad) - np.mean(good))
    for name in ("interval", "interval_models", "setting_p", "bootstrap_p"):
        assert pair[name] is None, "four dialogues"
    assert pair["randomisation_p"] >= 2 / 2**4
    assert result["inference"]["smallest_p"]["randomisation_p"] == 2 / 2**4
    assert any("4 dialogues and all 2^4 ways to swap them" in note for note in result["notes"])
    assert any("bootstrap p of 4 dialogues: at least 5 are" in n for n in result["notes"])
    only_good = sum(g == t != b for g, b, t in zip(GOOD[0], BAD[0], TARGETS, strict=True))
    assert pair["mcnemar"][0]["only_b_right"] == only_good
    assert pair["wilcoxon"] == {"p": 0.5, "smallest_p": 0.5, "num_pairs": 2}
    assert pair["holm"]["randomisation_p"] == pair["randomisation_p"]
    assert any("With 2 seeds no two-sided p below 0.05" in note for note in result["notes"])


def test_a_baseline_is_compared_with_all_others(two_groups: Path) -> None:
    settings = {"fusion.bottleneck_dim": 128}
    write_run(two_groups / "third", table(GOOD[0]), table(GOOD[0], "val"), settings=settings)
    (result,) = compared(two_groups, baseline="bottleneck_dim=32")["tables"]
    assert result["baseline"] == "bottleneck_dim=32"
    assert {pair["b"] for pair in result["differences"]} == {"bottleneck_dim=32"}
    assert len(result["differences"]) == 2
    assert any("different seeds" in note for note in result["notes"])
    with pytest.raises(InputError, match=r"baseline: expected the name of a group, one of .*; got"):
        compared(two_groups, baseline="another")
    assert compared(two_groups, differences=False)["tables"][0]["differences"] == []


def test_many_groups_are_each_compared_with_the_best(tmp_path: Path) -> None:
    for dim in range(ALL_PAIRS_UP_TO + 1):
        preds = GOOD[0] if dim == 3 else BAD[0]
        write_run(tmp_path / str(dim), table(preds), settings={"fusion.bottleneck_dim": dim})
    (result,) = compared(tmp_path, num_resamples=50)["tables"]
    assert {pair["a"] for pair in result["differences"]} == {"bottleneck_dim=3"}
    assert len(result["differences"]) == ALL_PAIRS_UP_TO
    (every,) = compared(tmp_path, num_resamples=50, all_pairs=True)["tables"]
    assert len(every["differences"]) == (ALL_PAIRS_UP_TO + 1) * ALL_PAIRS_UP_TO // 2
    adjusted = [pair["holm"]["randomisation_p"] for pair in result["differences"]]
    plain = [pair["randomisation_p"] for pair in result["differences"]]
    assert all(h >= p for h, p in zip(adjusted, plain, strict=True))


def test_protocols_that_differ_are_not_ranked_together(two_groups: Path) -> None:
    copied = {"split._target_": "mmemo.corpora.oversampled_split.OversampledBeforeSplit"}
    write_run(two_groups / "leaky", table(GOOD[0]), settings=copied, protocol=LEAKY)
    long_ones = {"min_duration_s": 2.0}
    write_run(two_groups / "short", table(GOOD[0]).iloc[:6], settings=long_ones)
    official, short, leaky = compared(two_groups)["tables"]
    assert official["differs"] == {}
    assert official["stamp"] == "official"
    assert short["differs"]["num_utterances"] == [
        {"val": 12, "test": 12},
        {"val": 6, "test": 6},
    ]
    assert leaky["stamp"] == "oversampled_before_split (LEAKY)"
    assert leaky["differs"]["leaky"] == [False, True]
    assert "90.0 % of the 12 rows of test" in leaky["leak_warning"]
    assert len(official["groups"]) == 2


def test_the_same_number_of_other_utterances_is_another_protocol(two_groups: Path) -> None:
    others = table(GOOD[0]).assign(key=[f"other/{n}" for n in range(12)])
    write_run(two_groups / "others", others, settings={"split.seed": 3})
    first, second = compared(two_groups)["tables"]
    assert list(second["differs"]) == ["val_utterances", "test_utterances"]
    assert len(first["groups"]) == 2


def test_where_audio_helps_is_told_of_the_best_of_each_kind(two_groups: Path) -> None:
    alone = {"audio": {"text_encoder": None}, "text": {"audio_encoder": None}}
    for name, settings in alone.items():
        missing = {"text": "audio_encoder", "audio": "text_encoder"}[name]
        write_run(
            two_groups / name,
            table(BAD[0]),
            table(BAD[0], "val"),
            settings=settings,
            protocol={missing: "none"},
        )
    (result,) = compared(two_groups)["tables"]
    assert {group["modalities"] for group in result["groups"]} == {"audio+text", "audio", "text"}
    gain = result["modality_gain"]
    assert gain["seeds"] == [1]
    assert gain["num_utterances"] == 12


def test_a_model_without_a_modality_answers_another_question(two_groups: Path) -> None:
    run = two_groups / "64-1"
    inside = write_run(two_groups / "x", table(BAD[0]), protocol={"missing": "audio"})
    (run / "missing_audio").mkdir()
    for name in ("metrics.json", "predictions.parquet"):
        (inside / name).rename(run / "missing_audio" / name)
    (inside / "run.json").unlink()
    whole, withheld = compared(two_groups)["tables"]
    assert len(whole["groups"]) == 2
    assert withheld["differs"]["missing"] == [None, "audio"]
    (group,) = withheld["groups"]
    assert (group["modalities"], group["runs"]) == ("text", [str(run / "missing_audio")])
    assert whole["modality_gain"] is None


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("uar", balanced_accuracy_score),
        ("balanced_accuracy", balanced_accuracy_score),
        ("wa", accuracy_score),
        ("mcc", matthews_corrcoef),
        ("recall_joy", lambda a, b: recall_score(a, b, labels=["j"], average="macro")),
    ],
)
def test_any_metric_of_the_table_ranks(
    two_groups: Path, metric: str, theirs: Callable[[list[str], list[str]], float]
) -> None:
    content = compared(two_groups, metric=metric)
    (result,) = content["tables"]
    assert (content["metric"], content["direction"]) == (metric, "max")
    means = [group["val"][metric]["mean"] for group in result["groups"]]
    assert means == sorted(means, reverse=True)
    values = {group["name"]: group["test"][metric]["values"] for group in result["groups"]}
    good = [pytest.approx(theirs(list(TARGETS), list(preds))) for preds in GOOD]
    bad = [pytest.approx(theirs(list(TARGETS), list(preds))) for preds in BAD]
    assert values == {"bottleneck_dim=32": good, "bottleneck_dim=64": bad}
    (pair,) = result["differences"]
    assert pair["difference"] == pytest.approx(
        np.mean(values[pair["a"]]) - np.mean(values[pair["b"]])
    )
    assert pair["randomisation_p"] is not None
    for group in result["groups"]:
        joy = group["per_class_recall"]["joy"]["values"]
        assert joy == [
            pytest.approx(recall_score(list(TARGETS), list(p), labels=["j"], average="macro"))
            for p in (GOOD if group["name"] == "bottleneck_dim=32" else BAD)
        ]


def share_of_errors(preds: np.ndarray, target: np.ndarray) -> float:
    return float((preds != target).mean())


def test_a_metric_of_ones_own_ranks_the_way_it_is_better(two_groups: Path) -> None:
    own = OwnMetric("errors", "min", share_of_errors, is_torchmetrics=False)
    content = compared(two_groups, metric="errors", own=lambda classes: [own], unit="utterance")
    by_accuracy = compared(two_groups, metric="accuracy", unit="utterance")
    assert content["direction"] == "min"
    (result,), (theirs,) = content["tables"], by_accuracy["tables"]
    names = [group["name"] for group in result["groups"]]
    assert names == [group["name"] for group in theirs["groups"]]
    for group, other in zip(result["groups"], theirs["groups"], strict=True):
        found, accuracy = group["test"]["errors"], other["test"]["accuracy"]
        assert found["values"] == [pytest.approx(1 - value) for value in accuracy["values"]]
        low, high = accuracy["interval_models"]
        if high < 1:
            assert found["interval_models"] == [pytest.approx(1 - high), pytest.approx(1 - low)]
    (pair,), (other,) = result["differences"], theirs["differences"]
    assert pair["difference"] == pytest.approx(-other["difference"])
    assert pair["wilcoxon"] == other["wilcoxon"]
    assert pair["randomisation_p"] is None
    with pytest.raises(InputError, match="metric: expected one of .* got 'nothing'"):
        compared(two_groups, metric="nothing", own=lambda classes: [own])


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


def test_one_dialogue_has_scores_and_no_interval(tmp_path: Path) -> None:
    for dim, preds in ((32, "ajn"), (64, "ajj")):
        rows = predictions("test", "ajn", preds)
        write_run(tmp_path / str(dim), rows, settings={"fusion.bottleneck_dim": dim})
    (result,) = compared(tmp_path)["tables"]
    assert [group["test"]["accuracy"]["interval"] for group in result["groups"]] == [None, None]
    (pair,) = result["differences"]
    assert (pair["interval"], pair["bootstrap_p"], pair["randomisation_p"]) == (None, None, None)
    assert set(pair["holm"].values()) == {None}


MANY = "0123456789abcdefghijklmn"
"""Twenty-four dialogues of two utterances."""


def many(rng: np.random.Generator, share_right: float, split: str = "test") -> pd.DataFrame:
    targets = "ajn" * 16
    preds = "".join(
        target if rng.random() < share_right else rng.choice(list("ajn")) for target in targets
    )
    return predictions(split, targets, preds, "".join(2 * d for d in MANY))


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


def test_sound_is_told_of_where_its_settings_are_the_same(two_groups: Path) -> None:
    def notes() -> list[str]:
        return [n for n in compared(two_groups)["tables"][0]["notes"] if "prepared" in n]

    other = write_run(
        two_groups / "denoised",
        table(GOOD[0]),
        table(BAD[0], "val"),
        settings={"denoiser": {"_target_": "x.Denoiser"}},
    )
    (other / "data.json").write_text(json.dumps({"prepared": {"digest": "d2"}}))
    assert notes() == []
    (two_groups / "32-2" / "data.json").write_text(json.dumps({"prepared": {"digest": "d3"}}))
    assert len(notes()) == 1
    (first, *_) = compared(two_groups)["tables"]
    told = [g["name"].rpartition(", ")[2] for g in first["groups"] if "digest" in g["name"]]
    assert sorted(told) == ["digest=d1", "digest=d3"]


def test_what_is_written_is_read_back(two_groups: Path, tmp_path: Path) -> None:
    document = Comparison().compare(*read_runs(find_runs([two_groups])))
    path = tmp_path / "comparison.json"
    write_document(path, document)
    assert read_comparison(path) == document
    text = path.read_text()
    for earlier in (1, 2):
        path.write_text(text.replace('"version": 3', f'"version": {earlier}'))
        assert read_comparison(path) == document
    path.write_text(text.replace('"version": 3', '"version": 9'))
    with pytest.raises(InputError, match=r"version is 9.*write it again with `mmemo compare`"):
        read_comparison(path)


def test_nothing_finished_is_an_error(tmp_path: Path) -> None:
    write_run(tmp_path / "a", table(GOOD[0]), info={"status": "running"})
    with pytest.raises(InputError, match="expected at least one finished run, found none"):
        compared(tmp_path)
    with pytest.raises(InputError, match="metric: expected one of accuracy"):
        Comparison(metric="f1")
    with pytest.raises(InputError, match="confidence: expected a share between 0 and 1, got 95"):
        Comparison(confidence=95)
    with pytest.raises(InputError, match="num_resamples: expected at least 1, got 0"):
        Comparison(num_resamples=0)


def test_a_validation_split_that_is_all_right_decides_no_temperature(tmp_path: Path) -> None:
    write_run(tmp_path / "1", table(GOOD[0]), table(TARGETS, "val"))
    write_run(tmp_path / "2", table(GOOD[0]), table(GOOD[0], "val"), settings={"x.y": 1})
    (result,) = compared(tmp_path)["tables"]
    first, second = result["groups"]
    assert first["calibration"]["temperature"]["mean"] == pytest.approx(np.exp(-3))
    (note,) = [note for note in result["notes"] if "temperature" in note]
    assert note.endswith(f": {first['name']}.")
    # 11 of 12 right at 0.8 : 0.1 : 0.1; scaled 11/12 to 1/24 each, 22 : 1 against 8 : 1.
    expected = np.log(8) / np.log(22)
    assert second["calibration"]["temperature"]["mean"] == pytest.approx(expected, abs=1e-4)


def test_groups_are_compared_by_subgroups_and_abstention(two_groups: Path) -> None:
    document = Comparison(subgroups=Subgroups(min_utterances=4)).compare(
        *read_runs(find_runs([two_groups]))
    )
    (table_of_both,) = document.tables
    (best,) = [g for g in table_of_both.groups if g.settings["fusion.bottleneck_dim"] == 32]
    # Rows at odd places are Ada's, the others Ben's; two seeds of GOOD.
    for name, first in (("Ada", 1), ("Ben", 0)):
        found = best.subgroups["speaker"].groups[name]
        targets = list(TARGETS)[first::2]
        assert found.num_utterances == 6
        recalls = [balanced_accuracy_score(targets, list(p)[first::2]) for p in GOOD]
        assert found.score.values == pytest.approx(recalls)
        others = [place for place, target in enumerate(targets) if target != "a"]
        shares = [np.mean([list(p)[first::2][i] == "a" for i in others]) for p in GOOD]
        assert found.misjudged is not None
        assert found.misjudged.values == pytest.approx(shares)
    column = best.subgroups["speaker"]
    means = [group.score.mean for group in column.groups.values()]
    assert column.gap == pytest.approx(max(means) - min(means))
    # Four dialogues are too few.
    assert column.gap_interval is None
    # All answers are equally sure: the area is the share of errors.
    assert best.aurc is not None
    errors = [1 - accuracy_score(list(TARGETS), list(preds)) for preds in GOOD]
    assert best.aurc.values == pytest.approx(errors)
    texts = subgroups_table(document, table_of_both).texts
    assert texts.iloc[0, 0] == "speaker"
    assert "AURC" in calibration_table(document, table_of_both).header


def test_columns_that_earlier_runs_lack_are_left_out(two_groups: Path) -> None:
    runs = read_runs(find_runs([two_groups]))
    document = Comparison(subgroups=Subgroups(columns=["sex"], min_utterances=2)).compare(*runs)
    assert all(not group.subgroups for group in document.tables[0].groups)


def test_the_gap_of_subgroups_has_an_interval_over_units(tmp_path: Path) -> None:
    """Ada is right in all of thirty dialogues, Ben in every other one."""
    targets = "an" * 30
    dialogues = "".join(f"{d}{d}" for d in "0123456789abcdefghijklmnopqrst")
    # The first of each dialogue is Ben's.
    preds = "".join(("a" if number % 2 else "j") + "n" for number in range(30))
    test, val = (predictions(split, targets, preds, dialogues) for split in ("test", "val"))
    write_run(tmp_path / "run", test, val)
    subgroups = Subgroups(metric="accuracy", min_utterances=5)
    document = Comparison(subgroups=subgroups).compare(*read_runs(find_runs([tmp_path])))
    column = document.tables[0].groups[0].subgroups["speaker"]
    assert column.gap == pytest.approx(0.5)
    assert column.gap_interval is not None
    low, high = column.gap_interval
    # Of thirty draws with a share of a half the standard deviation is 0.091.
    assert low == pytest.approx(0.5 - 2.05 * 0.091, abs=0.05)
    assert high == pytest.approx(0.5 + 2.05 * 0.091, abs=0.05)
