"""Curves for TensorBoard."""

from __future__ import annotations

from lightning.pytorch.loggers import TensorBoardLogger

from mmemo.errors import InputError


def tensorboard_logger(folder: str) -> TensorBoardLogger:
    """Lightning's logger, with one folder for a run however often it is continued.

    Args:
        folder: Of the event files.

    Raises:
        InputError: If TensorBoard is not installed.
    """
    try:
        return TensorBoardLogger(folder, name="", version="")
    except ModuleNotFoundError as error:
        raise InputError(
            "logger=tensorboard: expected the package tensorboard, it is not installed; "
            "pip install 'mmemo[tensorboard]', or choose logger=csv"
        ) from error
