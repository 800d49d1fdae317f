"""Another corpus than that of the training, that a model was evaluated on, and what both share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shared:
    """What the evaluated rows have in common with the corpus of the training.

    Args:
        num: Different speakers, clips or transcripts that both have.
        num_rows: Evaluated rows that are of one of them.
        num_rows_trained: Evaluated rows that are of one in the training or validation split.
    """

    num: int
    num_rows: int
    num_rows_trained: int


@dataclass(frozen=True, kw_only=True)
class OtherCorpus:
    """What a model was evaluated on, where that is not the corpus of its training.

    Args:
        name: Of the corpus.
        digest: Eight hexadecimal digits of its rows.
        split: Its own split that was evaluated; None for all of its rows.
        corpus_split: Who has split it.
        left_out_classes: Classes of the model that it lacks: they are no answers.
        num_answers_left_out: Rows whose first answer was one of those.
        left_out_rows: By class that the model lacks, the rows that were left out.
        shared: By "speakers", "clips", "transcripts" what the corpus of the training has too.
        unchecked: Why some of that could not be looked for; None where all was.
    """

    name: str
    digest: str
    split: str | None
    corpus_split: str
    left_out_classes: tuple[str, ...]
    num_answers_left_out: int
    left_out_rows: Mapping[str, int]
    shared: Mapping[str, Shared]
    unchecked: str | None

    @property
    def corpus(self) -> str:
        """Name and digest: corpora of other rows may have one name."""
        return f"{self.name}-{self.digest}"

    @property
    def rows(self) -> str:
        """``all rows``, ``its own test``."""
        return f"its own {self.split}" if self.split else "all rows"

    @property
    def stamp(self) -> str:
        """``table-1a2b3c4d, all rows``."""
        return f"{self.corpus}, {self.rows}"

    @property
    def is_leaked(self) -> bool:
        """Whether clips of it were trained on."""
        return "clips" in self.shared and self.shared["clips"].num_rows_trained > 0

    def sentences(self, trained_on: str, num_rows: int) -> list[str]:
        """What a reader has to know of the numbers.

        Args:
            trained_on: Name of the corpus of the training.
            num_rows: Rows that were evaluated.
        """
        found = [f"Trained on {trained_on}, evaluated on {self.stamp}: {num_rows} rows."]
        if self.left_out_classes:
            found.append(
                f"Classes of the model that {self.name} lacks are no answers here: "
                f"{', '.join(self.left_out_classes)} (the model's first answer to "
                f"{self.num_answers_left_out} of {num_rows} rows)."
            )
        if self.left_out_rows:
            counts = ", ".join(f"{name} {count}" for name, count in self.left_out_rows.items())
            found.append(f"Rows left out, of classes that the model lacks: {counts}.")
        for what, shared in self.shared.items():
            found.append(_shared_sentence(what, shared, num_rows))
        if self.unchecked:
            found.append(f"Not checked: {self.unchecked}.")
        return found


def results_folder(name: str, digest: str, split: str | None) -> str:
    """Name of the folder of results on another corpus: ``on_table-1a2b3c4d``, ``…-test``."""
    return f"on_{name}-{digest}" + (f"-{split}" if split else "")


def _shared_sentence(what: str, shared: Shared, num_rows: int) -> str:
    if shared.num == 0:
        return f"No {what} in common with the corpus of the training."
    return (
        f"{what.capitalize()} in common with the corpus of the training: {shared.num}, of "
        f"{shared.num_rows} of {num_rows} rows; in its training or validation split, of "
        f"{shared.num_rows_trained} rows."
    )
