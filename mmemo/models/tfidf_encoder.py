"""TF-IDF of words and of words in sequence, learnt of the training split."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from mmemo.data.batch import TextInput
from mmemo.data.frontends import Tokens
from mmemo.documents import damaged
from mmemo.errors import InputError
from mmemo.models.precision import FixedBuffers
from mmemo.models.protocols import Features, OwnTokens
from mmemo.values import check_whole

TERMS_FILE = "terms.json"
WORD = re.compile(r"\w+")
UNKNOWN_ID = 1
NUM_SPECIAL = 2
"""Ids below that of the first term: padding, and what no term is known of."""


class TfidfEncoder(FixedBuffers):
    """TF-IDF of a transcript's terms, its vector brought to unit norm.

    Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"; the
    weights are those of scikit-learn's ``TfidfVectorizer``, with the logarithm of counts where
    ``sublinear`` says so. Terms are words in lower case, and up to ``max_words`` words in
    sequence; which there are and how rare they are is learnt of the training split alone.
    Utterances beside the own one (``data.context_utterances``) are counted as if they were said in
    it.

    Args:
        max_terms: D: the terms that occur most often are known.
        min_utterances: Of training that a term has to occur in.
        max_words: Words of the longest term.
        sublinear: Whether a count n counts as 1 + ln n.
        assets_dir: Folder of a run with its terms, which ``fit`` leaves as they are.

    Raises:
        InputError: If a number is out of its range, or the terms are damaged.
    """

    pad_token_id = 0
    mask_token_id: int | None = None
    frozen = True
    unit_norm = True
    is_cheap = True
    """To count takes less time than to read what was kept."""

    idf: Tensor

    def __init__(
        self,
        max_terms: int = 2000,
        min_utterances: int = 1,
        max_words: int = 2,
        sublinear: bool = True,
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_whole("text_encoder.max_terms", max_terms, 1)
        check_whole("text_encoder.min_utterances", min_utterances, 1)
        check_whole("text_encoder.max_words", max_words, 1)
        self.max_terms = max_terms
        self.min_utterances = min_utterances
        self.max_words = max_words
        self.sublinear = sublinear
        self.frame_dim = max_terms
        self.output_dim = max_terms
        self.register_buffer("idf", torch.zeros(max_terms))
        self.ids: dict[str, int] | None = None
        if assets_dir is not None:
            self.ids = _read_ids(Path(assets_dir) / TERMS_FILE, max_terms)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The terms (D,); where fewer were found than there is room for, "unused" and a number."""
        terms = tuple(self.ids or ())
        return (*terms, *(f"unused_{place}" for place in range(len(terms), self.max_terms)))

    def fit(self, transcripts: Sequence[str]) -> None:
        """Learn the terms and how rare they are, unless they are known.

        Raises:
            InputError: If there is no term that occurs often enough.
        """
        if self.ids is not None:
            return
        vectorizer = TfidfVectorizer(
            analyzer=self._names, max_features=self.max_terms, min_df=self.min_utterances
        )
        try:
            vectorizer.fit(transcripts)
        except ValueError as error:
            raise InputError(
                f"text_encoder: expected words that occur in {self.min_utterances} training "
                f"utterances at least, found none ({error}); lower text_encoder.min_utterances"
            ) from error
        terms = vectorizer.get_feature_names_out().tolist()
        self.ids = _numbered(terms)
        self.idf = torch.zeros(self.max_terms)
        self.idf[: len(terms)] = torch.from_numpy(vectorizer.idf_).float()

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        """Ids of all known terms of the texts, one for each time that it is said."""
        ids = [i for text in (*before, transcript, *after) for i in self.own_tokens(text).ids]
        return Tokens(ids or [UNKNOWN_ID])

    def own_tokens(self, transcript: str) -> OwnTokens:
        """A transcript's known terms and where in it they are.

        Raises:
            RuntimeError: If nothing was learnt.
        """
        if self.ids is None:
            raise RuntimeError("the terms are not learnt: call fit(transcripts) first")
        known = [
            (self.ids[name], span) for name, span in self._terms(transcript) if name in self.ids
        ]
        return OwnTokens([i for i, _ in known], [span for _, span in known])

    def embed(self, input_ids: Tensor) -> Tensor:
        """A one for each token's term: (B, L) to (B, L, D); zeros for padding and the unknown."""
        places = (input_ids - NUM_SPECIAL).clamp(min=0)
        counted = nn.functional.one_hot(places, self.max_terms).to(self.idf.dtype)
        return counted * (input_ids >= NUM_SPECIAL)[:, :, None]

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Weigh (B, L) tokens' terms: frames (B, L, D) of ones, pooled (B, D) of unit norm."""
        frames = self.embed(text.input_ids) if inputs_embeds is None else inputs_embeds
        counts = (frames * text.mask[:, :, None]).sum(dim=1)
        if self.sublinear:
            # Below 1 where an explanation takes a part of a word: linear there.
            counts = torch.where(counts > 1, 1 + torch.log(counts.clamp(min=1)), counts)
        pooled = nn.functional.normalize(counts * self.idf, dim=1)
        return Features(frames, text.mask, pooled)

    def pooled_layers(self, text: TextInput) -> Tensor:
        """The one layer: (B, 1, D)."""
        pooled: Tensor = self(text).pooled
        return pooled[:, None]

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, 1, D) to (B, D)."""
        return pooled[:, 0]

    def save_assets(self, folder: Path) -> None:
        """Write the terms; how rare they are is among the weights."""
        if self.ids is None:
            raise InputError(f"{folder}: no terms to save; call fit(transcripts) first")
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(list(self.ids), ensure_ascii=False, indent=0)
        (folder / TERMS_FILE).write_text(text, encoding="utf-8")

    def _names(self, transcript: str) -> list[str]:
        return [name for name, _ in self._terms(transcript)]

    def _terms(self, transcript: str) -> list[tuple[str, tuple[int, int]]]:
        """Terms with the characters [start, stop) that they stand for."""
        words = [(found[0].lower(), found.span()) for found in WORD.finditer(transcript)]
        return [
            (
                " ".join(word for word, _ in words[start : start + length]),
                (words[start][1][0], words[start + length - 1][1][1]),
            )
            for length in range(1, self.max_words + 1)
            for start in range(len(words) - length + 1)
        ]


def _numbered(terms: Sequence[str]) -> dict[str, int]:
    return {term: place + NUM_SPECIAL for place, term in enumerate(terms)}


def _read_ids(path: Path, max_terms: int) -> dict[str, int]:
    what, remedy = "the terms of the text encoder", "restore it from a copy, or train again"
    try:
        terms = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, what, f"it cannot be read ({error})", remedy) from error
    is_list = isinstance(terms, list) and all(isinstance(term, str) for term in terms)
    if not is_list or len(terms) > max_terms or len(set(terms)) != len(terms):
        raise damaged(path, what, f"not a list of at most {max_terms} different texts", remedy)
    return _numbered(terms)
