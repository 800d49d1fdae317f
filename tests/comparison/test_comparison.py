from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.own_metrics import OwnMetric
from tests.comparison.compared_runs import BAD, GOOD, MANY, TARGETS, compared, table
from tests.comparison.run_folders import CLASSES, predictions, write_run

LEAKY = {
    "split": "oversampled_before_split",
    "leaky": True,
    "leak_shares": {"val": 0.5, "test": 0.9},
}


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


@pytest.mark.parametrize("num", [12, 24])
def test_the_recall_of_a_class_of_one_dialogue_has_no_interval(tmp_path: Path, num: int) -> None:
    """A draw without that dialogue is none in which nothing of the class is found."""
    for seed in (1, 2, 3):
        targets = "jj" + "an" * (num - 1)
        preds = "jn" + ("an" * (seed + 3) + "na" * num)[: 2 * (num - 1)]
        test = predictions("test", targets, preds, "".join(2 * d for d in MANY[:num]))
        write_run(tmp_path / f"run{seed}", test, seed=seed)
    (group,) = compared(tmp_path, metric="recall_joy")["tables"][0]["groups"]
    found = group["test"]["recall_joy"]
    assert found["mean"] == 0.5
    assert (found["interval"], found["interval_models"]) == (None, None)
    assert group["test"]["accuracy"]["interval_models"] is not None


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
    # Files of earlier versions lack what later ones have added.
    content = json.loads(text)
    added = ("subgroup_metric", "harmful_class", "stressed", "stress_notes", "direction")
    for name in (*added, "cross_corpus"):
        del content[name]
    for one in content["tables"]:
        for group in one["groups"]:
            for name in ("per_class_recall", "aurc", "subgroups"):
                del group[name]
    for earlier in (1, 2):
        path.write_text(json.dumps(content | {"version": earlier}))
        found = read_comparison(path)
        assert (found.stressed, found.harmful_class, found.direction) == ((), None, "max")
        group = found.tables[0].groups[0]
        assert (group.aurc, group.subgroups) == (None, {})
        assert group.test == document.tables[0].groups[0].test
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
