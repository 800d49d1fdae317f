"""How checkpoints reach the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from mmemo.errors import InputError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then renames it.

    A kill while it is written leaves the former checkpoint whole, on whatever file system the
    run folder is; Lightning's own goes through the temporary folder, often another one.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | os.PathLike[str],
        storage_options: Any = None,  # noqa: ANN401
    ) -> None:
        """Save to ``path``, which is either the old file or the new one at any moment.

        Raises:
            InputError: If it cannot be written; the old file is whole.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.tmp")
        try:
            torch.save(checkpoint, temporary)
            temporary.replace(target)
        except (OSError, RuntimeError) as error:
            # What was written of it is room that the rest of the run's files need.
            temporary.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise InputError(
                f"{target}: expected to write the state of the run, could not ({reason}); the "
                "state before it is whole: make room on the disk, then continue from that"
            ) from error
