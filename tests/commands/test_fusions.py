import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, only_run

pytestmark = pytest.mark.usefixtures("blank_figures")


def probabilities(run: RunFolder) -> pd.DataFrame:
    return pd.read_parquet(run.predictions_file).filter(like="prob_")


def test_a_modality_is_withheld_from_a_run_that_learnt_to_do_without(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    options = ["fusion=cross_attention", "fusion.num_heads=2", "fusion.modality_dropout=0.5"]
    cli("train", *small, *options)
    run = only_run(tmp_path)
    own = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    for missing in ("audio", "text"):
        printed = cli("evaluate", f"run={run.path}", f"missing={missing}").stdout
        assert f"N = 15, without {missing};" in printed
        results = RunFolder(run.path, missing)
        assert str(results.report_file) in printed
        metrics = json.loads(results.metrics_file.read_text())
        assert metrics["protocol"]["missing"] == missing
        assert f"without {missing}" in results.report_file.read_text()
        assert results.table_file.parent == run.path / f"missing_{missing}"
        table = probabilities(results)
        assert table.shape == probabilities(run).shape
        assert not table.equals(probabilities(run))
    now = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    assert now == own, "the run's own results stay as they are"
    assert json.loads(run.metrics_file.read_text())["protocol"]["missing"] is None

    own_table = probabilities(run)
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(probabilities(run), own_table)

    wrong = cli("evaluate", f"run={run.path}", "missing=video", expect=1)
    assert "expected null, audio or text, got 'video'" in wrong.stderr


def test_other_runs_need_all_that_they_were_trained_with(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    cli("train", *small, "fusion=late", "name=both", "trainer.max_epochs=1")
    refused = cli("evaluate", f"run={only_run(tmp_path, 'both').path}", "missing=text", expect=1)
    assert "fusion.modality_dropout=0.0; train one with" in refused.stderr
    options = ["fusion=gated", "fusion.modality_dropout=0.5", "trainer.max_epochs=1"]
    unimodal = [o for o in small if not o.startswith("text_encoder")]
    cli("train", *unimodal, *options, "text_encoder=none", "name=sound")
    refused = cli("evaluate", f"run={only_run(tmp_path, 'sound').path}", "missing=text", expect=1)
    assert "expected a run with sound and text" in refused.stderr
    assert not list((tmp_path / "outputs").glob("*/*/missing_*"))


@pytest.mark.parametrize("fusion", ["bottleneck", "cross_attention"])
def test_a_frozen_encoders_features_are_kept_unless_its_frames_are_needed(
    cli: Cli, small: list[str], tmp_path: Path, tiny_whisper: Path, fusion: str
) -> None:
    checkpoint = shutil.copytree(tiny_whisper, tmp_path / "checkpoint")
    overrides = [o for o in small if not o.startswith("audio_encoder")]
    overrides += ["audio_encoder=whisper_tiny", "data.max_duration_s=2.0", "trainer.max_epochs=1"]
    overrides += [f"audio_encoder.checkpoint={checkpoint}", "audio_encoder.fixed_duration_s=2.0"]
    overrides += ["audio_encoder.trainable=none", f"fusion={fusion}", "fusion.standardise=true"]
    printed = cli("train", *overrides)
    needs_frames = fusion == "cross_attention"
    assert ("is run at every step" in printed.stdout) == needs_frames
    assert ("encoding" in printed.stderr) != needs_frames
    assert (tmp_path / "cache" / "features").exists() != needs_frames


@pytest.mark.slow
def test_published_systems_are_trained_and_answer_from_their_folder(
    cli: Cli, small: list[str], tmp_path: Path, tiny_wavlm: Path
) -> None:
    """An encoder over another, whose checkpoint is gone, and a fusion that asks for the classes."""
    checkpoint = shutil.copytree(tiny_wavlm, tmp_path / "checkpoint")
    overrides = [o for o in small if not o.startswith("audio_encoder")]
    overrides += [
        *("audio_encoder=co_attention", "audio_encoder@audio_encoder.speech=pretrained"),
        *(f"audio_encoder.speech.checkpoint={checkpoint}", "audio_encoder.level_dim=8"),
        *("audio_encoder.recurrent_dim=8", "fusion=label_guided", "trainer.max_epochs=1"),
    ]
    cli("train", *overrides)
    run = only_run(tmp_path)
    own_table = probabilities(run)
    shutil.rmtree(checkpoint)
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(probabilities(run), own_table)
    absent = [o.replace(str(checkpoint), str(tmp_path / "gone")) for o in overrides]
    refused = cli("train", *absent, "name=absent", expect=1)
    assert "audio_encoder.speech.checkpoint" in refused.stderr


def test_egemaps_from_clips_to_metrics(cli: Cli, small: list[str], tmp_path: Path) -> None:
    overrides = [o for o in small if not o.startswith("audio_encoder")]
    overrides += ["audio_encoder=egemaps", "fusion.standardise=true", "trainer.max_epochs=3"]
    assert "encoding" in cli("train", *overrides).stderr
    run = only_run(tmp_path)
    before = probabilities(run)
    assert before.notna().all(axis=None)
    metrics = json.loads(run.metrics_file.read_text())
    assert metrics["protocol"]["audio_encoder"] == "EgemapsEncoder"
    assert "encoding" not in cli("evaluate", f"run={run.path}").stderr, "computed once"
    pd.testing.assert_frame_equal(probabilities(run), before)
