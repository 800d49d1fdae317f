"""Losses, rates, precision and compilation, and the stop at a loss that is not finite."""

import json
import re
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from mmemo.errors import InputError
from tests.commands.conftest import Cli, only_run

pytestmark = pytest.mark.usefixtures("blank_figures")

TEXT_ALONE = ["audio_encoder=none"]


def text_alone(small: list[str]) -> list[str]:
    return [o for o in small if not o.startswith("audio_encoder")] + TEXT_ALONE


def test_every_kind_of_option_at_once(cli: Cli, small: list[str], tmp_path: Path) -> None:
    options = ["loss=focal", "precision=bf16-mixed", "scheduler=cosine", "module.layer_decay=0.5"]
    cli("train", *small, *options, "module.encoder_learning_rate=0.002")
    run = only_run(tmp_path)
    protocol = json.loads(run.metrics_file.read_text())["protocol"]
    assert protocol["loss"] == "focal"
    assert protocol["loss_settings"] == {"gamma": 2.0, "balance_classes": False}
    history = pd.read_csv(run.history_file)
    rates = history.filter(like="learning_rate").iloc[0] / history["learning_rate"][0]
    # Of 0.003: 0.002, and half of it for each layer further down.
    assert rates.drop("learning_rate").to_dict() == pytest.approx(
        {
            "learning_rate/audio_encoder.layer_1": 2 / 3,
            "learning_rate/audio_encoder.layer_0": 1 / 3,
            "learning_rate/text_encoder.above_layers": 2 / 3,
            "learning_rate/text_encoder.layer_0": 2 / 3,
            "learning_rate/text_encoder.below_layers": 1 / 3,
        }
    )
    state = torch.load(run.last_checkpoint, weights_only=True)
    assert all(group["fused"] for group in state["optimizer_states"][0]["param_groups"])


def test_a_compiled_model_has_the_same_weights_by_name(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as for any backend; making code of it takes a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    overrides = [*text_alone(small), "trainer.max_epochs=1"]
    cli("train", *overrides, "name=plain")
    cli("train", *overrides, "name=compiled", "compile=true")
    plain, compiled = (
        torch.load(only_run(tmp_path, name).last_checkpoint, weights_only=True)["state_dict"]
        for name in ("plain", "compiled")
    )
    assert plain.keys() == compiled.keys()
    for name in plain:
        torch.testing.assert_close(plain[name], compiled[name])


def test_a_loss_that_is_not_finite_keeps_what_was_saved(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmemo.training.losses import CrossEntropy

    plain, calls = CrossEntropy.forward, []

    def spoilt(self: CrossEntropy, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        calls.append(len(target))
        return plain(self, logits, target) * (float("nan") if len(calls) == 4 else 1.0)

    overrides = text_alone(small)
    with monkeypatch.context() as patched:
        patched.setattr(CrossEntropy, "forward", spoilt)
        done = cli("train", *overrides, expect=1)
    run = only_run(tmp_path)
    # 14 utterances in batches of 8 at most: two steps of 7 an epoch.
    assert calls == [7, 7, 7, 7]
    said = (
        "training loss: expected a finite number, got nan in epoch 1, step 3, from train/dia0_utt"
    )
    assert said in done.stderr
    assert "trainer.max_epochs=1" in done.stderr
    assert f"to continue: mmemo train resume={run.path}" in done.stderr
    saved = torch.load(run.last_checkpoint, weights_only=True)
    assert saved["epoch"] == 0
    assert all(weight.isfinite().all() for weight in saved["state_dict"].values())
    cli("train", f"resume={run.path}", "trainer.max_epochs=1")
    assert run.read_info().status == "finished"
    assert pd.read_csv(run.history_file)["epoch"].tolist() == [0]


@pytest.mark.slow
def test_a_run_with_weights_in_bfloat16_is_resumed_and_evaluated_as_it_was(
    cli: Cli, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmemo.training.losses import CrossEntropy

    plain, calls = CrossEntropy.forward, []

    def interrupted(self: CrossEntropy, *given: torch.Tensor) -> torch.Tensor:
        calls.append(given)
        if len(calls) == 3:
            raise InputError("enough")
        return plain(self, *given)

    overrides = [*text_alone(small), "precision=bf16-true"]
    cli("train", *overrides, "name=whole")
    with monkeypatch.context() as patched:
        patched.setattr(CrossEntropy, "forward", interrupted)
        cli("train", *overrides, "name=cut", expect=1)
    whole, cut = only_run(tmp_path, "whole"), only_run(tmp_path, "cut")
    cli("train", f"resume={cut.path}")
    expected, found = (
        torch.load(run.last_checkpoint, weights_only=True)["state_dict"] for run in (whole, cut)
    )
    assert {v.dtype for v in expected.values() if v.is_floating_point()} == {torch.bfloat16}
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    predictions = pd.read_parquet(cut.predictions_file)
    cli("evaluate", f"run={cut.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(cut.predictions_file), predictions)


@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("16-mixed", "precision=16-mixed: expected a GPU, got a CPU, .* set precision=bf16-mixed"),
        ("16-true", "precision: expected one in which AdamW can train, got 16-true"),
        ("bf17", "precision: expected one of 32-true, .*, 64-true, got 'bf17'"),
    ],
)
def test_a_precision_that_cannot_train_is_refused_before_anything_is_prepared(
    cli: Cli, small: list[str], tmp_path: Path, precision: str, said: str
) -> None:
    done = cli("train", *small, f"precision={precision}", expect=1)
    assert re.search(said, done.stderr)
    assert "preparing" not in done.stderr
