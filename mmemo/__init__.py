"""mmemo: emotion recognition in speech and text, from raw clips to an honest report.

In Python, ``load_run`` opens what ``mmemo train`` has made, and ``compose`` builds what it would
train. Importing this package imports nothing else; what they need comes with their first call.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmemo.version import __version__

if TYPE_CHECKING:
    from mmemo.prediction.loaded_run import LoadedRun
    from mmemo.runs.composition import Composition

__all__ = ["__version__", "compose", "load_run"]


def load_run(
    run: str | Path | Sequence[str | Path],
    *,
    trust: Sequence[str] = (),
    accelerator: str = "auto",
) -> LoadedRun:
    """Load a trained run from its folder, which may have been moved from anywhere.

    Args:
        run: A run folder; several, or the folder of a group of seeds, to answer together.
        trust: Packages or classes that the run may build beside what mmemo itself does: a folder
            from somebody else can run their code.
        accelerator: The device, as Lightning names it: "auto", "cpu", "gpu".

    Raises:
        InputError: If a folder holds no trained run, is damaged, or would build what is not
            trusted.
    """
    from mmemo.prediction.loaded_run import LoadedRun
    from mmemo.prediction.members import open_ensemble

    runs = [run] if isinstance(run, str | Path) else list(run)
    return LoadedRun(open_ensemble(runs, trust, accelerator))


def compose(
    experiment: str | None, overrides: Sequence[str] = (), run_dir: str | Path | None = None
) -> Composition:
    """What ``mmemo train experiment=NAME`` would be made of, without training it.

    Args:
        experiment: Of ``conf/experiment``; None for none.
        overrides: As they are typed behind ``mmemo train``.
        run_dir: What a trainer that is built of it writes to; None for ``outputs/NAME/python``.

    Raises:
        InputError: If they do not compose.
    """
    from mmemo.runs.composition import compose_experiment

    return compose_experiment(experiment, overrides, run_dir)
