"""A run evaluated with one of its modalities withheld."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder

if TYPE_CHECKING:
    # What can be withheld is checked where nothing else needs torch.
    from mmemo.runs.experiment import Encoders

MODALITIES = ("audio", "text")


def check_withheld(run: RunFolder, run_cfg: DictConfig, missing: str) -> None:
    """Check that a modality can be withheld from a run's model.

    Args:
        run: The run.
        run_cfg: Its config.
        missing: "audio" or "text".

    Raises:
        InputError: If it is neither, or the run was not trained to answer without it.
    """
    if missing not in MODALITIES:
        raise InputError(f"missing: expected null, audio or text, got '{missing}'")
    if run_cfg.audio_encoder is None or run_cfg.text_encoder is None:
        raise InputError(
            f"missing={missing}: expected a run with sound and text, {run.path} has one of them; "
            "evaluate it without missing"
        )
    if not run_cfg.fusion.modality_dropout:
        raise InputError(
            f"missing={missing}: expected a run that was trained to answer without a modality, "
            f"{run.path} has fusion.modality_dropout={run_cfg.fusion.modality_dropout}; train one "
            "with fusion.modality_dropout=0.3 or the like"
        )


def withheld_results(run: RunFolder, run_cfg: DictConfig, missing: str) -> RunFolder:
    """The place in a run's folder for results without a modality.

    Args:
        run: The run.
        run_cfg: Its config.
        missing: "audio" or "text".

    Raises:
        InputError: As ``check_withheld`` does.
    """
    check_withheld(run, run_cfg, missing)
    results = RunFolder(run.path, missing)
    results.results.mkdir(exist_ok=True)
    return results


def without(encoders: Encoders, missing: str | None) -> Encoders:
    """The encoders that hear or read something; no batch has what is left out."""
    return replace(
        encoders,
        audio=None if missing == "audio" else encoders.audio,
        text=None if missing == "text" else encoders.text,
    )
