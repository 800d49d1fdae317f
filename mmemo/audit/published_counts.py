"""Counts that a corpus' authors published, from ``conf/published/counts/CORPUS.yaml``."""

from __future__ import annotations

from dataclasses import dataclass

import yaml
from pydantic import TypeAdapter, ValidationError

from mmemo.documents import damaged, read_text, reason
from mmemo.folders import config_dir

WHAT = "the published counts of a corpus"
REMEDY = "correct the file"


@dataclass(frozen=True)
class PublishedSplit:
    """What was published of one split.

    Args:
        num_rows: Utterances.
        num_dialogues: Dialogues.
        num_speakers: Different names of speakers.
        labels: For each column of labels the utterances of each class.
    """

    num_rows: int
    num_dialogues: int
    num_speakers: int
    labels: dict[str, dict[str, int]]


@dataclass(frozen=True)
class PublishedCounts:
    """What was published of a corpus.

    Args:
        remark: What is known of the official files' differences from it; empty for nothing.
        splits: By name.
    """

    remark: str
    splits: dict[str, PublishedSplit]


def read_published_counts(corpus: str) -> PublishedCounts | None:
    """The counts that were published of a corpus, None where it has no such file.

    Raises:
        InputError: If the file is damaged.
    """
    path = config_dir() / "published" / "counts" / f"{corpus}.yaml"
    if not path.is_file():
        return None
    try:
        content = yaml.safe_load(read_text(path, WHAT, REMEDY))
        return TypeAdapter(PublishedCounts).validate_python(content)
    except (yaml.YAMLError, ValidationError) as error:
        raise damaged(path, WHAT, f"it cannot be read: {reason(error)}", REMEDY) from error
