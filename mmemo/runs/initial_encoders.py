"""Encoders that a run begins with as other runs have trained them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mmemo.errors import InputError

if TYPE_CHECKING:
    # What a config names is checked where nothing else needs torch.
    from torch import nn

    from mmemo.models.classifier import EmotionClassifier

TEACHER = "distillation.teacher"


@dataclass(frozen=True)
class InitialEncoders:
    """Which runs the encoders, and their projections in the fusion, are taken from.

    Args:
        text: Folder of the run with the text encoder; None for one that begins untrained.
        audio: The same of the audio encoder.
        frozen: Whether what is taken stays as it is: none of its weights is trained, and nothing
            in it is random.
    """

    text: str | None = None
    audio: str | None = None
    frozen: bool = True

    def folders(self) -> dict[str, str]:
        """Run folders, by modality."""
        both = {"text": self.text, "audio": self.audio}
        return {name: folder for name, folder in both.items() if folder is not None}

    def freeze(self, classifier: EmotionClassifier) -> None:
        """Freeze what is taken, where it is to stay as it is."""
        for modality in self.folders() if self.frozen else ():
            parts = taken_parts(classifier, modality)
            classifier.freeze(*parts.values())
            encoder: Any = parts[f"{modality}_encoder"]
            if hasattr(encoder, "pooled_layers"):
                # What it gives can be kept, unless the fusion needs its frames.
                encoder.frozen = True


def taken_parts(classifier: EmotionClassifier, modality: str) -> dict[str, nn.Module]:
    """The parts of a classifier that are of one modality alone, by their names in its state."""
    found = dict(_of_fusion(classifier, modality))
    encoder = getattr(classifier, f"{modality}_encoder")
    if encoder is None:
        raise InputError(
            f"initial.{modality}: expected none for a model without {modality}_encoder; leave it "
            f"out, or choose the encoder that the run was trained with"
        )
    return {f"{modality}_encoder": encoder, **found}


def _of_fusion(classifier: EmotionClassifier, modality: str) -> Iterator[tuple[str, nn.Module]]:
    if classifier.fusion.needs_frames:
        # What it has of a modality is for frames, which no run of one modality has learnt.
        return
    for name, part in classifier.fusion.named_children():
        by_modality = dict(part.named_children())
        if modality in by_modality:
            yield f"fusion.{name}.{modality}", by_modality[modality]


def named_sources(cfg: DictConfig) -> dict[str, str]:
    """The run folders that a training's config names, by option.

    Raises:
        InputError: If a teacher is wanted and none is named, or no encoder's run is.
    """
    found: dict[str, str] = {}
    if cfg.get("distillation") is not None:
        if not cfg.distillation.get("teacher"):
            raise InputError(
                f"{TEACHER}: expected the folder of a run that teaches this one, got none; train "
                "one, of words say (modality=text), and name its folder"
            )
        found[TEACHER] = str(cfg.distillation.teacher)
    if cfg.get("initial") is not None:
        named = {m: cfg.initial.get(m) for m in ("text", "audio") if cfg.initial.get(m)}
        if not named:
            raise InputError(
                "initial: expected the run of an encoder, got none; set initial.text=RUN, "
                "initial.audio=RUN or both, or initial=none"
            )
        found |= {f"initial.{modality}": str(folder) for modality, folder in named.items()}
    return found
