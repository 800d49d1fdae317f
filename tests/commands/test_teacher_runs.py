"""Runs that are made of other runs: a teacher's student, and a fusion over trained encoders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from tests.commands.conftest import Cli, only_run
from tests.commands.interruptions import SignalAt, befalls
from tests.commands.test_interruption import assert_same_run

pytestmark = pytest.mark.usefixtures("blank_figures")

NO_DROPOUT = ["audio_encoder.dropout=0", "classifier.dropout=0"]


def of(modality: str, small: list[str]) -> list[str]:
    """Overrides of a run that hears or reads alone."""
    other = "text_encoder" if modality == "audio" else "audio_encoder"
    return [*(o for o in small if not o.startswith(other)), f"{other}=none", f"name={modality}"]


def taught_by(run: RunFolder) -> list[str]:
    return ["distillation=telme", f"distillation.teacher={run.path}"]


def weights(run: RunFolder) -> dict[str, Tensor]:
    loaded = torch.load(chosen_checkpoint(run), weights_only=True)
    state: dict[str, Tensor] = loaded["state_dict"]
    return state


def probabilities(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="prob_").to_numpy()


@pytest.fixture
def teacher(cli: Cli, small: list[str], tmp_path: Path) -> RunFolder:
    cli("train", *of("text", small))
    return only_run(tmp_path, "text")


@pytest.mark.slow
def test_a_teacher_a_student_and_what_shifts_the_one_by_the_other(
    cli: Cli, small: list[str], tmp_path: Path, teacher: RunFolder
) -> None:
    before = {path: file_digest(path) for path in teacher.path.rglob("*") if path.is_file()}
    said = cli("train", *of("audio", small), *taught_by(teacher)).stdout
    assert f"teacher: {teacher.path.name} teaches 14 of 14 training utterances" in said
    student = only_run(tmp_path, "audio")
    after = {path: file_digest(path) for path in teacher.path.rglob("*") if path.is_file()}
    assert after == before
    digest = file_digest(chosen_checkpoint(teacher))
    known = {"teacher": {"run": teacher.path.name, "sha256": digest}}
    assert json.loads(student.metrics_file.read_text())["protocol"]["sources"] == known
    assert digest in student.report_file.read_text()
    # The teacher is no part of the student.
    assert not [name for name in weights(student) if "text" in name]
    cli("train", *of("audio", small), "name=untaught")
    untaught = weights(only_run(tmp_path, "untaught"))
    assert any(not torch.equal(weights(student)[name], w) for name, w in untaught.items())

    cli(
        *("train", *small, "name=shifted", "fusion=shifted", "fusion.num_heads=2"),
        *("initial=runs", f"initial.text={teacher.path}", f"initial.audio={student.path}"),
    )
    shifted = only_run(tmp_path, "shifted")
    assert set(shifted.read_info().sources) == {"text", "audio"}
    found = weights(shifted)
    for source, modality in ((teacher, "text"), (student, "audio")):
        kept = weights(source)
        for part in (f"classifier.{modality}_encoder.", "classifier.fusion.projections."):
            names = [name for name in kept if name.startswith(part)]
            assert names
            assert all(torch.equal(found[name], kept[name]) for name in names)
    table = pd.read_parquet(shifted.predictions_file)

    # Without any of the runs that it was made of, and from elsewhere.
    for run in (teacher, student):
        shutil.rmtree(run.path)
    moved = shutil.move(shifted.path, tmp_path / "elsewhere")
    cli("evaluate", f"run={moved}")
    again = pd.read_parquet(RunFolder(Path(moved)).predictions_file)
    np.testing.assert_allclose(probabilities(again), probabilities(table), atol=1e-6)
    clip = next((tmp_path / "tones").glob("output*/*.mp4"))
    ask = ["accelerator=cpu", f"input={clip}", "text=Tone 1."]
    cli("predict", f"run={moved}", *ask, "output=answer.csv")
    answers = pd.read_csv(tmp_path / "answer.csv")
    assert probabilities(answers).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_a_student_goes_on_where_it_was_interrupted(
    cli: Cli, small: list[str], tmp_path: Path, teacher: RunFolder
) -> None:
    options = [*of("audio", small), *taught_by(teacher), "data.batch_size=4"]
    cli("train", *options, "name=whole")
    stops = befalls(SignalAt, signum=15, epoch=1, batch=1, rank=0)
    cli("train", *options, *stops, "name=stopped", expect=143)
    run = only_run(tmp_path, "stopped")
    away = shutil.move(teacher.path, tmp_path / "away")
    said = cli("train", f"resume={run.path}", "trust=[tests]", expect=1).stderr
    assert "expected a run folder" in said
    shutil.move(away, teacher.path)
    cli("train", f"resume={run.path}", "trust=[tests]")
    assert_same_run(run, only_run(tmp_path, "whole"))


OWN = """
from mmemo.models.fusion import BottleneckFusion


class TeachersFusion(BottleneckFusion):
    pass
"""


@pytest.mark.slow
def test_a_teacher_with_a_class_of_ones_own_is_trusted_by_name(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "teachers_fusion.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "teachers_fusion.TeachersFusion"
    cli("train", *of("text", small), f"fusion._target_={name}")
    options = [*of("audio", small), *taught_by(only_run(tmp_path, "text")), "data.batch_size=4"]
    said = cli("train", *options, "name=wary", expect=1).stderr
    assert f"add 'trust=[{name}]' to the command" in said
    stops = befalls(SignalAt, signum=15, epoch=1, batch=1, rank=0)
    cli("train", *options, *stops, f"trust=[{name}]", "name=stopped", expect=143)
    run = only_run(tmp_path, "stopped")
    cli("train", f"resume={run.path}", f"trust=[tests,{name}]")
    assert run.metrics_file.is_file()
    said = cli("train", *small, f"trust=[{name}]", expect=1).stderr
    assert "trust: expected resume=RUN or a run that this one is made of" in said


@pytest.mark.slow
def test_two_processes_are_taught_as_one_is(
    cli: Cli,
    small: list[str],
    tmp_path: Path,
    teacher: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    options = [*of("audio", small), *taught_by(teacher), *NO_DROPOUT]
    plain = [o for o in options if o != "trainer.accelerator=cpu"]
    cli("train", *plain, "trainer=ddp_cpu", "data.batch_size=4", "name=two")
    cli("train", *options, "data.batch_size=8", "name=one")
    one, two = (only_run(tmp_path, name) for name in ("one", "two"))
    assert two.read_info().num_processes == 2
    for name, weight in weights(one).items():
        torch.testing.assert_close(weights(two)[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_teacher_that_may_know_what_is_tested_is_refused(
    cli: Cli, small: list[str], tmp_path: Path, teacher: RunFolder
) -> None:
    options = [*of("audio", small), *taught_by(teacher)]
    said = cli("train", *options, "labels=four", expect=1).stderr
    assert "expected a run with this one's classes" in said
    said = cli("train", *options, "split=speaker_disjoint", expect=1).stderr
    assert "distillation.teacher: expected a run of the split that this one has" in said
    said = cli("train", *options, "fusion.bottleneck_dim=4", expect=1).stderr
    assert "gives as many features as the student's (4), it gives 8" in said
    cli("train", *options, "fusion.bottleneck_dim=4", "distillation.feature_weight=0")
    said = cli("train", *small, *taught_by(teacher), "compile=true", expect=1).stderr
    assert "compile: expected false beside distillation" in said

    # The same names of clips, and of the test split one that was in training.
    csv = tmp_path / "tones" / "test_sent_emo.csv"
    rows = pd.read_csv(csv)
    rows["Emotion"] = rows["Emotion"].tolist()[1:] + rows["Emotion"].tolist()[:1]
    rows.to_csv(csv, index=False)
    said = cli("train", *options, expect=1).stderr
    assert "elsewhere or with another label (such as test/dia0_utt" in said

    damaged = chosen_checkpoint(teacher)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    said = cli("train", *options, expect=1).stderr
    assert "it was changed or damaged since" in said


def test_what_does_not_name_a_run_is_told_at_once(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    said = cli("train", *small, "distillation=telme", expect=1).stderr
    assert "distillation.teacher: expected the folder of a run that teaches this one" in said
    said = cli("train", *small, "initial=runs", expect=1).stderr
    assert "initial: expected the run of an encoder, got none" in said
    options = ["distillation=telme", "distillation.teacher=nowhere"]
    said = cli("train", *small, *options, expect=1).stderr
    assert f"{tmp_path / 'nowhere'}: expected a run folder" in said
    assert not list(tmp_path.glob("outputs/*/*/checkpoints/*.ckpt"))


@pytest.mark.slow
def test_an_encoder_of_another_kind_is_not_taken(
    cli: Cli, small: list[str], tmp_path: Path, teacher: RunFolder
) -> None:
    options = [*small, "initial=runs", f"initial.text={teacher.path}"]
    said = cli("train", *options, "text_encoder.width=32", expect=1).stderr
    assert "initial.text: expected text_encoder.width=16 as in" in said
    said = cli("train", *options, "data.context_utterances=2", expect=1).stderr
    assert "expected data.context_utterances=0 as in" in said
    said = cli("train", *options, "fusion.bottleneck_dim=4", expect=1).stderr
    assert "expected fusion.projections.text with weights of the sizes" in said
    wrong = [*small, "initial=runs", f"initial.audio={teacher.path}"]
    said = cli("train", *wrong, expect=1).stderr
    assert "initial.audio: expected audio_encoder" in said
    # Trained further, it does not stay as it was.
    cli("train", *options, "initial.frozen=false", "name=further")
    name = "classifier.text_encoder.word_embeddings.weight"
    further = only_run(tmp_path, "further")
    assert not torch.equal(weights(further)[name], weights(teacher)[name])
