"""What an explanation costs, told before it is computed."""

from __future__ import annotations

from collections.abc import Collection

from mmemo.explanation.inputs import GivenInput
from mmemo.explanation.integrated_gradients import IntegratedGradients
from mmemo.explanation.occlusion import Occlusion
from mmemo.explanation.passes import Passes

MODALITIES = ("audio", "text")


def num_passes(
    given: GivenInput,
    integrated_gradients: IntegratedGradients | None,
    occlusion: Occlusion | None,
    shapley: bool,
    num_draws: int,
    with_gradient: Collection[str] = MODALITIES,
) -> Passes:
    """Passes that the explanation of one utterance takes, where no batch has to be halved.

    Args:
        given: The utterance.
        integrated_gradients: Its settings; None to leave it out.
        occlusion: Its settings; None to leave it out.
        shapley: Whether the modalities' Shapley values are computed.
        num_draws: Of the sound's baseline.
        with_gradient: Modalities whose encoder can be differentiated.
    """
    there = {name for name, part in zip(MODALITIES, (given.audio, given.text), strict=True) if part}
    total = Passes(forward=1, backward=0)
    explained = there & set(with_gradient)
    is_baseline_known = False
    if integrated_gradients is not None and explained:
        draws = num_draws if "audio" in explained else 1
        path = draws * integrated_gradients.n_steps
        total += Passes(forward=path + draws, backward=path)
        is_baseline_known = explained == there
    if occlusion is not None:
        total += Passes(_occluded(given, occlusion), 0)
    if shapley:
        draws = num_draws if "audio" in there else 1
        nothing = 0 if is_baseline_known else draws
        single = 1 + num_draws if len(there) > 1 else 0
        total += Passes(nothing + single, 0)
    return total


def _occluded(given: GivenInput, occlusion: Occlusion) -> int:
    """Windows and words, and for each of both the utterance as it is, which captum compares to."""
    count = 0
    if given.waveform is not None:
        count += 1 + occlusion.num_windows(given.waveform.shape[1], given.sample_rate)
    num_read = sum(word.is_read for word in given.words)
    return count + (1 + num_read if num_read else 0)
