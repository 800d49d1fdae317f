"""The folder of a set of explanations: where each one lies, and which are there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mmemo.documents import document_text, read_document
from mmemo.errors import InputError
from mmemo.explanation.explanation import ARRAYS_FILE, RECORD_FILE, ExplainerSettings
from mmemo.folders import write_whole

SETTINGS_FILE = "settings.json"
FAILURES_FILE = "failures.json"
DIGEST_DIGITS = 8
NAME_DIGITS = 12
MAX_NAME_LENGTH = 100
PLAIN_KEY = re.compile(r"[a-z0-9-][a-z0-9.-]*/[a-z0-9_.-]+")
"""Of these the slash is the first "_" of the name, on file systems that ignore case too."""


@dataclass(frozen=True)
class SetSettings:
    """Contents of ``settings.json``: all that decides the explanations of a set.

    Args:
        selection: The ways in which utterances are chosen.
        keys: Of utterances that are chosen by their keys.
        split: Of the other utterances.
        target: The class that is explained: "predicted", "true" or a class.
        seed: Of random utterances and of the baseline's draws.
        checkpoint: Digest of the model's weights.
        mmemo_version: That explains.
        explainer: Methods and baselines.
        inputs: Of what a user has given, a digest for each key; none of a corpus' utterances.
    """

    VERSION: ClassVar[int] = 2

    selection: str
    keys: tuple[str, ...]
    split: str
    target: str
    seed: int
    checkpoint: str
    mmemo_version: str
    explainer: ExplainerSettings
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetFolder:
    """A set of explanations by one run with one choice of settings.

    Args:
        path: The folder.
    """

    path: Path

    @classmethod
    def of(cls, parent: Path, name: str | None, settings: SetSettings) -> SetFolder:
        """The folder for some settings, whether it was begun before or not.

        Args:
            parent: Folder of the run's explanations.
            name: Of the folder; None to name it by what is chosen and a digest.
            settings: All that decides the explanations.

        Raises:
            InputError: If the folder of that name has explanations with other settings.
        """
        text = document_text(settings)
        digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]
        folder = parent / (name or f"{settings.selection}-{settings.target}-{digest}")
        file = folder / SETTINGS_FILE
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, text)
        elif not _has_settings(file, settings):
            raise InputError(
                f"name={folder.name}: expected a folder without explanations or with the same "
                f"settings, {file} has others; choose another name, or leave it out"
            )
        return cls(folder)

    def place(self, key: str) -> Path:
        """Folder of one explanation."""
        return self.path / safe_name(key)

    def is_finished(self, key: str) -> bool:
        """Whether its explanation is complete."""
        return all((self.place(key) / name).is_file() for name in (ARRAYS_FILE, RECORD_FILE))

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those without a complete explanation."""
        return [key for key in keys if not self.is_finished(key)]

    def seed_folder(self, run: Path, checkpoint: str) -> SetFolder:
        """Folder, beside this one, for the same utterances explained by a run of another seed.

        Args:
            run: The other run's folder.
            checkpoint: Digest of its weights; with others, or other settings, it is another folder.
        """
        settings = (self.path / SETTINGS_FILE).read_text(encoding="utf-8")
        text = "\n".join((str(run), checkpoint, settings))
        digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]
        return SetFolder(self.path.with_name(f"{self.path.name}-seeds") / f"{run.name}-{digest}")

    def update_failures(self, failures: Mapping[str, str], done: Collection[str]) -> dict[str, str]:
        """Note what happened to utterances that could not be explained or checked, by key.

        Args:
            failures: What failed now.
            done: Keys of which all that was asked for is there now; a former failure of any other
                stays.

        Returns:
            All that the file holds now.
        """
        file = self.path / FAILURES_FILE
        known: dict[str, str] = {}
        with suppress(OSError, ValueError, TypeError):
            known = dict(json.loads(file.read_text(encoding="utf-8")))
        known = {key: reason for key, reason in known.items() if key not in done} | dict(failures)
        write_whole(file, json.dumps(known, indent=2, ensure_ascii=False) + "\n")
        return known


def _has_settings(file: Path, settings: SetSettings) -> bool:
    """Whether a file holds those settings, as they are or as an earlier mmemo has written them."""
    try:
        return read_document(file, SetSettings, "settings of a set", "remove it") == settings
    except InputError:
        return False


def safe_name(key: str) -> str:
    """A folder's name for a key; different keys have different names.

    ``test/dia0_utt3`` is ``test_dia0_utt3``. Where a key cannot be told from its name alone, or
    the name would be too long, a digest of the key ends it.
    """
    name = key.replace("/", "_")
    if PLAIN_KEY.fullmatch(key) and len(name) <= MAX_NAME_LENGTH:
        return name
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")[:MAX_NAME_LENGTH]
    return f"{safe}-{hashlib.sha256(key.encode()).hexdigest()[:NAME_DIGITS]}"
