"""WavLM's attention without the copies that transformers' makes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.wavlm.modeling_wavlm import WavLMAttention


class FastWavLMAttention(WavLMAttention):
    """The same values from a plain product and softmax, or torch's fused attention on a GPU.

    transformers calls ``F.multi_head_attention_forward``, which in evaluation under bfloat16
    autocast on a CPU copies inside a fused path, and which passes by what is put around the
    projections, such as low-rank updates.
    """

    def torch_multi_head_self_attention(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        gated_position_bias: Tensor,
        output_attentions: bool = False,
    ) -> tuple[Tensor, None]:
        """Attend.

        Args:
            hidden_states: (B, F, D).
            attention_mask: (B, F), 1 where a frame is real, or None.
            gated_position_bias: (B * H, F, F), added to the scores.
            output_attentions: Given by transformers before 5.16; weights are never given back.
        """
        batch_size, num_frames, _ = hidden_states.shape
        shape = (batch_size, num_frames, self.num_heads, self.head_dim)
        query, key, value = (
            projection(hidden_states).view(shape).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        bias = gated_position_bias.view(batch_size, self.num_heads, num_frames, num_frames)
        if attention_mask is not None:
            padded = attention_mask.ne(1)[:, None, None]
            bias = bias.masked_fill(padded, torch.finfo(bias.dtype).min)
        dropout = self.dropout if self.training else 0.0
        if hidden_states.is_cuda:
            attended = nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=bias.to(query.dtype), dropout_p=dropout
            )
        else:
            scores = (query * self.scaling) @ key.transpose(2, 3)
            weights = (scores + bias).softmax(dim=-1)
            attended = nn.functional.dropout(weights, dropout).to(value.dtype) @ value
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None


def use_fast_attention(model: Any) -> None:  # noqa: ANN401
    """Make a WavLM model attend so, in place; its parameters stay as they are."""
    for module in model.modules():
        if type(module) is WavLMAttention:
            module.__class__ = FastWavLMAttention
