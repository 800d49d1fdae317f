"""Where a second modality helps, as a comparison tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmemo.evaluation.seed_summary import SeedSummary


@dataclass(frozen=True)
class GainRow:
    """Utterances of one kind, and how each model does on them: means over seeds.

    Args:
        value: The kind: a class, a range of durations.
        num: How many utterances.
        both: Score of the fused model.
        audio: Score of the model that only hears.
        text: Score of the model that only reads.
        gain_over_audio: Score of the fused model minus that of the model that only hears.
        gain_over_text: Score of the fused model minus that of the model that only reads.
    """

    value: str
    num: int
    both: float
    audio: float | None
    text: float | None
    gain_over_audio: SeedSummary | None
    gain_over_text: SeedSummary | None


@dataclass(frozen=True)
class Agreement:
    """Which of the unimodal models is right, in shares of the utterances, means over seeds.

    ``kappa`` is Cohen's (1960) of their predictions; None where it is undefined for each seed.
    """

    both_right: float
    only_audio_right: float
    only_text_right: float
    neither_right: float
    kappa: float | None


@dataclass(frozen=True)
class MeanScores:
    """Scores on test, means over seeds."""

    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class ModalityGain:
    """Where the best fused model gains over the best unimodal ones, on the same utterances.

    Args:
        models: Name of the group by modalities: "audio+text", "audio", "text".
        seeds: Seeds that all models have.
        num_utterances: Utterances of the test split.
        by: Rows for each kind of breakdown: ``class`` (recall), ``class_f1``, ``duration_s``,
            ``num_words``, ``speaker`` (accuracy).
        agreement: How often the unimodal models agree; None where one is missing.
        oracle: Scores of an oracle that is right where either unimodal model is.
        fused: Scores of the fused model.
        notes: For the reader.
    """

    models: Mapping[str, str]
    seeds: tuple[int, ...]
    num_utterances: int
    by: Mapping[str, tuple[GainRow, ...]]
    agreement: Agreement | None
    oracle: MeanScores | None
    fused: MeanScores | None
    notes: tuple[str, ...]
