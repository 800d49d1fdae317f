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
from mmemo.models.checkpoints import Checkpoint
from mmemo.models.language_models import (
    OPTION,
    build_language_model,
    check_max_tokens,
    first_position,
    positions_beside_padding,
    special_layout,
)
from mmemo.models.layer_weights import Layers, LayerWeights, check_layers
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features, OwnTokens
from mmemo.models.text_tokenizer import learn_model_tokenizer


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
        pooling: "first" (the classification token), "mean" or "mean_std".
        layers: "last", or "weighted": a learned weighting of the embeddings and all layers,
            each of which is pooled first.
        trainable: See ``set_trainable``.
        lora_rank: Rank of the updates with ``trainable="lora"``.
        gradient_checkpointing: Compute activations again in the backward pass: less memory,
            about a third more time.
        attention: "sdpa": torch's fused attention where the model has it; "eager": as it stands
            in transformers.
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
        self.model, self.frozen = build_language_model(
            source, attention, gradient_checkpointing, trainable, lora_rank
        )
        self.tokenizer = source.tokenizer() if source.has_files else None
        self.config = self.model.config
        check_max_tokens(self.model, max_tokens)
        self.max_tokens = max_tokens
        pad_token_id = self.tokenizer.pad_token_id if self.tokenizer else self.config.pad_token_id
        self.pad_token_id = int(pad_token_id or 0)
        self.all_layers = layers == "weighted"
        num_layers = int(self.config.num_hidden_layers) + 1 if self.all_layers else 1
        self.layer_weights = LayerWeights(num_layers)
        self.pool, factor = get_pooling(pooling)
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
        if not before and not after:
            encoded = self.tokenizer(transcript, truncation=True, max_length=self.max_tokens)
            return Tokens(encoded["input_ids"])
        own, *context = (
            self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
            for text in (transcript, *before, *after)
        )
        layout = special_layout(self.tokenizer)
        earlier, later = context[: len(before)], context[len(before) :]
        return layout.place(own, earlier, later, self.max_tokens)

    def forward(self, text: TextInput, inputs_embeds: Tensor | None = None) -> Features:
        """Encode (B, L) into one frame for each token (B, L, D)."""
        layers = self._encode(text, inputs_embeds)
        pooled = self.layer_weights([self.pool(layer, text.pooled_mask) for layer in layers])
        return Features(self.layer_weights(layers), text.mask, pooled)

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

    def pooled_layers(self, text: TextInput) -> Tensor:
        """What a frozen model makes of a batch, before the weighting: (B, N, D_out)."""
        pooled = [self.pool(layer, text.pooled_mask) for layer in self._encode(text, None)]
        return torch.stack(pooled, dim=1)

    def from_pooled_layers(self, pooled: Tensor) -> Tensor:
        """(B, N, D_out) to (B, D_out)."""
        weighted: Tensor = self.layer_weights(pooled.unbind(dim=1))
        return weighted

    def _encode(self, text: TextInput, inputs_embeds: Tensor | None) -> list[Tensor]:
        given = {"input_ids": text.input_ids}
        if inputs_embeds is not None:
            given = {"inputs_embeds": inputs_embeds}
            first = first_position(self.model)
            if first is not None:
                given["position_ids"] = positions_beside_padding(text.input_ids, first)
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
