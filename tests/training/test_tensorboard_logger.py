from pathlib import Path

from hydra.utils import instantiate
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmemo.folders import config_dir


def test_a_continued_run_writes_into_the_same_folder(tmp_path: Path) -> None:
    cfg = OmegaConf.load(config_dir() / "logger" / "tensorboard.yaml")
    cfg = OmegaConf.create({"run_dir": str(tmp_path), "logger": cfg}).logger
    for step in (0, 1):
        logger: TensorBoardLogger = instantiate(cfg)
        logger.log_metrics({"val/loss": 2.0 - step}, step)
        logger.finalize("success")
    read = EventAccumulator(str(tmp_path / "logs"))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("val/loss")] == [(0, 2.0), (1, 1.0)]
