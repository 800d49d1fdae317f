"""What a command is asked about, as its options ``input``, ``text`` and ``columns`` name it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from mmemo.prediction.requests import Requests, read_requests

NUM_SHOWN = 5
"""Names of files that are left aside."""


def requested_inputs(cfg: DictConfig, num_before: int, num_after: int) -> Requests:
    """Read them.

    Args:
        cfg: The command's config.
        num_before: Earlier utterances of a dialogue that the model reads.
        num_after: Later ones.

    Raises:
        InputError: As ``read_requests``.
    """
    return read_requests(
        None if cfg.input is None else Path(cfg.input).expanduser(),
        None if cfg.text is None else str(cfg.text),
        {str(name): str(called) for name, called in (cfg["columns"] or {}).items() if called},
        num_before,
        num_after,
    )


def print_left_aside(requests: Requests) -> None:
    """Say which files of a folder are not answered on."""
    if requests.left_aside:
        shown = ", ".join(path.name for path in requests.left_aside[:NUM_SHOWN])
        number = len(requests.left_aside)
        print(f"{number} files of the folder are not called as sound or video: {shown}")
