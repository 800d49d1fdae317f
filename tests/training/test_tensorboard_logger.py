from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmemo.errors import InputError
from mmemo.training.tensorboard_logger import tensorboard_logger


def test_a_continued_run_writes_into_the_same_folder(tmp_path: Path) -> None:
    for step in (0, 1):
        logger = tensorboard_logger(str(tmp_path / "logs"))
        logger.log_metrics({"val/loss": 2.0 - step}, step)
        logger.finalize("success")
    read = EventAccumulator(str(tmp_path / "logs"))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("val/loss")] == [(0, 2.0), (1, 1.0)]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning.pytorch.loggers import TensorBoardLogger

    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise ModuleNotFoundError("Neither `tensorboard` nor `tensorboardX` is available.")

    monkeypatch.setattr(TensorBoardLogger, "__init__", refuse)
    with pytest.raises(InputError, match=r"pip install 'mmemo\[tensorboard\]'"):
        tensorboard_logger(str(tmp_path))
