"""What a cell is given of the machine, noted by a callback that its config names."""

from __future__ import annotations

from pathlib import Path

import lightning
import torch
from lightning.pytorch import callbacks


class ThreadsNote(callbacks.Callback):
    """Writes the number of torch's threads into a file of the run folder."""

    NAME = "threads.txt"

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        (self.folder / self.NAME).write_text(str(torch.get_num_threads()))
