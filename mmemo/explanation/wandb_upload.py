"""A set of explanations on Weights & Biases, from the files of its folder alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmemo.explanation.explanation import Explanation
from mmemo.explanation.figures import JOINT_FIGURE, METHODS_FIGURE
from mmemo.explanation.members import explanation_folders
from mmemo.reporting.self_contained import wav_bytes

if TYPE_CHECKING:
    from wandb import Run

MAX_LOGGED = 100
"""More explanations are left to the folder: each one is a sound and two images."""

FIGURES = (METHODS_FIGURE, JOINT_FIGURE)
COLUMNS = ("key", "transcript", "true", "predicted", "target", "shapley audio", "shapley text")


def log_explanations(run: Run, root: Path) -> None:
    """Log a table with a row for each explanation, with its sound and figures, and the set's.

    Args:
        run: An open run on W&B.
        root: Folder of the set, with its pages written.
    """
    import wandb

    with tempfile.TemporaryDirectory() as clips:
        rows: list[Iterable[Any]] = [
            _row(folder, Path(clips) / f"{number}.wav")
            for number, folder in enumerate(explanation_folders(root)[:MAX_LOGGED])
        ]
        columns: list[str | int] = ["audio", *FIGURES, *COLUMNS]
        images = {
            f"explanations/{root.name}/{path.stem}": wandb.Image(str(path))
            for path in sorted(root.glob("*.png"))
        }
        # Copies the clips.
        table = wandb.Table(columns=columns, data=rows)
        run.log({f"explanations/{root.name}/utterances": table, **images})


def _row(folder: Path, clip: Path) -> list[Any]:
    import wandb

    explanation = Explanation.load(folder)
    sound = None
    if explanation.sound is not None and len(explanation.sound):
        clip.write_bytes(wav_bytes(explanation.sound, explanation.sample_rate))
        sound = wandb.Audio(str(clip))
    paths = [folder / f"{name}.png" for name in FIGURES]
    shapley = {} if explanation.shapley is None else explanation.shapley.values
    return [
        sound,
        *(wandb.Image(str(path)) if path.is_file() else None for path in paths),
        explanation.key,
        explanation.transcript,
        explanation.true,
        explanation.predicted,
        explanation.target,
        shapley.get("audio"),
        shapley.get("text"),
    ]
