import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.commands.conftest import Cli, only_run

pytestmark = pytest.mark.usefixtures("blank_figures")


def test_a_frozen_encoder_is_run_once_and_its_run_needs_nothing_else(
    cli: Cli, small: list[str], tmp_path: Path, tiny_whisper: Path
) -> None:
    checkpoint = shutil.copytree(tiny_whisper, tmp_path / "checkpoint")
    overrides = [o for o in small if not o.startswith(("audio_encoder", "text_encoder"))]
    overrides += ["text_encoder=none", "audio_encoder=whisper_tiny", "data.max_duration_s=2.0"]
    overrides += [f"audio_encoder.checkpoint={checkpoint}", "audio_encoder.fixed_duration_s=2.0"]
    first = cli("train", *overrides, "audio_encoder.trainable=none")
    assert "encoding" in first.stderr
    run = only_run(tmp_path)
    before = pd.read_parquet(run.predictions_file)
    assert len(before) == 30
    again = cli("train", *overrides, "audio_encoder.trainable=none", "name=again")
    assert "encoding" not in again.stderr, "all runs share the features"
    pd.testing.assert_frame_equal(
        pd.read_parquet(only_run(tmp_path, "again").predictions_file), before
    )

    shutil.rmtree(checkpoint)
    shutil.rmtree(tmp_path / "cache" / "features")
    assert "encoding" in cli("evaluate", f"run={run.path}").stderr
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)

    shutil.rmtree(tmp_path / "cache" / "features")
    run.write_info(status="interrupted", checkpoint=None)
    assert "encoding" in cli("train", f"resume={run.path}").stderr
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)
