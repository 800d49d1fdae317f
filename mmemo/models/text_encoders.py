"""The adapter that makes a text encoder of any pretrained language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmemo.data.batch import TextInput
from mmemo.data.frontends import Tokens
from mmemo.errors import InputError
from mmemo.models.attentions import Attentions, pooling_shares, recorded_attentions
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.layer_weights import Layers, LayerWeights, check_layers
from mmemo.models.pooling import get_pooling
from mmemo.models.precision import keep_residuals_in_float32
from mmemo.models.protocols import Features, OwnTokens
from mmemo.models.text_context import Layout
from mmemo.models.text_prompt import Prompt
from mmemo.models.text_tokenizer import check_vocab_size, learn_model_tokenizer
from mmemo.models.trainable import set_trainable

OPTION = "text_encoder"
NUM_SPECIAL_TOKENS = 3
"""Of a tokenizer that is learnt here: padding, the first token, the separator."""

# Architectures that give each trained weight a gradient in every step; others, such as Longformer
# with the weights of its global attention, may not.
ALL_TRAINED = (
    *("roberta", "bert", "distilbert", "deberta-v2", "electra", "modernbert", "mpnet"),
    "xlm-roberta",
)

# What DeBERTa and MPNet register behind their layers, and all layers read.
SHARED_BY_LAYERS = ("rel_embeddings", "LayerNorm", "relative_attention_bias")


class PretrainedTextEncoder(nn.Module):
    """A transformers language model that reads a text as a whole, such as BERT and its kin.

    Args:
        checkpoint: Name on the hub, or a local folder, in transformers' layout.
        architecture: transformers' ``model_type`` and what differs from its defaults: built
            where ``pretrained`` is False and the checkpoint is no local folder. The tokenizer is
            then learnt from the training split.
        pretrained: False for random weights of the same architecture.
        config_overrides: Settings of the model's config that replace the checkpoint's.
        revision: Commit, tag or branch on the hub; None for its main branch.
        safetensors_only: Refuse weights in the older format.
        max_tokens: Longer texts are cut there, special tokens and context included.
        pooling: "first" (the classification token), "mean" or "mean_std" of the utterance's tokens,
            or "mask": the hidden token of the prompt.
        layers: "last", or "weighted": a learned weighting of the embeddings and all layers,
            each of which is pooled first.
        trainable: See ``set_trainable``.
        lora_rank: Rank of the updates with ``trainable="lora"``.
        gradient_checkpointing: Compute activations again in the backward pass: less memory,
            about a third more time.
        attention: "sdpa": torch's fused attention where the model has it; "eager": as it stands
            in transformers.
        prompt: What stands behind each utterance and its context, with "{mask}" once for a hidden
            token, such as "Now I feel {mask}"; None for nothing. Source: Yun et al. 2024, "TelME".
        assets_dir: Folder of a run with config and tokenizer; no weights are fetched then.

    Raises:
        InputError: If the checkpoint cannot be loaded or an option does not fit it.
    """

    def __init__(
        self,
        checkpoint: str,
        architecture: Mapping[str, Any] | None = None,
        pretrained: bool = True,
        config_overrides: Mapping[str, Any] | None = None,
        revision: str | None = None,
        safetensors_only: bool = True,
        max_tokens: int = 64,
        pooling: str = "first",
        layers: Layers = "last",
        trainable: str = "all",
        lora_rank: int = 8,
        gradient_checkpointing: bool = False,
        attention: str = "sdpa",
        prompt: str | None = None,
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        check_layers(layers, 0.0, trainable == "none", OPTION)
        source = Checkpoint(
            checkpoint,
            OPTION,
            architecture,
            pretrained,
            config_overrides or {},
            revision,
            safetensors_only,
            assets_dir,
        )
        self.model, self.frozen = _build_language_model(
            source, attention, gradient_checkpointing, trainable, lora_rank
        )
        self.tokenizer = source.tokenizer() if source.has_files else None
        self.config = self.model.config
        self.trains_every_weight = self.frozen or self.config.model_type in ALL_TRAINED
        _check_max_tokens(self.model, max_tokens)
        self.max_tokens = max_tokens
        pad_token_id = self.tokenizer.pad_token_id if self.tokenizer else self.config.pad_token_id
        self.pad_token_id = int(pad_token_id or 0)
        self.all_layers = layers == "weighted"
        num_layers = int(self.config.num_hidden_layers) + 1 if self.all_layers else 1
        self.layer_weights = LayerWeights(num_layers)
        self.prompt = Prompt(prompt, self.tokenizer) if prompt is not None else None
        self.prompted = _prompted_layout(self.prompt, self.tokenizer, max_tokens)
        self.pools_mask = pooling == "mask"
        if self.pools_mask and self.prompt is None:
            raise InputError(
                f"{OPTION}.pooling: expected first, mean or mean_std without {OPTION}.prompt, got "
                "mask; set a prompt with {mask} in it"
            )
        self.pool, factor = get_pooling("mean" if self.pools_mask else pooling)
        self.frame_dim = int(self.config.hidden_size)
        self.output_dim = factor * self.frame_dim

    def train(self, mode: bool = True) -> PretrainedTextEncoder:
        """Switch dropout, which a frozen model never has."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def fit(self, transcripts: Sequence[str]) -> None:
        """Learn a tokenizer from the training split, where none came with the checkpoint."""
        if self.tokenizer is None:
            self.tokenizer = learn_model_tokenizer(
                transcripts, int(self.config.vocab_size), self.pad_token_id
            )

    def tokenize(
        self, transcript: str, before: Sequence[str] = (), after: Sequence[str] = ()
    ) -> Tokens:
        """Token ids with the special tokens, at most ``max_tokens``."""
        if self.tokenizer is None:
            raise RuntimeError("the tokenizer is not learnt: call fit(transcripts) first")
        if not before and not after and self.prompt is None:
            encoded = self.tokenizer(transcript, truncation=True, max_length=self.max_tokens)
            return Tokens(encoded["input_ids"])
        own, *context = (
            self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            for text in (transcript, *before, *after)
        )
        layout = self.prompted or _special_layout(self.tokenizer)
        earlier, later = context[: len(before)], context[len(before) :]
        tokens = layout.place(own, earlier, later, self.max_tokens)
        if self.prompt is None or tokens.own is not None or not own:
            return tokens
        start = len(layout.prefix)
        return Tokens(tokens.ids, (start, len(tokens.ids) - len(layout.suffix)))

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Encode (B, L) into one frame for each token (B, L, D)."""
        layers = self._encode(text, inputs_embeds)
        mask = self._pooled_mask(text)
        pooled = self.layer_weights([self.pool(layer, mask) for layer in layers])
        return Features(self.layer_weights(layers), text.mask, pooled)

    def _pooled_mask(self, text: TextInput) -> Tensor:
        """(B, L), True for the tokens whose vectors are averaged."""
        if not self.pools_mask:
            return text.pooled_mask
        hidden = torch.eq(text.input_ids, self.mask_token_id or 0)
        # The prompt's is the last: an utterance may have others, where words of it are hidden.
        is_last: Tensor = hidden & (hidden.long().flip(1).cumsum(dim=1).flip(1) == 1)
        return is_last

    @property
    def mask_token_id(self) -> int | None:
        """The tokenizer's mask token; None where it was learnt here."""
        mask_token_id: int | None = self.tokenizer.mask_token_id if self.tokenizer else None
        return mask_token_id

    def own_tokens(self, transcript: str) -> OwnTokens:
        """A transcript's tokens and where in it they are.

        Raises:
            InputError: If the tokenizer does not say where its tokens are.
        """
        if self.tokenizer is None:
            raise RuntimeError("the tokenizer is not learnt: call fit(transcripts) first")
        if not self.tokenizer.is_fast:
            raise InputError(
                f"{OPTION}.checkpoint: expected a tokenizer that says where its tokens are (a "
                f"fast one), got {type(self.tokenizer).__name__}; name another checkpoint"
            )
        encoded = self.tokenizer(
            transcript, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return OwnTokens(encoded["input_ids"], encoded["offset_mapping"])

    def embed(self, input_ids: Tensor) -> Tensor:
        """The tokens' word embeddings (B, L, D), before positions and normalisation."""
        embeddings: Tensor = self.model.get_input_embeddings()(input_ids)
        return embeddings

    def attentions(self, text: TextInput) -> Attentions:
        """How each layer attends from token to token of (B, L); see ``Attentions``."""
        with recorded_attentions(self.model) as found:
            self._encode(text, None)
        shares = pooling_shares(self.pool, self._pooled_mask(text))
        return Attentions(tuple(found), shares, text.mask)

    def pooled_layers(self, text: TextInput) -> Tensor:
        """What a frozen model makes of a batch, before the weighting: (B, N, D_out)."""
        mask = self._pooled_mask(text)
        pooled = [self.pool(layer, mask) for layer in self._encode(text, None)]
        return torch.stack(pooled, dim=1)

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, N, D_out) to (B, D_out)."""
        weighted: Tensor = self.layer_weights(pooled.unbind(dim=1))
        return weighted

    def _encode(self, text: TextInput, inputs_embeds: Tensor | None) -> list[Tensor]:
        given = {"input_ids": text.input_ids}
        if inputs_embeds is not None:
            given = {"inputs_embeds": inputs_embeds}
            first = _first_position(self.model)
            if first is not None:
                given["position_ids"] = _positions_beside_padding(text.input_ids, first)
        output = self.model(
            **given, attention_mask=text.mask.long(), output_hidden_states=self.all_layers
        )
        return list(output.hidden_states) if self.all_layers else [output.last_hidden_state]

    def save_assets(self, folder: Path) -> None:
        """Write the model's config and the tokenizer."""
        if self.tokenizer is None:
            raise RuntimeError("the tokenizer is not learnt: call fit(transcripts) first")
        self.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _build_language_model(
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


def _check_max_tokens(model: Any, max_tokens: int) -> None:  # noqa: ANN401
    """Refuse more tokens than the model has learnt positions for.

    Raises:
        InputError: If there are more.
    """
    positions = _position_embeddings(model)
    if positions is None:
        return
    most = positions.num_embeddings - (_first_position(model) or 0)
    if max_tokens > most:
        raise InputError(
            f"{OPTION}.max_tokens: expected at most {most}, the positions that "
            f"{model.config.model_type} has, got {max_tokens}"
        )


def _position_embeddings(model: Any) -> nn.Embedding | None:  # noqa: ANN401
    positions = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    return positions if isinstance(positions, nn.Embedding) else None


def _first_position(model: Any) -> int | None:  # noqa: ANN401
    """Where a model counts its tokens from, if that is behind the padding's id; None otherwise.

    RoBERTa, XLM-R and MPNet do, and pass over tokens of that id wherever they stand.
    """
    positions = _position_embeddings(model)
    if positions is None or positions.padding_idx is None:
        return None
    return positions.padding_idx + 1


def _positions_beside_padding(input_ids: Tensor, first: int) -> Tensor:
    """Positions (B, L) that such a model takes from token ids (B, L).

    It cannot take them from embeddings, and must not take them from what stands in for a token.

    Args:
        input_ids: The tokens.
        first: Position of the first one that is no padding; that of padding is one less.
    """
    is_token = (input_ids != first - 1).long()
    return is_token.cumsum(dim=1) * is_token + first - 1


def _special_layout(tokenizer: Any) -> Layout:  # noqa: ANN401
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


def _prompted_layout(prompt: Prompt | None, tokenizer: Any, max_tokens: int) -> Layout | None:  # noqa: ANN401
    """The special tokens with a prompt behind the last utterance; None without one.

    Raises:
        InputError: If they leave no room for the utterance.
    """
    if prompt is None:
        return None
    layout = _special_layout(tokenizer).before_end(prompt.ids())
    taken = len(layout.prefix) + len(layout.suffix)
    if taken >= max_tokens:
        raise InputError(
            f"{OPTION}.max_tokens: expected more than {taken}, which the prompt and special tokens "
            f"take, got {max_tokens}; raise it or shorten {OPTION}.prompt"
        )
    return layout
