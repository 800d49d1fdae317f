"""Whether a run's model can be evaluated without one of its modalities."""

from __future__ import annotations

from omegaconf import DictConfig

from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder

MODALITIES = ("audio", "text")


def check_missing(run: RunFolder, cfg: DictConfig, missing: str) -> None:
    """Check that a run was trained to answer without a modality.

    Args:
        run: The run.
        cfg: Its config: what is asked for is checked before an experiment is built of it.
        missing: "audio" or "text".

    Raises:
        InputError: If it is neither, or the run was not.
    """
    if missing not in MODALITIES:
        raise InputError(f"missing: expected null, audio or text, got '{missing}'")
    if cfg.audio_encoder is None or cfg.text_encoder is None:
        raise InputError(
            f"missing={missing}: expected a run with sound and text, {run.path} has one of them; "
            "evaluate it without missing"
        )
    modality_dropout = cfg.fusion.get("modality_dropout")
    if not modality_dropout:
        raise InputError(
            f"missing={missing}: expected a run that was trained to answer without a modality, "
            f"{run.path} has fusion.modality_dropout={modality_dropout}; train one "
            "with fusion.modality_dropout=0.3 or the like"
        )
