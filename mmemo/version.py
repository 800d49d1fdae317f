"""The version of mmemo, and the state of its source."""

from __future__ import annotations

import subprocess
from pathlib import Path

__version__ = "0.1.0"


def source_state() -> tuple[str | None, bool | None]:
    """Commit of the source, and whether it was changed since; None where it is no git checkout."""
    source = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(source), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD") if (source / ".git").exists() else None
    return commit, bool(git("status", "--porcelain")) if commit else None
