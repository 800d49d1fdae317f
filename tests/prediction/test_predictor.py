"""A run folder alone, without corpus, prepared corpus and hub, answers as evaluation did."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter

from mmemo.audio.media import decode
from mmemo.documents import content_of, write_document
from mmemo.errors import InputError
from mmemo.evaluation.calibration import scaled
from mmemo.runs.predictor import FUSED, Predictor, Spoken
from mmemo.runs.run_files import DataCard
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import PreparedTones
from tests.prediction.conftest import MovedRun, train_and_move

pytestmark = pytest.mark.slow


def asked(predictor: Predictor, table: pd.DataFrame) -> list[Spoken]:
    worker = predictor.clip_worker()
    rows = table[["key", "path", "transcript"]].itertuples(index=False, name=None)
    return [
        Spoken(key, worker.prepare_sound(decode(path), path).samples, transcript)
        for key, path, transcript in rows
    ]


def evaluated(predictor: Predictor, table: pd.DataFrame) -> np.ndarray:
    return table[[f"prob_{name}" for name in predictor.labels.classes]].to_numpy()


def test_a_moved_run_answers_as_it_was_evaluated(predictor: Predictor, denoised: MovedRun) -> None:
    table = denoised.test
    assert len(table) == 15
    done: list[int] = []
    answers = predictor.answer(asked(predictor, table), progress=done.append)
    found = np.stack([answer.probabilities for answer in answers])
    np.testing.assert_allclose(found, evaluated(predictor, table), atol=1e-4)
    assert sum(done) == 15
    assert found.std(axis=0).max() > 1e-3, "clips differ"


def test_one_alone_is_answered_as_among_others(predictor: Predictor, denoised: MovedRun) -> None:
    spoken = asked(predictor, denoised.test[:3])
    together = predictor.answer(spoken, embeddings=True)
    for one, answer in zip(spoken, together, strict=True):
        (alone,) = predictor.answer([one], embeddings=True)
        np.testing.assert_allclose(alone.probabilities, answer.probabilities, atol=1e-5)
        assert {*answer.embeddings} == {FUSED, "audio", "text"}
        for name, vector in answer.embeddings.items():
            np.testing.assert_allclose(alone.embeddings[name], vector, atol=1e-4)


def test_the_fused_vector_is_what_the_head_was_given(
    predictor: Predictor, denoised: MovedRun
) -> None:
    (answer,) = predictor.answer(asked(predictor, denoised.test[:1]), embeddings=True)
    with torch.inference_mode():
        logits = predictor.classifier.head(torch.from_numpy(answer.embeddings[FUSED])[None])
    expected = torch.softmax(logits, dim=1)[0].numpy()
    np.testing.assert_allclose(answer.probabilities, expected, atol=1e-6)


def test_what_is_missing_is_done_without_where_the_model_learnt_to(
    predictor: Predictor, denoised: MovedRun
) -> None:
    (spoken,) = asked(predictor, denoised.test[:1])
    deaf = Spoken("a", None, spoken.transcript)
    wordless = Spoken("b", spoken.sound, None)
    answers = predictor.answer([deaf, spoken, wordless])
    assert [answer.missing for answer in answers] == ["audio", None, "text"]
    assert not np.allclose(answers[0].probabilities, answers[2].probabilities)
    with pytest.raises(InputError, match="expected sound and words, which the model of .* needs"):
        predictor.answer([Spoken("c", None, None)])


def test_the_temperature_is_validations(predictor: Predictor, denoised: MovedRun) -> None:
    calibration = RunFolder(denoised.path).read_metrics().calibration
    assert calibration is not None
    temperature = predictor.temperature()
    assert temperature.value == calibration.temperature.values[0]
    assert temperature.fitted_on == "validation"
    without = predictor.temperature("audio")
    assert without.value == temperature.value
    assert without.fitted_on == "validation with sound and words"
    given = np.array([0.7, 0.2, 0.05, 0.03, 0.02])
    np.testing.assert_allclose(
        temperature.calibrated(given), scaled(given[None], temperature.value)[0]
    )


def test_a_run_without_calibration_is_fitted_from_its_predictions(
    denoised: MovedRun, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(denoised.path, tmp_path / denoised.path.name))
    known = Predictor.open(copy, accelerator="cpu").temperature()
    RunFolder(copy).metrics_file.unlink()
    refitted = Predictor.open(copy, accelerator="cpu").temperature()
    assert refitted.value == pytest.approx(known.value, rel=1e-4)
    RunFolder(copy).predictions_file.unlink()
    assert Predictor.open(copy, accelerator="cpu").temperature().fitted_on is None


def test_another_denoiser_than_in_training_is_refused(denoised: MovedRun, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(denoised.path, tmp_path / denoised.path.name)))
    content = content_of(copy.read_data_card())
    content["prepared"]["denoiser_version"] = "0-other"
    with copy.sealed(copy.data_file):
        write_document(copy.data_file, TypeAdapter(DataCard).validate_python(content))
    with pytest.raises(InputError, match="expected sound denoised as in training, by .* 0-other"):
        Predictor.open(copy.path)


def test_a_changed_denoiser_is_damage(denoised: MovedRun, tmp_path: Path) -> None:
    copy = RunFolder(Path(shutil.copytree(denoised.path, tmp_path / denoised.path.name)))
    graph = copy.assets("denoiser") / "mine.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    with pytest.raises(InputError, match="mine.onnx"):
        Predictor.open(copy.path)


def test_pretrained_encoders_are_built_without_their_checkpoints(
    tmp_path: Path,
    tiny_wavlm: Path,
    tiny_roberta: Path,
    tones_for_all: PreparedTones,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = {"wavlm": tiny_wavlm, "roberta": tiny_roberta}
    for name, folder in checkpoints.items():
        shutil.copytree(folder, tmp_path / "hub" / name)
    moved = train_and_move(
        tmp_path,
        tones_for_all.clips,
        *("audio_encoder=pretrained", f"audio_encoder.checkpoint={tmp_path / 'hub' / 'wavlm'}"),
        *("audio_encoder.trainable=none", "audio_encoder.layers=weighted"),
        *("text_encoder=pretrained", f"text_encoder.checkpoint={tmp_path / 'hub' / 'roberta'}"),
        replacing=("audio_encoder", "text_encoder"),
    )
    shutil.rmtree(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    predictor = Predictor.open(moved.path, accelerator="cpu")
    answers = predictor.answer(asked(predictor, moved.test))
    found = np.stack([answer.probabilities for answer in answers])
    np.testing.assert_allclose(found, evaluated(predictor, moved.test), atol=1e-4)


def test_how_far_an_input_lies_from_training_is_told_as_in_evaluation(
    predictor: Predictor, denoised: MovedRun
) -> None:
    told = RunFolder(denoised.path).read_metrics().shift
    assert told is not None
    spoken = asked(predictor, denoised.test)
    farther = [answer.farther_than for answer in predictor.answer(spoken)]
    assert all(share is not None and 0 <= share <= 1 for share in farther)
    far = [share is not None and share >= told.far_share for share in farther]
    assert np.mean(far) == pytest.approx(told.test_share_far)
    noise = np.random.default_rng(0).integers(-32768, 32767, 16000).astype(np.int16)
    strange, deaf = predictor.answer(
        [Spoken("noise", noise, spoken[0].transcript), Spoken("deaf", None, "Hello.")]
    )
    assert strange.farther_than == 1.0
    assert deaf.farther_than is None


def test_a_run_without_training_embeddings_tells_no_distance(
    denoised: MovedRun, tmp_path: Path
) -> None:
    copy = RunFolder(Path(shutil.copytree(denoised.path, tmp_path / denoised.path.name)))
    copy.embeddings_file.write_bytes(copy.embeddings_file.read_bytes() + b"x")
    with pytest.raises(InputError, match=r"training_embeddings\.npz"):
        Predictor.open(copy.path, accelerator="cpu")
    copy.embeddings_file.unlink()
    opened = Predictor.open(copy.path, accelerator="cpu")
    (answer,) = opened.answer(asked(opened, denoised.test[:1]))
    assert answer.farther_than is None
