"""A small text encoder from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tokenizers
import torch
from torch import Tensor, nn

from mmemo.data.batch import TextInput
from mmemo.data.frontends import Tokens
from mmemo.errors import InputError
from mmemo.models.attentions import Attentions, pooling_shares
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features, OwnTokens
from mmemo.models.text_context import Layout
from mmemo.models.text_tokenizer import check_vocab_size, learn_byte_pairs

TOKENIZER_FILE = "tokenizer.json"
SPECIAL_TOKENS = ("[PAD]", "[CLS]")
START_ID = SPECIAL_TOKENS.index("[CLS]")


class ScratchTextEncoder(nn.Module):
    """A small transformer with a tokenizer of its own, both from the training split alone.

    Each utterance begins with "[CLS]", those of the context too.

    Args:
        vocab_size: Tokens at most, the 256 bytes and two special ones included.
        width: D of the tokens' vectors.
        num_layers: Transformer layers.
        num_heads: Attention heads.
        max_tokens: Longer texts are cut there, the "[CLS]" in front included.
        dropout: In the transformer.
        pooling: "mean", "mean_std" or "first".
        assets_dir: Folder of a run with its tokenizer, which ``fit`` leaves as it is.

    Raises:
        InputError: If ``vocab_size`` is too small.
    """

    pad_token_id = 0
    mask_token_id: int | None = None
    frozen = False
    trains_every_weight = True

    def __init__(
        self,
        vocab_size: int = 1000,
        width: int = 64,
        num_layers: int = 2,
        num_heads: int = 4,
        max_tokens: int = 64,
        dropout: float = 0.3,
        pooling: str = "mean",
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_vocab_size(vocab_size, len(SPECIAL_TOKENS), "text_encoder.vocab_size")
        self.vocab_size = vocab_size
        self.max_tokens = max_tokens
        self.tokenizer: tokenizers.Tokenizer | None = None
        if assets_dir is not None:
            self.tokenizer = tokenizers.Tokenizer.from_file(str(Path(assets_dir) / TOKENIZER_FILE))
            self.tokenizer.no_truncation()
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=self.pad_token_id)
        self.position_embeddings = nn.Embedding(max_tokens, width)
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 4 * width, dropout, batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(
            layer, num_layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.pool, factor = get_pooling(pooling)
        self.frame_dim = width
        self.output_dim = factor * width

    def fit(self, transcripts: Sequence[str]) -> None:
        """Learn the tokenizer from the training split's transcripts, unless there is one."""
        if self.tokenizer is None:
            self.tokenizer = learn_byte_pairs(
                transcripts, self.vocab_size, SPECIAL_TOKENS, "[CLS] $A"
            )

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        """Token ids with "[CLS]" in front, at most ``max_tokens``."""
        if self.tokenizer is None:
            raise RuntimeError("the tokenizer is not trained: call fit(transcripts) first")
        layout = Layout(prefix=(START_ID,), separator=START_ID, suffix=())
        own, *context = (
            self.tokenizer.encode(text, add_special_tokens=False).ids
            for text in (transcript, *before, *after)
        )
        earlier, later = context[: len(before)], context[len(before) :]
        return layout.place(own, earlier, later, self.max_tokens)

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Encode (B, L) into one frame for each token (B, L, D)."""
        words = self.embed(text.input_ids) if inputs_embeds is None else inputs_embeds
        frames = self.transformer(self._placed(words), src_key_padding_mask=~text.mask)
        return Features(frames, text.mask, self.pool(frames, text.pooled_mask))

    def _placed(self, words: Tensor) -> Tensor:
        positions = torch.arange(words.shape[1], device=words.device)
        placed: Tensor = words + self.position_embeddings(positions)
        return placed

    def attentions(self, text: TextInput) -> Attentions:
        """How each layer attends from token to token of (B, L); see ``Attentions``."""
        hidden, padded, layers = self._placed(self.embed(text.input_ids)), ~text.mask, []
        for layer in self.transformer.layers:
            normed = layer.norm1(hidden)
            _, weights = layer.self_attn(
                *(normed, normed, normed), key_padding_mask=padded, average_attn_weights=False
            )
            layers.append(weights)
            hidden = layer(hidden, src_key_padding_mask=padded)
        return Attentions(tuple(layers), pooling_shares(self.pool, text.pooled_mask), text.mask)

    def own_tokens(self, transcript: str) -> OwnTokens:
        """A transcript's tokens and where in it they are."""
        if self.tokenizer is None:
            raise RuntimeError("the tokenizer is not trained: call fit(transcripts) first")
        encoded = self.tokenizer.encode(transcript, add_special_tokens=False)
        return OwnTokens(encoded.ids, encoded.offsets)

    def embed(self, input_ids: Tensor) -> Tensor:
        """The tokens' embeddings (B, L, D), before positions."""
        embeddings: Tensor = self.word_embeddings(input_ids)
        return embeddings

    def pooled_layers(self, text: TextInput) -> Tensor:
        """The one pooled layer: (B, 1, D_out)."""
        pooled: Tensor = self(text).pooled
        return pooled[:, None]

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, 1, D_out) to (B, D_out)."""
        return pooled[:, 0]

    def save_assets(self, folder: Path) -> None:
        """Write the tokenizer."""
        if self.tokenizer is None:
            raise InputError(f"{folder}: no tokenizer to save; call fit(transcripts) first")
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / TOKENIZER_FILE))
