"""What has to be known to compare a run's numbers with others, as ``metrics.json`` tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import FiniteFloat, JsonValue

from mmemo.corpora.leaks import LEAKY, protocol_stamp
from mmemo.evaluation.other_corpus import OtherCorpus


@dataclass(frozen=True)
class SourceRun:
    """A run that another was made of.

    Args:
        run: Name of its folder.
        sha256: Of its chosen checkpoint.
    """

    run: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a run's numbers came about.

    What is None by default is not told by the first runs, which had no version in their files.

    Args:
        name: Of the run: the first part of its folder's path.
        seed: Of weights, order and dropout.
        corpus: What it was trained on.
        corpus_split: Who has split the corpus.
        split: Name of the split protocol.
        leaky: Whether utterances of validation and test have copies in training.
        leak_shares: For each evaluated split the share of its rows that have one.
        split_settings: The other settings of the split protocol.
        labels: Name of the label set.
        classes: In label order.
        num_utterances: Rows of each split.
        has_sound: Whether the corpus was prepared with its sound.
        denoiser: Its name and version; None for none.
        audio_encoder: Checkpoint or class of the encoder; "none" for none.
        text_encoder: Checkpoint or class of the encoder; "none" for none.
        context_utterances: How many earlier utterances the text encoder reads.
        future_utterances: How many later ones.
        speaker_names: Whether it reads who speaks.
        context: Class of what reads the dialogue between fusion and head; "none" for none.
        sampling: Class of what draws the training batches.
        loss: Name of the training loss; None for a classical classifier, which has none.
        loss_settings: Its settings.
        selection: How the evaluated checkpoint was chosen, or a classical classifier's settings.
        checkpoint_epoch: The epoch that it is of, from 0; 0 where there are none.
        unit: What the split keeps together: "dialogue".
        missing: The modality that the model had to answer without; None where it had all.
        sources: The runs that it was made of, by what each was: "teacher", whose answers it has
            learnt from; "text" and "audio", whose encoders it has.
        evaluated_on: Another corpus, which the numbers are of; None where they are of the corpus
            of the training.
    """

    name: str
    seed: int
    corpus: str
    corpus_split: str
    split: str
    leaky: bool
    leak_shares: Mapping[str, FiniteFloat]
    split_settings: Mapping[str, JsonValue]
    labels: str
    classes: tuple[str, ...]
    num_utterances: Mapping[str, int]
    has_sound: bool | None = None
    denoiser: str | None = None
    audio_encoder: str
    text_encoder: str
    context_utterances: int | None = None
    future_utterances: int | None = None
    speaker_names: bool | None = None
    context: str | None = None
    sampling: str | None = None
    loss: str | None = None
    loss_settings: Mapping[str, JsonValue] | None = None
    selection: str | None = None
    checkpoint_epoch: int
    unit: str | None = None
    missing: str | None = None
    sources: Mapping[str, SourceRun] | None = None
    evaluated_on: OtherCorpus | None = None

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Columns whose values the split keeps together, where its settings name some."""
        given = self.split_settings.get("group_columns")
        return tuple(map(str, given)) if isinstance(given, list | tuple) else ()


def split_stamp(protocol: Protocol) -> str:
    """Stamp of the split protocol: ``official``, ``oversampled_before_split (LEAKY)``."""
    return protocol_stamp(protocol.split, protocol.leaky)


def evaluated_stamp(protocol: Protocol) -> str:
    """What the evaluated rows are: the stamp of the split, or the other corpus and its rows."""
    other = protocol.evaluated_on
    return split_stamp(protocol) if other is None else f"on {other.stamp}"


def without_modality(missing: str | None) -> str:
    """``, without audio`` where the model had to answer without it; nothing where it had all."""
    return f", without {missing}" if missing else ""


def leak_warning(protocol: Protocol) -> str | None:
    """What a reader must know before the numbers of a leaky protocol; None for any other."""
    other = protocol.evaluated_on
    if other is not None and other.is_leaked:
        num_rows, num_trained = protocol.num_utterances["test"], other.shared["clips"]
        return (
            f"{LEAKY}: the clips of {num_trained.num_rows_trained} of the {num_rows} rows are in "
            "the training or validation split of the model. These numbers do not tell how well new "
            "utterances are recognised."
        )
    if not protocol.leaky:
        return None
    if other is not None:
        return (
            f"{LEAKY}: the model was chosen on a validation split with copies of what it was "
            f"trained on (split protocol {protocol.split}); the rows here are of another corpus."
        )
    shares = [
        f"{100 * share:.1f} % of the {protocol.num_utterances[split]} rows of {split}"
        for split, share in protocol.leak_shares.items()
    ]
    return (
        f"{LEAKY}: {' and '.join(shares)} have a copy in training (split protocol "
        f"{protocol.split}). These numbers do not tell how well new utterances are recognised."
    )
