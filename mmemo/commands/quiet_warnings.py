"""What libraries say and a user can do nothing about."""

from __future__ import annotations

import logging
import warnings

ADVERTISERS = (
    # Its advertisements and its word on every accelerator that is not there.
    "lightning.pytorch.utilities.rank_zero",
    # That processes find each other.
    "lightning.fabric.utilities.distributed",
)
HOPELESS_WARNINGS = (
    # A name that Lightning uses and torch has deprecated.
    r".*isinstance\(treespec, LeafSpec\)",
    # A frozen encoder is in evaluation mode on purpose.
    r"Found \d+ module\(s\) in eval mode",
    # The data module itself leaves out the batches that were taken before the interruption.
    r"You're resuming from a checkpoint that ended before the epoch ended",
    # It is not, where a run goes on.
    r"Checkpoint directory .* exists and is not empty",
    # Ours gives every utterance once.
    r"You are using a custom batch sampler",
    # Nor is it meant to be: one process runs on a machine from which jobs are sent.
    r"The `srun` command is available on your system but is not used",
    # The last step of each epoch is logged in any case.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
)
NUM_WORKERS_WARNING = r"The '\w+' does not have many workers"


def quiet_warnings(is_training: bool = True) -> None:
    """Silence them for this process.

    Args:
        is_training: Whether the command has settings for how it loads its data.
    """
    for name in ADVERTISERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in HOPELESS_WARNINGS if is_training else (*HOPELESS_WARNINGS, NUM_WORKERS_WARNING):
        warnings.filterwarnings("ignore", message=message)
