"""What a run does to sound and words before its model, apart from any corpus."""

from __future__ import annotations

from dataclasses import dataclass

from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.audio.denoisers import Denoiser
from mmemo.audio.reading import DEFAULT_READING, MAX_BAD_SHARE, Reading
from mmemo.data.text_cleaning import TextCleaning
from mmemo.errors import InputError
from mmemo.runs.run_folder import RESTORE, RunFolder


@dataclass(frozen=True)
class Preprocessing:
    """What happens to sound and words before the encoders.

    Args:
        denoiser: Applied to sound; None for none.
        sample_rate: Of the prepared sound, in Hz.
        prepared_duration_s: Where sound is cut before it is denoised.
        max_duration_s: Where it is cut before it is heard.
        min_duration_s: Shorter sound is not answered.
        text_cleaning: Applied to transcripts; None for none.
        context_utterances: Earlier utterances of the dialogue that are read too.
        future_utterances: Later ones.
        speaker_names: Whether an utterance is read with its speaker's name in front.
        batch_size: Utterances that are answered together.
        reading: How media files are read; of several sound tracks the default one is heard,
            whatever the clips of the training had.
    """

    denoiser: Denoiser | None
    sample_rate: int
    prepared_duration_s: float
    max_duration_s: float
    min_duration_s: float
    text_cleaning: TextCleaning | None
    context_utterances: int
    future_utterances: int
    speaker_names: bool
    batch_size: int
    reading: Reading = DEFAULT_READING

    @property
    def max_samples(self) -> int:
        """Longer prepared sound is cut there."""
        return round(min(self.max_duration_s, self.prepared_duration_s) * self.sample_rate)

    @classmethod
    def of(cls, cfg: DictConfig, denoiser: Denoiser | None) -> Preprocessing:
        """What a run's config says; its denoiser is built already."""
        data = cfg.data
        return cls(
            denoiser=denoiser,
            sample_rate=cfg.preparer.sample_rate,
            prepared_duration_s=cfg.preparer.max_duration_s,
            max_duration_s=data.max_duration_s,
            min_duration_s=data.get("min_duration_s", 0.0),
            text_cleaning=instantiate(data.get("text_cleaning"), _convert_="all"),
            context_utterances=data.get("context_utterances", 0),
            future_utterances=data.get("future_utterances", 0),
            speaker_names=data.get("speaker_names", False),
            batch_size=data.eval_batch_size,
            reading=Reading(max_bad_share=cfg.preparer.get("max_bad_share", MAX_BAD_SHARE)),
        )

    def check_same(self, folder: RunFolder) -> None:
        """Compare with what the run's own sound went through.

        Raises:
            InputError: If the denoiser of this installation is another, or the rate is.
        """
        trained = folder.read_data_card().prepared
        if not trained.has_sound or trained.sample_rate is None:
            # Of transcripts alone, or by the first mmemo, which did not tell.
            return
        version = None if self.denoiser is None else self.denoiser.version
        name = None if self.denoiser is None else self.denoiser.name
        own, here = (trained.denoiser, trained.denoiser_version), (name, version)
        if own != here:
            raise InputError(
                f"{folder.path}: expected sound denoised as in training, by {_called(*own)}, this "
                f"installation has {_called(*here)}; install the mmemo that the run was trained "
                f"with ({folder.read_info().mmemo_version}), or train again"
            )
        if trained.sample_rate != self.sample_rate:
            raise InputError(
                f"{folder.path}: expected sound at {trained.sample_rate} Hz, as in training, got "
                f"preparer.sample_rate={self.sample_rate} in its config; {RESTORE}"
            )


def _called(denoiser: str | None, version: str | None) -> str:
    return f"{denoiser} {version}" if denoiser else "no denoiser"
