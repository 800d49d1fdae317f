"""What cannot train is told before anything is prepared; what Lightning's users type works."""

import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from mmemo.commands.settings_trial import check_composed, check_devices, check_model
from mmemo.errors import InputError
from mmemo.evaluation.confusion_scores import METRICS
from mmemo.runs.experiment import Experiment
from mmemo.runs.input_errors import input_error
from mmemo.runs.loss import build_loss
from mmemo.training.module import EmotionModule
from mmemo.training.monitored_scores import MonitoredScores
from tests.commands.conftest import Cli, only_run
from tests.commands.interruptions import SignalAt, befalls
from tests.commands.test_interruption import assert_same_run
from tests.commands.test_training_options import text_alone
from tests.test_configs import composed

pytestmark = pytest.mark.usefixtures("blank_figures")

CALLBACKS = "lightning.pytorch.callbacks"


def test_the_direction_follows_from_the_score() -> None:
    for score in ("macro_f1", "accuracy", "weighted_f1", "uar", "wa", "mcc", "recall_anger"):
        cfg = composed([f"callbacks.checkpoint.monitor=val/{score}", "corpus.root=/data"])
        assert cfg.callbacks.checkpoint.mode == cfg.callbacks.early_stopping.mode == "max"
        check_composed(cfg)
    apart = composed(["callbacks.early_stopping.monitor=train/macro_f1", "corpus.root=/data"])
    assert (apart.callbacks.checkpoint.mode, apart.callbacks.early_stopping.mode) == ("min", "max")
    check_composed(apart)
    optuna = composed(
        ["+sweep=optuna", "callbacks.checkpoint.monitor=val/accuracy", "corpus.root=/data"]
    )
    assert optuna.callbacks.pruning.mode == "max"
    steered = OmegaConf.load(Path(__file__).parents[2] / "conf" / "wandb" / "sweep.yaml")
    assert steered.metric.goal == f"{MonitoredScores().direction(steered.metric.name)}imize"


def test_the_direction_of_an_own_metric_is_told_by_it_or_its_class() -> None:
    own = "+metrics.kappa._target_=torchmetrics.classification.MulticlassCohenKappa"
    told = "+metrics.far={_target_: sklearn.metrics.hamming_loss, direction: min}"
    for monitor, mode in {"kappa": "max", "far": "min"}.items():
        options = [own, told, f"callbacks.checkpoint.monitor=val/{monitor}", "corpus.root=/data"]
        cfg = composed(options)
        assert cfg.callbacks.checkpoint.mode == cfg.callbacks.early_stopping.mode == mode
        check_composed(cfg)


def test_what_is_logged_is_what_is_compared() -> None:
    module = EmotionModule(torch.nn.Linear(2, 2), 2, None, None)  # type: ignore[arg-type]
    logged = {name.removeprefix("val/") for name in module.metrics["validate"]}  # type: ignore[union-attr]
    assert logged == set(METRICS)


REFUSED = {
    "callbacks.checkpoint.monitor=val/macrof1": "one of val/loss, val/accuracy, .* got 'val/macrof",
    "callbacks.checkpoint.monitor=train/loss": "callbacks.checkpoint.monitor: expected a score",
    "callbacks.checkpoint.monitor=val/recall_fear": "val/recall_anger, .* got 'val/recall_fear'",
    "+metrics.uar._target_=torch.nn.Linear": "metrics.uar: expected a name that no metric of mmemo",
    "+metrics.mine=3": "metrics.mine: expected a metric with its _target_, got 3",
    "+metrics.mine._target_=nowhere.metric": "metrics.mine._target_: .*No module named 'nowhere",
    "callbacks.checkpoint.monitor=null": "callbacks.checkpoint.monitor: .* got none",
    "callbacks.early_stopping.monitor=val/f1": "callbacks.early_stopping.monitor: expected a score",
    "callbacks.checkpoint.mode=max": "mode: expected min, which is better of val/loss, got max",
    "callbacks.checkpoint=null": "callbacks.checkpoint: expected a ModelCheckpoint",
    "optimizer.lr=-1": "optimizer.lr: expected a learning rate, more than 0 .* got -1",
    "optimizer.lr=1e6": "optimizer.lr: expected a learning rate",
    "optimizer.lr=nan": "optimizer.lr: expected a learning rate",
    "optimizer.lr=true": "optimizer.lr: expected a learning rate",
    "module.encoder_learning_rate=0": "module.encoder_learning_rate: expected a learning rate",
    "+optimizer.betass=[0.9,0.9]": "optimizer.betass: .* one of params, lr, .* mean betas",
    "+trainer.max_epoch=3": r"trainer.max_epoch: expected a setting of lightning.Trainer.* max_epo",
    "+callbacks.mine._target_=nowhere.Callback": r"callbacks.mine._target_: .*No module named 'now",
    "+data.batchsize=3": "data.batchsize: .* did you mean batch_size",
    "scheduler._target_=torch.optim.lr_scheduler.StepLR": "scheduler.name: expected a setting of",
}


@pytest.mark.parametrize("option", REFUSED)
def test_a_setting_without_sense_is_refused(option: str) -> None:
    with pytest.raises(InputError, match=REFUSED[option]):
        check_composed(composed(["corpus.root=/data", option]))


REFUSED_TRAINERS = {
    "+trainer.fast_dev_run=true": "fast_dev_run: expected false, as it saves no checkpoint",
    "+trainer.overfit_batches=1": "overfit_batches: expected 0, as validation would be of training",
    "+trainer.limit_val_batches=0": "limit_val_batches: expected more than 0",
    "+trainer.limit_predict_batches=1": "limit_predict_batches: expected 1.0",
    "+trainer.check_val_every_n_epoch=2": "expected a validation after each epoch",
    "+trainer.val_check_interval=0.5": "expected a validation after each epoch",
    f"+callbacks.swa={{_target_:{CALLBACKS}.StochasticWeightAveraging,swa_lrs:0.1}}": "EMAWeightAv",
    "trainer.devices=2": "expected 1 where there is no GPU, got 2; .* trainer=ddp_cpu",
    "trainer.precision=float": "precision: expected one of .* got 'float'",
    "+trainer.enable_checkpointing=false": "trainer: expected settings .*`enable_checkpointing",
}


def module() -> EmotionModule:
    classifier = torch.nn.Linear(2, 2)
    optimizer: Any = partial(torch.optim.AdamW, lr=0.1)
    return EmotionModule(classifier, 2, None, optimizer)  # type: ignore[arg-type]


@pytest.mark.parametrize("option", REFUSED_TRAINERS)
def test_a_trainer_that_would_choose_nothing_is_refused(option: str) -> None:
    cfg = composed(["corpus.root=/data", "logger=none", "trainer.accelerator=cpu", option])
    with pytest.raises(InputError, match=REFUSED_TRAINERS[option]):  # noqa: PT012
        experiment = Experiment(cfg)
        trainer = experiment.build_trainer()
        check_model(module(), trainer)
        check_devices(trainer, experiment.has_strategy)


def test_what_cannot_be_compiled_is_refused() -> None:
    options = ["corpus.root=/data", "compile=true", "text_encoder.gradient_checkpointing=true"]
    with pytest.raises(InputError, match="compile: expected false beside text_encoder.gradient"):
        check_composed(composed(options))


def test_optimizer_and_schedule_are_built_before() -> None:
    cfg = composed(["corpus.root=/data", "logger=none", "trainer=cpu"])
    trainer = Experiment(cfg).build_trainer()
    check_model(module(), trainer)
    builders: dict[str, Callable[[EmotionModule], None]] = {
        "optimizer: .*Invalid weight_decay": lambda m: setattr(
            m, "optimizer_builder", partial(torch.optim.AdamW, weight_decay=-1)
        ),
        "scheduler: .*missing 1 required positional argument": lambda m: setattr(
            m, "build_scheduler", partial(torch.optim.lr_scheduler.StepLR)
        ),
        "scheduler: .*ReduceLROnPlateau": lambda m: setattr(
            m, "build_scheduler", partial(torch.optim.lr_scheduler.ReduceLROnPlateau)
        ),
    }
    for message, spoil in builders.items():
        spoilt = module()
        spoil(spoilt)
        with pytest.raises(InputError, match=message):
            check_model(spoilt, trainer)


def test_nothing_is_prepared_for_what_cannot_train(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    for option, message in {
        "labels.name=eight": "labels.name: expected 'five', .* choose with labels=NAME",
        "fusion.bottleneck_dim=0": "fusion.bottleneck_dim: expected a whole number, at least 1",
        "callbacks.checkpoint.monitor=val/f1": "callbacks.checkpoint.monitor",
    }.items():
        said = cli("train", *small, f"cache_dir={new}", option, expect=1).stderr
        with pytest.raises(InputError, match=message):
            raise InputError(said)
        assert "Traceback" not in said
    assert not list(new.rglob("manifest*"))


def test_what_cannot_be_built_is_told_without_a_traceback() -> None:
    from hydra.utils import instantiate

    try:
        instantiate({"_target_": "torch.nn.Linear", "in_features": "x", "out_features": 1})
    except Exception as error:
        told = input_error(error)
    assert "of torch.nn" in str(told)
    assert "TypeError" in str(told)


def test_what_lightnings_users_are_used_to(cli: Cli, small: list[str], tmp_path: Path) -> None:
    printed = cli(
        "train",
        *text_alone(small),
        f"+callbacks.rates._target_={CALLBACKS}.LearningRateMonitor",
        f"+callbacks.summary._target_={CALLBACKS}.RichModelSummary",
        "callbacks.early_stopping=null",
        "trainer.profiler=simple",
        "trainer.limit_train_batches=1",
        "trainer.log_every_n_steps=1",
        "trainer.limit_val_batches=1",
        "trainer.enable_model_summary=true",
        "loss._target_=torch.nn.MultiMarginLoss",
        "callbacks.checkpoint.monitor=val/macro_f1",
    ).stdout
    assert "EmotionClassifier" in printed
    run = only_run(tmp_path)
    document = json.loads(run.metrics_file.read_text())
    assert document["protocol"]["loss"] == "MultiMarginLoss"
    assert document["protocol"]["selection"] == "checkpoint with the max val/macro_f1"
    assert document["protocol"]["num_utterances"]["test"] == 15
    history = pd.read_csv(run.history_file)
    assert history["step"].tolist() == [1, 2]
    assert run.read_info().best_score == pytest.approx(history["val/macro_f1"].max())
    logged = pd.read_csv(next(run.path.glob("logs/*/metrics.csv")))
    assert {"lr-AdamW/all", "lr-AdamW/all/not_decayed"} <= set(logged)
    cli("evaluate", f"run={run.path}", "trust=[torch.nn.MultiMarginLoss,lightning]")


def test_averaged_weights_are_validated_saved_and_go_on(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    averaging = [f"+callbacks.ema={{_target_: {CALLBACKS}.EMAWeightAveraging, decay: 0.5}}"]
    command = [*text_alone(small), *averaging]
    cli("train", *command, "name=whole")
    cli("train", *text_alone(small), "name=plain")
    whole, plain = only_run(tmp_path, "whole"), only_run(tmp_path, "plain")
    states = [torch.load(run.last_checkpoint, weights_only=True) for run in (whole, plain)]
    for name, weight in states[1]["state_dict"].items():
        torch.testing.assert_close(states[0]["current_model_state"][name], weight)
    losses = [pd.read_csv(run.history_file)["val/loss"] for run in (whole, plain)]
    assert not losses[0].equals(losses[1]), "validation hears the average"
    stop = befalls(SignalAt, signum=int(signal.SIGINT), epoch=1, batch=0)
    cli("train", *command, *stop, "name=stopped", expect=130)
    stopped = only_run(tmp_path, "stopped")
    cli("train", f"resume={stopped.path}", "trust=[lightning,tests]")
    assert_same_run(stopped, whole)


LOSSES = {
    "loss._target_=torch.nn.CrossEntropyLoss": torch.nn.CrossEntropyLoss(),
    "loss=weighted loss._target_=torch.nn.CrossEntropyLoss": torch.nn.CrossEntropyLoss(
        weight=torch.tensor([10 / 12, 10 / 3, 10 / 15, 10 / 9, 10 / 11])
    ),
    "loss=label_smoothing loss._target_=torch.nn.CrossEntropyLoss": torch.nn.CrossEntropyLoss(
        label_smoothing=0.1
    ),
    "loss._target_=torch.nn.CrossEntropyLoss +loss.weight=[1,2,1,1,3]": torch.nn.CrossEntropyLoss(
        weight=torch.tensor([1.0, 2.0, 1.0, 1.0, 3.0])
    ),
    "loss._target_=torch.nn.MultiMarginLoss +loss.margin=0.5": torch.nn.MultiMarginLoss(margin=0.5),
}


@pytest.mark.parametrize("options", LOSSES)
def test_a_loss_of_torchs_is_torchs_own(options: str) -> None:
    loss = build_loss(composed(["corpus.root=/data", *options.split()]).loss)
    loss.use_class_counts([12, 3, 15, 9, 11])
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, generator=generator)
    target = torch.randint(5, (7,), generator=generator)
    mean = loss(logits, target).sum() / loss.weights(target).sum()
    torch.testing.assert_close(mean, LOSSES[options](logits, target))
    assert loss.name == options.partition("torch.nn.")[2].split()[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("loss._target_=torch.nn.NLLLoss", "from logits .* got NLLLoss"),
        ("loss._target_=torch.nn.MSELoss", "got MSELoss"),
        ("loss._target_=torch.nn.BCEWithLogitsLoss", "got BCEWithLogitsLoss, which it does not"),
        ("loss=focal loss._target_=torch.nn.CrossEntropyLoss", "loss.gamma: expected a setting of"),
        ("loss._target_=torch.nn.CrossEntropyLoss +loss.reduction=sum", "the mean over utterances"),
        ("loss._target_=torch.nn.Linear", "loss: expected"),
    ],
)
def test_what_is_no_loss_of_logits_and_classes_is_refused(options: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_loss(composed(["corpus.root=/data", *options.split()]).loss)
