"""Which parameters learn how fast, and which are decayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer

from mmemo.errors import InputError
from mmemo.models.trainable import transformer_layers

ENCODERS = ("audio_encoder", "text_encoder")


def build_optimizer(
    optimizer: Callable[[list[dict[str, Any]]], Optimizer],
    classifier: nn.Module,
    encoder_learning_rate: float | None = None,
    layer_decay: float = 1.0,
) -> Optimizer:
    """The optimizer over a classifier's parameter groups, the head's first.

    Each group has a ``name`` and, where decayed and other parameters of one part are apart, the
    same ``part``.

    Biases and norms are not decayed. With a rate of the encoders' own or a layer decay, each
    encoder's model is apart from the rest, the head, which keeps the optimizer's rate: what an
    encoder adds around its model (a weighting of layers, a projection) is the head's.

    Sources: Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text
    Classification", section 3.2; Clark et al. 2020, "ELECTRA", appendix B.

    Args:
        optimizer: Builds it from parameter groups.
        classifier: Has ``audio_encoder`` and ``text_encoder``, either of them None.
        encoder_learning_rate: Rate of the encoders' models; None for the optimizer's.
        layer_decay: Each transformer layer learns at this share of the rate of the one above
            it; what lies below them (embeddings, convolutions) counts as one layer more.

    Raises:
        InputError: If the rate or the share is out of range, or an encoder has no layers.
    """
    if encoder_learning_rate is not None and encoder_learning_rate <= 0:
        raise InputError(
            "module.encoder_learning_rate: expected more than 0, or null, got "
            f"{encoder_learning_rate}; for encoders that do not learn: audio_encoder.trainable=none"
        )
    if not 0 < layer_decay <= 1:
        raise InputError(
            f"module.layer_decay: expected more than 0 and at most 1, got {layer_decay}"
        )
    places: dict[int, tuple[str, int]] = {}
    for name in ENCODERS if encoder_learning_rate is not None or layer_decay < 1 else ():
        encoder = getattr(classifier, name)
        if encoder is not None:
            places |= dict(_encoder_places(name, encoder, layer_decay < 1))
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    head = "head" if places else "all"
    for decayed in (True, False):
        groups[head, decayed] = {"part": head, "params": [], "depth": None}
    for parameter in classifier.parameters():
        if parameter.requires_grad:
            name, depth = places.get(id(parameter), (head, None))
            key = (name, parameter.ndim > 1)
            group = groups.setdefault(key, {"part": name, "params": [], "depth": depth})
            group["params"].append(parameter)
    for (_, decayed), group in groups.items():
        group.update({} if decayed else {"weight_decay": 0.0})
    for (name, decayed), group in groups.items():
        # Each has a name of its own, as Lightning's LearningRateMonitor wants it.
        group["name"] = name if decayed else f"{name}/not_decayed"
    built = optimizer([group for group in groups.values() if group["params"]])
    for group in built.param_groups:
        if group["depth"] is not None:
            rate = group["lr"] if encoder_learning_rate is None else encoder_learning_rate
            group["lr"] = rate * layer_decay ** group["depth"]
    return built


def _encoder_places(
    name: str, encoder: nn.Module, by_layer: bool
) -> Iterator[tuple[int, tuple[str, int]]]:
    """Id of each parameter of an encoder's model, its group's name, and its depth.

    The depth of the top layer is 0. What is registered after the layers is as high (final norms,
    poolers), embeddings excepted: a table of relative positions serves all layers.
    """
    model = getattr(encoder, "model", encoder)
    if not by_layer:
        yield from ((id(p), (name, 0)) for p in model.parameters())
        return
    layers = transformer_layers(model, f"module.layer_decay ({name})")
    in_layers = {id(p): index for index, layer in enumerate(layers) for p in layer.parameters()}
    embedded = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    below = True
    for parameter in model.parameters():
        index = in_layers.get(id(parameter))
        if index is not None:
            below = False
            yield id(parameter), (f"{name}.layer_{index}", len(layers) - 1 - index)
        elif below or id(parameter) in embedded:
            yield id(parameter), (f"{name}.below_layers", len(layers))
        else:
            yield id(parameter), (f"{name}.above_layers", 0)
