"""Runs whose training sound is perturbed."""

import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from mmemo.runs.run_folder import RunFolder
from tests.audio.test_media import encoded
from tests.commands.conftest import Cli, only_run
from tests.commands.interruptions import SignalAt, befalls
from tests.commands.test_interruption import FOUR_BATCHES, assert_same_run

pytestmark = [pytest.mark.usefixtures("blank_figures"), pytest.mark.slow]


def test_a_stopped_run_repeats_its_draws(cli: Cli, small: list[str], tmp_path: Path) -> None:
    noises = tmp_path / "noises"
    noises.mkdir()
    (noises / "noise.wav").write_bytes(encoded("wav", "pcm_s16le", 2.0))
    settings = [*small, FOUR_BATCHES]
    augmented = [*settings, "augmentation=[noise,speed,babble,gain]"]
    augmented += ["augmentation.noise.folder=noises", "data.num_workers=1"]
    cli("train", *settings, "name=plain")
    cli("train", *augmented, "name=whole")
    befallen = befalls(SignalAt, signum=int(signal.SIGTERM), epoch=1, batch=1)
    cli("train", *augmented, *befallen, "name=stopped", expect=128 + signal.SIGTERM)
    stopped = only_run(tmp_path, "stopped")
    cli("train", f"resume={stopped.path}", "trust=[tests]")
    whole, plain = only_run(tmp_path, "whole"), only_run(tmp_path, "plain")
    assert_same_run(stopped, whole)
    losses = [pd.read_csv(run.history_file)["train/loss"] for run in (plain, whole)]
    assert (losses[0] != losses[1]).all()

    # What is heard later needs neither the noises nor the training split's sound as it was.
    shutil.rmtree(noises)
    predictions = RunFolder(whole.path).predictions_file
    before = pd.read_parquet(predictions)
    cli("evaluate", f"run={whole.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(predictions), before)


def test_what_augmentation_needs_is_told_before_anything_is_decoded(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for overrides, message in (
        (["augmentation=noise"], "augmentation.noise.folder"),
        (["augmentation=noise", "augmentation.noise.folder=empty"], "expected sound files"),
        (["augmentation=gain", "augmentation.gain.probability=2"], "expected at most 1, got 2"),
        (["augmentation=gain", "audio_encoder=none"], "for a model that hears nothing, got gain"),
    ):
        is_deaf = "audio_encoder=none" in overrides
        kept = [o for o in small if not (is_deaf and o.startswith("audio_encoder"))]
        said = cli("train", *kept, *overrides, expect=1).stderr
        assert message in said
        assert "Traceback" not in said
