"""``preprocessing.json``: what has to happen to sound and words before an exported graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import FiniteFloat


@dataclass(frozen=True)
class GraphTensor:
    """An input or the output of the graph.

    Args:
        name: Its name.
        dtype: "float32" or "int64".
        shape: Sizes; a name where any size is taken.
    """

    name: str
    dtype: str
    shape: tuple[str | int, ...]


@dataclass(frozen=True)
class SoundSteps:
    """From a file to ``samples``, in this order; ``num_samples`` counts those without padding.

    Args:
        sample_rate: Mono samples at that rate, in Hz, between -1 and 1.
        prepared_duration_s: Longer sound is cut there before it is denoised.
        denoiser: Its name; None for none.
        denoiser_version: Its version.
        max_duration_s: Longer sound is cut there.
        min_samples: Shorter batches are padded to that, with zeros at the end.
        fixed_samples: Every batch is padded to that; None where any length is taken.
        is_standardised_inside: Whether the graph itself brings each utterance to zero mean and unit
            variance; nothing has to be done before.
    """

    sample_rate: int
    prepared_duration_s: FiniteFloat
    denoiser: str | None
    denoiser_version: str | None
    max_duration_s: FiniteFloat
    min_samples: int
    fixed_samples: int | None
    is_standardised_inside: bool


@dataclass(frozen=True)
class TextSteps:
    """From a transcript to ``token_ids``; ``num_tokens`` counts those without padding.

    Args:
        cleaning: Class of what cleans a transcript first; None for none.
        tokenizer: Folder beside the graph.
        tokenizer_class: Class of the text encoder whose ``tokenize`` is used.
        prompt: What stands behind each utterance and its context, with "{mask}" for a hidden token;
            None for nothing.
        max_tokens: Longer texts are cut there, special tokens and prompt included.
        pad_token_id: Fills short texts at the end.
        context_utterances: Earlier utterances of the dialogue that are read too.
        future_utterances: Later ones.
        speaker_names: Whether "Name: " stands in front of each.
    """

    cleaning: str | None
    tokenizer: str
    tokenizer_class: str
    prompt: str | None
    max_tokens: int | None
    pad_token_id: int
    context_utterances: int
    future_utterances: int
    speaker_names: bool


@dataclass(frozen=True)
class GraphCheck:
    """How the graph was held against the run's own model.

    Args:
        clips: What it was held against with.
        num_clips: How many.
        max_difference: The largest difference of a logit.
        tolerance: What was allowed.
        torch_clips_per_s: Speed of torch on this CPU, all clips in one batch.
        onnx_clips_per_s: Speed of ONNX Runtime with as many threads.
        num_threads: Those.
    """

    clips: str
    num_clips: int
    max_difference: FiniteFloat
    tolerance: FiniteFloat
    torch_clips_per_s: FiniteFloat
    onnx_clips_per_s: FiniteFloat
    num_threads: int


@dataclass(frozen=True, kw_only=True)
class GraphDocument:
    """Contents of ``preprocessing.json``.

    Args:
        mmemo_version: That wrote it.
        run: Name of the run's folder.
        leaky: Whether the run's split protocol is LEAKY.
        opset: Of the graph.
        classes: In the order of the logits.
        inputs: Of the graph.
        output: Of the graph: logits; their softmax are the probabilities.
        temperature: Logits are divided by it for calibrated probabilities; fitted on validation.
        sound: None for a model that hears nothing.
        text: None for a model that reads nothing.
        check: How it was checked.
    """

    VERSION: ClassVar[int] = 1

    mmemo_version: str
    run: str
    leaky: bool
    opset: int
    classes: tuple[str, ...]
    inputs: tuple[GraphTensor, ...]
    output: GraphTensor
    temperature: FiniteFloat | None
    sound: SoundSteps | None
    text: TextSteps | None
    check: GraphCheck
