"""``python -m mmemo.audio.deepfilternet_export CHECKPOINT_DIR OUTPUT``: DeepFilterNet2 as ONNX.

How ``deepfilternet2.onnx`` was made from the official checkpoint, the folder
``pretrained_models/DeepFilterNet2`` of the wheel deepfilternet 0.2.4 (sha256 of
``model_96.ckpt.best`` bb5eccb4…). Needs the extra ``deepfilternet``, which exists below Python
3.12, and the package onnx; no user does.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from mmemo.audio.deepfilternet import ERB_BAND_BINS, NUM_FILTERED_BINS

OPSET = 17
TRACED_FRAMES = 50


def load_reference(checkpoint_dir: Path) -> tuple[Any, Any, Any]:
    """The package's module ``df.enhance``, its network and its state, for a model folder.

    Its file reader imports a name that torchaudio 2.9 removed and that is not used here: a
    placeholder stands in for it. The package lets any environment variable override its model's
    settings: all are hidden from it.
    """
    try:
        importlib.import_module("torchaudio.backend.common")
    except ImportError:
        common = types.ModuleType("torchaudio.backend.common")
        common.__dict__["AudioMetaData"] = type("AudioMetaData", (), {})
        sys.modules["torchaudio.backend"] = types.ModuleType("torchaudio.backend")
        sys.modules["torchaudio.backend.common"] = common
    with patch.dict(os.environ, {"DEVICE": "cpu"}, clear=True):
        enhance: Any = importlib.import_module("df.enhance")
        model, state, _ = enhance.init_df(str(checkpoint_dir), log_level="none", log_file=None)
    return enhance, model, state


class _Network(nn.Module):
    """Features to gains and filters: what is exported."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.encoder = model.enc
        self.gain_decoder = model.erb_dec
        self.filter_decoder = model.df_dec

    def forward(self, bands: Tensor, bins: Tensor) -> tuple[Tensor, Tensor]:
        """(1, 1, F, 32) and (1, 2, F, 96) to (1, 1, F, 32) and (1, F, 96, 10)."""
        e0, e1, e2, e3, embedding, c0, _ = self.encoder(bands, bins)
        gains = self.gain_decoder(embedding, e3, e2, e1, e0)
        filters, _ = self.filter_decoder(embedding, c0)
        return gains, filters


def _grouped_linear(layer: Any, features: Tensor) -> Tensor:  # noqa: ANN401
    """(1, F, D) by blocks, as one product: ONNX Runtime takes a detour for einsum."""
    _, num_frames, _ = features.shape
    blocks = features.reshape(num_frames, layer.groups, layer.ws).transpose(0, 1)
    products = torch.matmul(blocks, layer.weight).transpose(0, 1)
    return products.reshape(1, num_frames, layer.hidden_size)


def export(checkpoint_dir: Path, output: Path) -> None:
    """Write the graph of a DeepFilterNet2's folder."""
    _, model, _ = load_reference(checkpoint_dir)
    grouped_linear = importlib.import_module("df.modules").GroupedLinearEinsum
    network = _Network(model)
    # The exporter puts back the mode that it finds at the top.
    for module in network.modules():
        module.eval()
    features = (
        torch.zeros(1, 1, TRACED_FRAMES, len(ERB_BAND_BINS)),
        torch.zeros(1, 2, TRACED_FRAMES, NUM_FILTERED_BINS),
    )
    with patch.object(grouped_linear, "forward", _grouped_linear):
        torch.onnx.export(
            network,
            features,
            output,
            dynamo=False,
            opset_version=OPSET,
            input_names=["feat_erb", "feat_spec"],
            output_names=["m", "coefs"],
            dynamic_axes={"feat_erb": {2: "F"}, "feat_spec": {2: "F"}, "m": {2: "F"}}
            | {"coefs": {1: "F"}},
        )


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
    print("sha256", hashlib.sha256(Path(sys.argv[2]).read_bytes()).hexdigest())
