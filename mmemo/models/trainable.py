"""What of a pretrained model is trained."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from mmemo.errors import InputError
from mmemo.extras import import_package

STACK_NAMES = ("layer", "layers")
"""What transformers and torch call the list of a model's transformer layers."""

CHOICES = "all, none, no_feature_encoder, top_N or lora"


def set_trainable(model: Any, trainable: str, option: str, lora_rank: int) -> bool:  # noqa: ANN401
    """Choose the trained parameters; returns whether there are none.

    Args:
        model: A transformers model.
        trainable: "all"; "none"; "no_feature_encoder": all but the convolutions before a speech
            model's transformer; "top_N": the last N transformer layers alone, with what follows
            them; "lora": low-rank updates of all linear layers alone (Hu et al. 2022), by peft.
        option: The encoder's group of settings, for messages.
        lora_rank: Rank of those updates.

    Raises:
        InputError: If it is none of these, the model lacks what it names, or peft is missing.
    """
    top = re.fullmatch(r"top_(\d+)", trainable)
    if trainable == "none":
        # Nothing in it is random either: its features can be kept.
        model.requires_grad_(False).eval()
        return True
    if trainable == "no_feature_encoder":
        _convolutions(model, option).requires_grad_(False)
    elif trainable == "lora":
        _add_low_rank_updates(model, option, lora_rank)
    elif top:
        _train_top(model, int(top.group(1)), option)
    elif trainable != "all":
        raise InputError(f"{option}.trainable: expected {CHOICES}, got '{trainable}'")
    return False


def trains_every_weight(part: Any) -> bool:  # noqa: ANN401
    """Whether a part of a model has a gradient by each of its trained weights in every step.

    It says so itself by an attribute of this name; one without trained weights need not.
    """
    says_so = bool(getattr(part, "trains_every_weight", False))
    return says_so or not any(weight.requires_grad for weight in part.parameters())


def transformer_layers(model: nn.Module, option: str) -> nn.ModuleList:
    """A model's layers, bottom first: of the lists of that name, the largest with attention.

    Args:
        model: Any model.
        option: The setting that needs them, for the message.

    Raises:
        InputError: If it has no list of layers.
    """
    stacks = [
        module
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and path.rpartition(".")[2] in STACK_NAMES
    ]
    if not stacks:
        raise InputError(
            f"{option}: expected a model with a list of layers, found none in "
            f"{type(model).__name__}; choose another value"
        )
    return max(
        stacks, key=lambda stack: (_attends(stack), sum(p.numel() for p in stack.parameters()))
    )


def _attends(stack: nn.ModuleList) -> bool:
    return any("attention" in type(module).__name__.lower() for module in stack.modules())


def _convolutions(model: nn.Module, option: str) -> nn.Module:
    front = getattr(model, "feature_extractor", None)
    if not isinstance(front, nn.Module):
        raise InputError(
            f"{option}.trainable=no_feature_encoder: expected a speech model with a convolutional "
            f"front, got {type(model).__name__}; choose another of {CHOICES}"
        )
    return front


def _train_top(model: nn.Module, num_layers: int, option: str) -> None:
    layers = transformer_layers(model, f"{option}.trainable")
    if not 0 < num_layers <= len(layers):
        raise InputError(
            f"{option}.trainable: expected top_1 to top_{len(layers)} of {type(model).__name__}, "
            f"got top_{num_layers}"
        )
    # Modules are registered in the order in which they are run: what comes after the layers, such
    # as a last norm, is trained with them.
    top = {id(p) for layer in layers[-num_layers:] for p in layer.parameters()}
    layer_names = [name for name, module in model.named_modules() if module is layers]
    inside = f"{layer_names[0]}."
    parameters = list(model.named_parameters())
    last = max(i for i, (name, _) in enumerate(parameters) if name.startswith(inside))
    for index, (_, parameter) in enumerate(parameters):
        parameter.requires_grad_(index > last or id(parameter) in top)


def _add_low_rank_updates(model: Any, option: str, rank: int) -> None:  # noqa: ANN401
    peft = import_package(f"{option}.trainable=lora", "peft", "lora")
    linear = sorted({n for n, m in model.named_modules() if isinstance(m, nn.Linear)})
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear)
    peft.inject_adapter_in_model(config, model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
