"""What several corpora of one run have in common: clips, speakers' names, what is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from mmemo.corpora.leaks import EVALUATED_SPLITS, same_clips
from mmemo.corpora.utterance import own_name

if TYPE_CHECKING:
    # A run's files are opened without pandas.
    import pandas as pd

CLIPS = "clips"
KINDS = ("speakers", "transcripts", "speakers with transcripts")


@dataclass(frozen=True)
class CorpusOverlap:
    """What rows of two corpora have in common.

    Args:
        what: "clips", "speakers", "transcripts", or "speakers with transcripts": speakers of one
            name who say the same.
        corpora: Their names.
        num: Different ones that both corpora have; of clips the rows of both.
        num_rows: Rows of both that are of one of them.
        num_rows_trained: Rows of validation and test among those that are of one in the training
            rows of the other corpus.
    """

    what: str
    corpora: tuple[str, str]
    num: int
    num_rows: int
    num_rows_trained: int

    @property
    def sentence(self) -> str:
        """For people."""
        what = {
            "speakers": "names of speakers",
            "transcripts": "transcripts",
            "speakers with transcripts": "speakers of one name who say the same",
        }.get(self.what, self.what)
        first, second = self.corpora
        number = "" if self.what == CLIPS else f" {self.num}, of"
        return (
            f"{first} and {second} have {what} in common:{number} {self.num_rows} rows; "
            f"{self.num_rows_trained} rows of validation and test are of one that is trained in "
            "the other corpus"
        )


def corpus_overlaps(rows: pd.DataFrame) -> tuple[CorpusOverlap, ...]:
    """For each pair of corpora what they share; what they do not share is left out.

    Speakers are told apart by name, transcripts by their words, whatever their case; a clip by its
    file and, where it is prepared, by its sound.

    Args:
        rows: Rows of a split: corpus, split, source_key, media_path, speaker, transcript; of
            prepared ones crc32 and num_samples.
    """
    named = rows.assign(
        speakers=plain_names(own_speakers(rows)), transcripts=plain_names(rows["transcript"])
    )
    named["speakers with transcripts"] = named["speakers"] + " / " + named["transcripts"]
    return tuple(_found(named, list(dict.fromkeys(rows["corpus"]))))


def own_speakers(rows: pd.DataFrame) -> pd.Series[str]:
    """Speakers as their corpora call them."""
    import pandas as pd

    pairs = zip(rows["corpus"], rows["speaker"].fillna(""), strict=True)
    names = [own_name(str(corpus), str(speaker)) for corpus, speaker in pairs]
    return pd.Series(names, index=rows.index, dtype=object)


def plain_names(names: pd.Series[str]) -> pd.Series[str]:
    """Names or sentences in one case and spacing; missing where there is none."""
    plain = names.fillna("").astype(str).str.casefold().str.split().str.join(" ")
    return plain.where(plain != "")


def is_among(ours: pd.Series[str], theirs: pd.Series[str]) -> pd.Series[bool]:
    """Which names stand among others, of those that are there."""
    return ours.notna() & ours.isin(theirs.dropna())


def _found(named: pd.DataFrame, corpora: Sequence[str]) -> Iterator[CorpusOverlap]:
    for pair in combinations(corpora, 2):
        first, second = (named[named["corpus"] == name] for name in pair)
        both = ((first, second), (second, first))
        for what in KINDS:
            shared = set(first[what].dropna()) & set(second[what].dropna())
            num_rows = sum(int(ours[what].isin(shared).sum()) for ours, _ in both)
            trained = [
                is_among(_of(ours, EVALUATED_SPLITS)[what], _of(theirs, ("train",))[what]).sum()
                for ours, theirs in both
            ]
            if shared:
                yield CorpusOverlap(what, pair, len(shared), num_rows, int(sum(trained)))
        num_rows = sum(int(same_clips(ours, theirs).sum()) for ours, theirs in both)
        if num_rows:
            trained = [
                same_clips(_of(ours, EVALUATED_SPLITS), _of(theirs, ("train",))).sum()
                for ours, theirs in both
            ]
            yield CorpusOverlap(CLIPS, pair, num_rows, num_rows, int(sum(trained)))


def _of(rows: pd.DataFrame, splits: Sequence[str]) -> pd.DataFrame:
    return rows[rows["split"].isin(splits)]
