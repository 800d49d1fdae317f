"""Text encoders: pretrained language models, and a small one from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import tokenizers
import torch
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn

from mmemo.data.batch import TextInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features

TOKENIZER_FILE = "tokenizer.json"
SPECIAL_TOKENS = ("[PAD]", "[CLS]")
MIN_VOCAB_SIZE = 256 + len(SPECIAL_TOKENS)


class PretrainedTextEncoder(nn.Module):
    """A transformers language model, fine-tuned as a whole.

    Args:
        checkpoint: Name on the hub, or a local folder, in transformers' layout.
        max_tokens: Longer texts are cut there, special tokens included.
        pooling: "first" (the classification token), "mean" or "mean_std".
        pretrained: False for random weights of the same architecture.
        assets_dir: Folder of a run with config and tokenizer; no weights are fetched then.

    Raises:
        InputError: If the checkpoint cannot be loaded.
    """

    def __init__(
        self,
        checkpoint: str,
        max_tokens: int = 64,
        pooling: str = "first",
        pretrained: bool = True,
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        option = "text_encoder.checkpoint"
        self.tokenizer = load_tokenizer(assets_dir or checkpoint, option)
        config = load_config(assets_dir or checkpoint, option, {})
        self.model = load_model(checkpoint, config, option, pretrained and assets_dir is None)
        self.max_tokens = max_tokens
        self.pad_token_id = int(self.tokenizer.pad_token_id or 0)
        self.pool, factor = get_pooling(pooling)
        self.output_dim = factor * int(config.hidden_size)
        self.frame_dim = int(config.hidden_size)

    def fit(self, transcripts: Sequence[str]) -> None:
        """Nothing is learnt before training."""

    def tokenize(self, transcript: str) -> list[int]:
        """Token ids with the special tokens, at most ``max_tokens``."""
        encoded = self.tokenizer(transcript, truncation=True, max_length=self.max_tokens)
        return cast(list[int], encoded["input_ids"])

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Encode (B, L) into one frame for each token (B, L, D)."""
        mask = text.mask.long()
        if inputs_embeds is None:
            output = self.model(input_ids=text.input_ids, attention_mask=mask)
        else:
            output = self.model(inputs_embeds=inputs_embeds, attention_mask=mask)
        frames = output.last_hidden_state
        return Features(frames, text.mask, self.pool(frames, text.mask))

    def save_assets(self, folder: Path) -> None:
        """Write the model's config and the tokenizer."""
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


class ScratchTextEncoder(nn.Module):
    """A small transformer with a tokenizer of its own, both from the training split alone.

    The tokenizer is a byte-pair encoding of bytes: any text has tokens, known or not.

    Args:
        vocab_size: Tokens at most, the 256 bytes and two special ones included.
        width: D of the tokens' vectors.
        num_layers: Transformer layers.
        num_heads: Attention heads.
        max_tokens: Longer texts are cut there, the "[CLS]" in front included.
        dropout: In the transformer.
        pooling: "mean", "mean_std" or "first".
        assets_dir: Folder of a run with its tokenizer; ``fit`` is not needed then.
    """

    pad_token_id = 0

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
        if vocab_size < MIN_VOCAB_SIZE:
            raise InputError(
                f"text_encoder.vocab_size: expected at least {MIN_VOCAB_SIZE} (256 bytes and "
                f"{len(SPECIAL_TOKENS)} special tokens), got {vocab_size}"
            )
        self.vocab_size = vocab_size
        self.max_tokens = max_tokens
        self.tokenizer: tokenizers.Tokenizer | None = None
        if assets_dir is not None:
            self.tokenizer = tokenizers.Tokenizer.from_file(str(Path(assets_dir) / TOKENIZER_FILE))
        self.word_embeddings = nn.Embedding(vocab_size, width, padding_idx=self.pad_token_id)
        self.position_embeddings = nn.Embedding(max_tokens, width)
        layer = nn.TransformerEncoderLayer(
            width, num_heads, 4 * width, dropout, batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(
            layer, num_layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.pool, factor = get_pooling(pooling)
        self.output_dim = factor * width
        self.frame_dim = width

    def fit(self, transcripts: Sequence[str]) -> None:
        """Learn the tokenizer from the training split's transcripts; case is kept."""
        # The library's WordPiece and Unigram trainers give another vocabulary in each process.
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(sorted(transcripts), trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A", special_tokens=[("[CLS]", tokenizer.token_to_id("[CLS]"))]
        )
        tokenizer.enable_truncation(self.max_tokens)
        self.tokenizer = tokenizer

    def tokenize(self, transcript: str) -> list[int]:
        """Token ids with "[CLS]" in front, at most ``max_tokens``."""
        if self.tokenizer is None:
            raise RuntimeError("the tokenizer is not trained: call fit(transcripts) first")
        return list(self.tokenizer.encode(transcript).ids)

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Encode (B, L) into one frame for each token (B, L, D)."""
        words = self.word_embeddings(text.input_ids) if inputs_embeds is None else inputs_embeds
        positions = torch.arange(words.shape[1], device=words.device)
        frames = self.transformer(
            words + self.position_embeddings(positions), src_key_padding_mask=~text.mask
        )
        return Features(frames, text.mask, self.pool(frames, text.mask))

    def save_assets(self, folder: Path) -> None:
        """Write the tokenizer."""
        if self.tokenizer is None:
            raise InputError(f"{folder}: no tokenizer to save; call fit(transcripts) first")
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / TOKENIZER_FILE))
