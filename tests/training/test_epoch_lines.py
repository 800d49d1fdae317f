from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar, TQDMProgressBar

from mmemo.training import epoch_lines
from mmemo.training.epoch_lines import EpochLines, prints_lines


def trainer_of(**changes: object) -> SimpleNamespace:
    checkpoint = ModelCheckpoint(monitor="val/loss", mode="min")
    values: dict[str, Any] = {
        "is_global_zero": True,
        "progress_bar_callback": None,
        "max_epochs": 5,
        "current_epoch": 0,
        "num_training_batches": 4,
        "should_stop": False,
        "callback_metrics": {"train/loss": 1.5, "val/loss": 1.25, "val/macro_f1": 0.5},
        "checkpoint_callback": checkpoint,
    }
    return SimpleNamespace(**(values | changes))


def run_epoch(lines: EpochLines, trainer: SimpleNamespace, num_batches: int = 4) -> None:
    for batch in range(num_batches):
        lines.on_train_batch_end(trainer, None, None, None, batch)  # type: ignore[arg-type]
    lines.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


def test_a_line_an_epoch_with_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((100.0, 130.0, 160.0))
    monkeypatch.setattr(epoch_lines.time, "monotonic", lambda: next(now))
    trainer, lines = trainer_of(), EpochLines()
    lines.on_train_start(trainer, None)  # type: ignore[arg-type]
    run_epoch(lines, trainer)
    trainer.current_epoch = 1
    trainer.checkpoint_callback.best_model_score = 1.25
    trainer.callback_metrics = {"train/loss": 1.0, "val/loss": 1.5, "val/macro_f1": 0.4}
    run_epoch(lines, trainer)
    # 30 s an epoch: four are left after the first, three after the second.
    assert capsys.readouterr().out.splitlines() == [
        "training: 5 epochs at most of 4 batches",
        "epoch 1/5: train/loss 1.5000, val/loss 1.2500 (best), val/macro_f1 0.5000; 0:00:30 an "
        "epoch; at most 0:02:00 left",
        "epoch 2/5: train/loss 1.0000, val/loss 1.5000 (best 1.2500), val/macro_f1 0.4000; "
        "0:00:30 an epoch; at most 0:01:30 left",
    ]


def test_half_an_epoch_that_is_continued_counts_half(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter((0.0, 10.0))
    monkeypatch.setattr(epoch_lines.time, "monotonic", lambda: next(now))
    trainer, lines = trainer_of(current_epoch=2), EpochLines()
    lines.on_train_start(trainer, None)  # type: ignore[arg-type]
    run_epoch(lines, trainer, num_batches=2)
    out = capsys.readouterr().out
    assert "from epoch 3 on" in out
    # Two of four batches took 10 s, an epoch takes 20; two are left.
    assert "0:00:20 an epoch; at most 0:00:40 left" in out


def test_no_end_is_promised_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    for changes in ({"max_epochs": -1}, {"max_epochs": None}, {"should_stop": True}):
        trainer, lines = trainer_of(**changes), EpochLines()
        lines.on_train_start(trainer, None)  # type: ignore[arg-type]
        run_epoch(lines, trainer)
        assert "left" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("bar", "is_terminal", "told"),
    [
        (RichProgressBar, False, True),
        (RichProgressBar, True, False),
        (TQDMProgressBar, False, False),
        (None, True, True),
    ],
)
def test_lines_stand_where_no_bar_is_seen(
    bar: type[Callback] | None, is_terminal: bool, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    trainer = trainer_of(progress_bar_callback=bar and bar())
    assert prints_lines(trainer) is told
    trainer.is_global_zero = False
    assert not prints_lines(trainer)
