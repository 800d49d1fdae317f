"""Pretrained language models, as text encoders need them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.precision import keep_residuals_in_float32
from mmemo.models.text_context import Layout
from mmemo.models.text_tokenizer import check_vocab_size
from mmemo.models.trainable import set_trainable

OPTION = "text_encoder"
NUM_SPECIAL_TOKENS = 3
"""Of a tokenizer that is learnt here: padding, the first token, the separator."""

# What DeBERTa and MPNet register behind their layers, and all layers read.
SHARED_BY_LAYERS = ("rel_embeddings", "LayerNorm", "relative_attention_bias")


def build_language_model(
    checkpoint: Checkpoint,
    attention: str,
    gradient_checkpointing: bool,
    trainable: str,
    lora_rank: int,
) -> tuple[Any, bool]:
    """A transformers model over tokens, and whether nothing of it is trained.

    Args:
        checkpoint: What is loaded.
        attention: "sdpa" or "eager"; see ``Checkpoint.model``.
        gradient_checkpointing: Compute activations again in the backward pass.
        trainable: See ``set_trainable``.
        lora_rank: Rank of low-rank updates.

    Raises:
        InputError: If the checkpoint is no language model that encodes, cannot be loaded, or an
            option does not fit it.
    """
    config = checkpoint.config({})
    _check_model_class(config, checkpoint)
    if not checkpoint.has_files:
        check_vocab_size(
            int(config.vocab_size), NUM_SPECIAL_TOKENS, f"{OPTION}.architecture.vocab_size"
        )
        if config.pad_token_id not in range(NUM_SPECIAL_TOKENS):
            config.pad_token_id = 0
    model = checkpoint.model(config, attention)
    if hasattr(model, "pooler"):
        # Nothing reads it, and distributed training wants a gradient of all it trains.
        model.pooler = None
    if gradient_checkpointing:
        if not model.supports_gradient_checkpointing:
            raise InputError(
                f"{OPTION}.gradient_checkpointing: expected false for {config.model_type}, which "
                "transformers has not built it for"
            )
        model.gradient_checkpointing_enable({"use_reentrant": False})
    keep_residuals_in_float32(model)
    frozen = set_trainable(model, trainable, OPTION, lora_rank)
    if trainable.startswith("top_"):
        for name in SHARED_BY_LAYERS:
            shared = getattr(getattr(model, "encoder", None), name, None)
            if isinstance(shared, nn.Module):
                shared.requires_grad_(False)
    return model, frozen


def _check_model_class(config: Any, checkpoint: Checkpoint) -> None:  # noqa: ANN401
    from transformers import MODEL_MAPPING

    model_class: Any = MODEL_MAPPING.get(type(config), None)
    is_suitable = (
        getattr(model_class, "main_input_name", None) == "input_ids"
        and all(hasattr(config, name) for name in ("vocab_size", "hidden_size"))
        and not getattr(config, "is_encoder_decoder", False)
    )
    if not is_suitable:
        raise InputError(
            f"{OPTION}.checkpoint: expected a model of text that encodes (RoBERTa, BERT, "
            "DistilBERT, DeBERTa, ELECTRA, ModernBERT, MPNet, XLM-R and the like), got "
            f"{config.model_type} in '{checkpoint.name}'; name another checkpoint"
        )


def check_max_tokens(model: Any, max_tokens: int) -> None:  # noqa: ANN401
    """Refuse more tokens than the model has learnt positions for.

    Raises:
        InputError: If there are more.
    """
    positions = _position_embeddings(model)
    if positions is None:
        return
    most = positions.num_embeddings - (first_position(model) or 0)
    if max_tokens > most:
        raise InputError(
            f"{OPTION}.max_tokens: expected at most {most}, the positions that "
            f"{model.config.model_type} has, got {max_tokens}"
        )


def _position_embeddings(model: Any) -> nn.Embedding | None:  # noqa: ANN401
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    return positions if isinstance(positions, nn.Embedding) else None


def first_position(model: Any) -> int | None:  # noqa: ANN401
    """Where a model counts its tokens from, if that is behind the padding's id; None otherwise.

    RoBERTa, XLM-R and MPNet do, and pass over tokens of that id wherever they stand.
    """
    positions = _position_embeddings(model)
    if positions is None or positions.padding_idx is None:
        return None
    return positions.padding_idx + 1


def positions_beside_padding(input_ids: Tensor, first: int) -> Tensor:
    """Positions (B, L) that such a model takes from token ids (B, L).

    It cannot take them from embeddings, and must not take them from what stands in for a token.

    Args:
        input_ids: The tokens.
        first: Position of the first one that is no padding; that of padding is one less.
    """
    is_token = (input_ids != first - 1).long()
    return is_token.cumsum(dim=1) * is_token + first - 1


def special_layout(tokenizer: Any) -> Layout:  # noqa: ANN401
    """Where a transformers tokenizer puts its special tokens.

    Raises:
        InputError: If it has no token that could stand between two utterances.
    """
    separator = tokenizer.sep_token_id
    if separator is None:
        separator = tokenizer.eos_token_id
    if separator is None:
        raise InputError(
            "data.context_utterances: expected a tokenizer with a separator (sep_token or "
            f"eos_token), got {type(tokenizer).__name__} of '{tokenizer.name_or_path}' without; "
            "set it to 0 or name another text_encoder.checkpoint"
        )
    encoded = tokenizer("a", return_special_tokens_mask=True)
    ids, is_special = encoded["input_ids"], encoded["special_tokens_mask"]
    first = is_special.index(0)
    last = len(ids) - is_special[::-1].index(0)
    return Layout(tuple(ids[:first]), int(separator), tuple(ids[last:]))
