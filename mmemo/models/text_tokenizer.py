"""Tokenizers that are learnt from the training split's transcripts alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from mmemo.errors import InputError

NUM_BYTES = 256


def check_vocab_size(vocab_size: int, num_special_tokens: int, option: str) -> None:
    """Refuse a vocabulary that does not hold every byte.

    Raises:
        InputError: If it is too small.
    """
    least = NUM_BYTES + num_special_tokens
    if vocab_size < least:
        raise InputError(
            f"{option}: expected at least {least} ({NUM_BYTES} bytes and {num_special_tokens} "
            f"special tokens), got {vocab_size}"
        )


def learn_byte_pairs(
    transcripts: Sequence[str], vocab_size: int, special_tokens: Sequence[str], template: str
) -> tokenizers.Tokenizer:
    """Learn a byte-pair encoding of bytes: any text has tokens, known or not; case is kept.

    Args:
        transcripts: In any order.
        vocab_size: Tokens at most, the 256 bytes and the special tokens included.
        special_tokens: Tokens with the ids 0, 1 and so on.
        template: Where they stand beside a text's tokens "$A", as in "[CLS] $A [SEP]".
    """
    # The library's WordPiece and Unigram trainers give another vocabulary in each process.
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(transcripts), trainer)
    used = [token for token in special_tokens if token in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, tokenizer.token_to_id(token)) for token in used]
    )
    return tokenizer


def learn_model_tokenizer(transcripts: Sequence[str], vocab_size: int, pad_token_id: int) -> Any:  # noqa: ANN401
    """Learn a transformers tokenizer for a language model without pretrained weights.

    Args:
        transcripts: In any order.
        vocab_size: Tokens at most.
        pad_token_id: Id that the model reads as padding, 0 to 2; "[CLS]" and "[SEP]" have the
            other two.
    """
    from transformers import PreTrainedTokenizerFast

    special_tokens = ["[CLS]", "[SEP]"]
    special_tokens.insert(pad_token_id, "[PAD]")
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=learn_byte_pairs(
            transcripts, vocab_size, special_tokens, "[CLS] $A [SEP]"
        ),
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
