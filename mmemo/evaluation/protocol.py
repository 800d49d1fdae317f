"""What ``metrics.json`` says of the protocol, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmemo.corpora.leaks import LEAKY, protocol_stamp


def split_stamp(protocol: Mapping[str, Any]) -> str:
    """Stamp of the split protocol: ``official``, ``oversampled_before_split (LEAKY)``."""
    return protocol_stamp(protocol["split"], protocol["leaky"])


def without_modality(protocol: Mapping[str, Any]) -> str:
    """``, without audio`` where the model had to answer without it; nothing where it had all."""
    return f", without {protocol['missing']}" if protocol.get("missing") else ""


def leak_warning(protocol: Mapping[str, Any]) -> str | None:
    """What a reader must know before the numbers of a leaky protocol; None for any other."""
    if not protocol["leaky"]:
        return None
    shares = [
        f"{100 * share:.1f} % of the {protocol['num_utterances'][split]} rows of {split}"
        for split, share in protocol["leak_shares"].items()
    ]
    return (
        f"{LEAKY}: {' and '.join(shares)} have a copy in training (split protocol "
        f"{protocol['split']}). These numbers do not tell how well new utterances are recognised."
    )
