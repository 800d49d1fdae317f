import pytest

from mmemo.explanation.explainer import PassTimes, time_passes
from mmemo.explanation.passes import Passes
from mmemo.models.logmel_encoder import LogMelEncoder
from tests.explanation.test_real_models import build, explainer, given, scratch


def test_a_total_is_the_sum_of_both_kinds() -> None:
    assert PassTimes(0.5, 2.0).total_s(Passes(forward=4, backward=3)) == pytest.approx(8.0)


def test_passes_of_every_kind_are_timed() -> None:
    model = build(LogMelEncoder(width=8), scratch())
    utterance = explainer().prepare(model, given(model))
    before = utterance.passes.done
    times = time_passes(utterance)
    assert times.forward_s > 0
    assert times.backward_s >= 0
    assert utterance.passes.done.forward == before.forward + 3
