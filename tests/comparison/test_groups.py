from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmemo.comparison.group_names import group_names
from mmemo.comparison.groups import group_runs
from mmemo.comparison.runs import find_runs, labelled, read_runs
from mmemo.documents import content_of
from mmemo.errors import InputError
from tests.comparison.run_folders import predictions, write_run
from tests.run_documents import split_metrics

TEST = predictions("test", "ajn", "ajn")


def names(folder: Path) -> dict[str, list[int]]:
    results, left_out = read_runs(find_runs([folder]))
    assert not left_out
    groups, _ = group_runs(results)
    seeds = [[replicate.seed for replicate in group.replicates] for group in groups]
    return dict(zip(group_names(groups), seeds, strict=True))


def test_seeds_are_one_group_and_settings_another(tmp_path: Path) -> None:
    for dim in (32, 64):
        for seed in (1, 2):
            settings = {"fusion.bottleneck_dim": dim, "output_dir": f"/somewhere/{seed}"}
            write_run(tmp_path / f"{dim}-{seed}", TEST, seed=seed, settings=settings)
    assert names(tmp_path) == {"bottleneck_dim=32": [1, 2], "bottleneck_dim=64": [1, 2]}


def test_one_group_has_the_runs_name(tmp_path: Path) -> None:
    write_run(tmp_path / "a", TEST)
    assert names(tmp_path) == {"demo": [1]}


def test_another_part_is_named_and_not_listed_by_its_settings(tmp_path: Path) -> None:
    hubert = {"audio_encoder._target_": "x.Pretrained", "audio_encoder.checkpoint": "fb/hubert"}
    write_run(tmp_path / "a", TEST)
    write_run(tmp_path / "b", TEST, settings=hubert | {"audio_encoder.pooling": "mean"})
    write_run(tmp_path / "c", TEST, settings=hubert | {"audio_encoder.pooling": "first"})
    write_run(tmp_path / "d", TEST, settings={"audio_encoder": None})
    assert set(names(tmp_path)) == {
        "audio_encoder=LogMelEncoder",
        "audio_encoder=hubert, pooling=mean",
        "audio_encoder=hubert, pooling=first",
        "audio_encoder=none",
    }


def test_which_encoders_are_of_other_runs_tells_groups_and_of_which_runs_does_not(
    tmp_path: Path,
) -> None:
    initial = {"initial._target_": "x.InitialEncoders", "initial.frozen": True}
    for seed in (1, 2):
        text, audio = ({f"initial.{name}": f"/{name}{seed}"} for name in ("text", "audio"))
        for name, given in {"t": text, "a": audio, "both": text | audio}.items():
            unset = {"initial.text": None, "initial.audio": None}
            settings = initial | unset | given
            write_run(tmp_path / f"{name}{seed}", TEST, seed=seed, settings=settings)
    assert names(tmp_path) == {
        "audio=none, text=run": [1, 2],
        "audio=run, text=none": [1, 2],
        "audio=run, text=run": [1, 2],
    }


def test_augmentation_is_told_by_its_perturbations(tmp_path: Path) -> None:
    gain = {"augmentation.gain._target_": "x.Gain", "augmentation.gain.max_gain_db": 6.0}
    speed = {"augmentation.speed._target_": "x.Speed", "augmentation.speed.max_speed": 1.1}
    referring = {"data.augmentation": "${augmentation}"}
    write_run(tmp_path / "a", TEST)
    write_run(tmp_path / "b", TEST, seed=2, settings={"augmentation": None} | referring)
    write_run(tmp_path / "c", TEST, settings=gain | referring)
    write_run(tmp_path / "d", TEST, settings=gain | speed | referring)
    louder = gain | {"augmentation.gain.max_gain_db": 9.0}
    write_run(tmp_path / "e", TEST, settings=louder | referring)
    assert names(tmp_path) == {
        "augmentation=none": [1, 2],
        "augmentation=gain, max_gain_db=6.0": [1],
        "augmentation=gain+speed": [1],
        "augmentation=gain, max_gain_db=9.0": [1],
    }


def test_encoders_that_are_only_left_out_are_told_by_the_modalities(tmp_path: Path) -> None:
    for dim in (32, 64):
        size = {"fusion.bottleneck_dim": dim}
        write_run(tmp_path / f"both{dim}", TEST, settings=size)
        audio = {"settings": size | {"text_encoder": None}, "protocol": {"text_encoder": "none"}}
        text = {"settings": size | {"audio_encoder": None}, "protocol": {"audio_encoder": "none"}}
        write_run(tmp_path / f"audio{dim}", TEST, **audio)  # type: ignore[arg-type]
        write_run(tmp_path / f"text{dim}", TEST, **text)  # type: ignore[arg-type]
    assert set(names(tmp_path)) == {
        f"{modality}, bottleneck_dim={dim}"
        for modality in ("audio+text", "audio", "text")
        for dim in (32, 64)
    }


def test_keys_of_one_last_part_are_told_apart(tmp_path: Path) -> None:
    for number, dropout in enumerate([(0.1, 0.1), (0.1, 0.2), (0.2, 0.1)]):
        settings = {"classifier.dropout": dropout[0], "fusion.dropout": dropout[1]}
        write_run(tmp_path / str(number), TEST, settings=settings)
    assert set(names(tmp_path)) == {
        "classifier.dropout=0.1, fusion.dropout=0.1",
        "classifier.dropout=0.1, fusion.dropout=0.2",
        "classifier.dropout=0.2, fusion.dropout=0.1",
    }


def test_another_corpus_is_another_group(tmp_path: Path) -> None:
    for number, (csv, digest) in enumerate(
        [("/a/first.csv", "d1"), ("/a/second.csv", "d2"), ("/moved/first.csv", "d1")]
    ):
        settings = {"corpus._target_": "x.TableCorpus", "corpus.csv": csv}
        run = write_run(tmp_path / str(number), TEST, seed=1 + number // 2, settings=settings)
        (run / "data.json").write_text(json.dumps({"prepared": {"digest": digest}}))
    assert names(tmp_path) == {"csv=first.csv": [1, 2], "csv=second.csv": [1]}
    for number in range(3):
        path = tmp_path / str(number) / "composed.yaml"
        path.write_text(path.read_text().replace("second.csv", "first.csv"))
    assert names(tmp_path) == {"digest=d1": [1, 2], "digest=d2": [1]}


def test_the_later_run_of_a_seed_counts(tmp_path: Path) -> None:
    write_run(tmp_path / "old", TEST, info={"started": "2026-01-01"})
    write_run(tmp_path / "new", TEST, info={"started": "2026-01-02"})
    groups, left_out = group_runs(read_runs(find_runs([tmp_path]))[0])
    (group,) = groups
    assert group.first.name.endswith("new")
    (left,) = left_out
    assert left.run.endswith("old")
    assert left.reason.startswith("has the settings and the seed of a later run")


def test_folds_are_taken_together_and_a_missing_one_is_told(tmp_path: Path) -> None:
    for fold in (0, 2):
        rows = TEST.assign(key=[f"{fold}/{n}" for n in range(3)])
        settings = {"split.test_fold": fold, "split.num_test_folds": 3}
        write_run(tmp_path / str(fold), rows, settings=settings)
    (group,), _ = group_runs(read_runs(find_runs([tmp_path]))[0])
    (replicate,) = group.replicates
    assert replicate.test["key"].tolist() == ["0/0", "0/1", "0/2", "2/0", "2/1", "2/2"]
    assert group.notes == ("seed 1 lacks the test folds 1 of 3",)


def test_a_run_without_a_modality_is_a_group_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", TEST)
    inside = write_run(tmp_path / "other", TEST, protocol={"missing": "audio"})
    (run / "missing_audio").mkdir()
    for name in ("metrics.json", "predictions.parquet"):
        (inside / name).rename(run / "missing_audio" / name)
    for path in inside.iterdir():
        path.unlink()
    inside.rmdir()
    results, _ = read_runs(find_runs([tmp_path]))
    groups, _ = group_runs(results)
    assert sorted(group_names(groups)) == ["missing=audio", "missing=none"]
    assert sorted(group.modalities for group in groups) == ["audio+text", "text"]


def test_what_cannot_be_compared_is_left_out_with_its_reason(tmp_path: Path) -> None:
    write_run(tmp_path / "good", TEST)
    write_run(tmp_path / "stopped", TEST, info={"status": "failed", "error": "no room"})
    broken = write_run(tmp_path / "broken", TEST)
    (broken / "metrics.json").write_text("{")
    empty = write_run(tmp_path / "no table", TEST)
    (empty / "predictions.parquet").unlink()
    val = TEST.assign(split="val")
    one_split = write_run(tmp_path / "one split", TEST)
    val.to_parquet(one_split / "predictions.parquet")
    results, left_out = read_runs(find_runs([tmp_path]))
    assert [Path(run.name).name for run in results] == ["good"]
    reasons = {Path(run.run).name: run.reason for run in left_out}
    assert reasons["stopped"] == "expected a finished run, its status is failed: no room"
    assert "metrics.json: expected metrics and their protocol; it cannot be" in reasons["broken"]
    assert "mmemo evaluate" in reasons["broken"]
    assert "expected a table of predictions, found none" in reasons["no table"]
    assert "expected 3 rows of test, found none" in reasons["one split"]


def test_results_that_contradict_themselves_are_left_out(tmp_path: Path) -> None:
    write_run(tmp_path / "good", TEST)
    write_run(tmp_path / "cut", TEST, protocol={"num_utterances": {"val": 3, "test": 4}})
    write_run(tmp_path / "other classes", TEST.replace("anger", "fear"))
    write_run(tmp_path / "no number", TEST.assign(prob_joy=float("nan")))
    changed = write_run(tmp_path / "changed", TEST)
    document = json.loads((changed / "metrics.json").read_text())
    document["splits"] = {"test": content_of(split_metrics(0.5))}
    (changed / "metrics.json").write_text(json.dumps(document))
    old = write_run(tmp_path / "old", TEST)
    del document["protocol"]["split_settings"]
    (old / "metrics.json").write_text(json.dumps(document))
    (write_run(tmp_path / "no record", TEST) / "run.json").write_text("[]")
    (write_run(tmp_path / "no epochs", TEST) / "history.csv").write_text("a\n1\n")
    results, left_out = read_runs(find_runs([tmp_path]))
    assert [Path(run.name).name for run in results] == ["good"]
    reasons = {Path(run.run).name: run.reason for run in left_out}
    assert "expected 4 rows of test, found 3; write it again with mmemo" in reasons["cut"]
    assert "expected predictions of anger, joy, neutral, got" in reasons["other classes"]
    assert "some are not finite" in reasons["no number"]
    assert "metrics.json tells (0.5000), got 1.0000" in reasons["changed"]
    assert "and their protocol; protocol.split_settings: Field required" in reasons["old"]
    assert "run.json: expected what happened to the run; it: Input" in reasons["no record"]
    assert "expected the column epoch" in reasons["no epochs"]


def test_how_a_run_is_watched_and_stored_makes_no_group(tmp_path: Path) -> None:
    watched = {
        "callbacks.step_curves": {"_target_": "mmemo.training.step_curves.StepCurves"},
        "trainer.enable_progress_bar": False,
        "logger": {"_target_": "lightning.pytorch.loggers.CSVLogger"},
        "data.pin_memory": True,
        # What a version without the setting did.
        "text_cleaning": None,
        "trainer.max_epochs": "${epochs}",
        "epochs": 3,
    }
    write_run(tmp_path / "a", TEST, settings={"trainer.max_epochs": 3, "epochs": 3})
    write_run(tmp_path / "b", TEST, seed=2, settings=watched)
    assert names(tmp_path) == {"demo": [1, 2]}


def test_what_another_setting_decides_is_not_told_twice(tmp_path: Path) -> None:
    for epochs in (3, 4):
        settings = {"epochs": epochs, "trainer.max_epochs": "${epochs}", "data.seed": "${seed}"}
        write_run(tmp_path / str(epochs), TEST, settings=settings)
    assert names(tmp_path) == {"epochs=3": [1], "epochs=4": [1]}


def test_checkpoints_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for place in ("old", "new"):
        settings = {
            "text_encoder._target_": "x.Pretrained",
            "text_encoder.checkpoint": f"/{place}/roberta",
            "callbacks.smoother._target_": f"x.{place.title()}",
        }
        write_run(tmp_path / place, TEST, settings=settings)
    assert set(names(tmp_path)) == {
        "text_encoder=Pretrained:/new/roberta, smoother=New",
        "text_encoder=Pretrained:/old/roberta, smoother=Old",
    }


def test_folders_without_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no run.json"):
        find_runs([tmp_path])
    with pytest.raises(InputError, match="there is no such folder"):
        find_runs([tmp_path / "absent"])


def test_a_run_named_twice_is_read_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", TEST)
    (tmp_path / "link").symlink_to(run)
    assert len(find_runs([tmp_path, run, tmp_path / "link", tmp_path / "a" / ".." / "a"])) == 1


def test_the_history_is_read(tmp_path: Path) -> None:
    write_run(tmp_path / "a", TEST)
    (result,), _ = read_runs(find_runs([tmp_path]))
    assert isinstance(result.history, pd.DataFrame)
    assert result.history["val/loss"].tolist() == [1.0, 0.5]


def test_parts_are_called_by_the_options_that_were_chosen(tmp_path: Path) -> None:
    wavlm = {"audio_encoder": "pretrained", "text_encoder": "scratch", "fusion": "gated"}
    for number, (choices, checkpoint) in enumerate(
        [
            ({**wavlm, "audio_encoder": "logmel_cnn"}, None),
            (wavlm, "a/one"),
            (wavlm, "b/two"),
        ]
    ):
        settings = {"audio_encoder._target_": f"m.{choices['audio_encoder']}"}
        settings |= {"audio_encoder.checkpoint": checkpoint} if checkpoint else {}
        write_run(tmp_path / f"{number}", TEST, settings=settings, info={"choices": choices})
    assert set(names(tmp_path)) == {
        "audio_encoder=logmel_cnn",
        "audio_encoder=pretrained, checkpoint=a/one",
        "audio_encoder=pretrained, checkpoint=b/two",
    }


def test_modalities_are_called_by_their_option_where_it_was_chosen(tmp_path: Path) -> None:
    for name, encoder in (("both", "scratch"), ("audio", "none")):
        without = {"text_encoder": None} if name == "audio" else {}
        choices = {"audio_encoder": "logmel_cnn", "text_encoder": encoder, "modality": name}
        protocol = {"text_encoder": "none"} if name == "audio" else {}
        info = {"choices": choices}
        write_run(tmp_path / name, TEST, settings=without, protocol=protocol, info=info)
    assert set(names(tmp_path)) == {"modality=both", "modality=audio"}


def test_groups_are_called_by_the_systems_that_were_chosen(tmp_path: Path) -> None:
    parts = {"gated": ("gated", None), "rnn": ("bottleneck", "DialogueRNN")}
    for system, (fusion, context) in parts.items():
        for dim in (32, 64):
            choices = {"fusion": fusion, "system": system}
            settings: dict[str, Any] = {
                "fusion.bottleneck_dim": dim,
                "data.batch_size": len(fusion),
            }
            settings |= {"fusion._target_": f"m.{fusion}"}
            settings |= {"context._target_": f"m.{context}"} if context else {}
            write_run(
                tmp_path / system / f"{dim}", TEST, settings=settings, info={"choices": choices}
            )
    assert set(names(tmp_path)) == {
        *("gated, bottleneck_dim=32", "gated, bottleneck_dim=64"),
        *("rnn, bottleneck_dim=32", "rnn, bottleneck_dim=64"),
    }
    for system in parts:
        shutil.rmtree(tmp_path / system / "32")
    assert set(names(tmp_path)) == {"gated", "rnn"}
    write_run(tmp_path / "own", TEST, settings={"fusion.bottleneck_dim": 8})
    assert "fusion=gated" in " ".join(names(tmp_path)), "one without a system: by what differs"


def test_labels_name_runs_and_keep_those_of_one_setting_apart(tmp_path: Path) -> None:
    for label in ("before", "after"):
        write_run(tmp_path / label, TEST, settings={"label": label})
    assert set(names(tmp_path)) == {"before", "after"}
    folders = [tmp_path, tmp_path / "after"]
    results, _ = read_runs(find_runs(folders))
    called = labelled(results, folders, ["all", "new"])
    assert {run.folder.path.name: run.label for run in called} == {"before": "all", "after": "new"}
    write_run(tmp_path / "after2", TEST, settings={"label": "after", "fusion.dropout": 0.5})
    assert set(names(tmp_path)) == {
        "before, dropout=none",
        "after, dropout=none",
        "after, dropout=0.5",
    }
    with pytest.raises(InputError, match="one for each of the 2 folders, got 1"):
        labelled(results, folders, ["all"])
