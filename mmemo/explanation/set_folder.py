"""The folder of a set of explanations: where each one lies, and which are there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmemo.errors import InputError
from mmemo.explanation.explanation import ARRAYS_FILE, RECORD_FILE

SETTINGS_FILE = "settings.json"
FAILURES_FILE = "failures.json"
DIGEST_DIGITS = 8


@dataclass(frozen=True)
class SetFolder:
    """A set of explanations by one run with one choice of settings.

    Args:
        path: The folder.
    """

    path: Path

    @classmethod
    def of(cls, parent: Path, name: str | None, settings: Mapping[str, Any]) -> SetFolder:
        """The folder for some settings, whether it was begun before or not.

        Args:
            parent: Folder of the run's explanations.
            name: Of the folder; None to name it by what is chosen and a digest.
            settings: All that decides the explanations, JSON-able; ``selection`` among them.

        Raises:
            InputError: If the folder of that name has explanations with other settings.
        """
        text = json.dumps(settings, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]
        folder = parent / (name or f"{settings['selection']}-{settings['target']}-{digest}")
        file = folder / SETTINGS_FILE
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(file, text)
        elif file.read_text(encoding="utf-8") != text:
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

    def write_failures(self, failures: Mapping[str, str]) -> None:
        """Note what happened to the utterances that could not be explained, by key."""
        text = json.dumps(failures, indent=2, ensure_ascii=False) + "\n"
        (self.path / FAILURES_FILE).write_text(text, encoding="utf-8")


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def safe_name(key: str) -> str:
    """A folder's name for a key; different keys have different names."""
    name = key.replace("/", "_")
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".")
    if safe != name or key.count("/") != 1:
        safe += "-" + hashlib.sha256(key.encode()).hexdigest()[:DIGEST_DIGITS]
    return safe
