"""Which source a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


def source_state() -> dict[str, Any]:
    """Commit of the source and whether it was changed since, where it is a git checkout."""
    source = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(source), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD") if (source / ".git").exists() else None
    return {
        "git_commit": commit,
        "git_dirty": bool(git("status", "--porcelain")) if commit else None,
    }
