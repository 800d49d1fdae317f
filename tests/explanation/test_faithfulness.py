from pathlib import Path

import numpy as np
import pytest

from mmemo.errors import InputError
from mmemo.explanation.faithfulness import Faithfulness, model_stages
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.text_encoders import PretrainedTextEncoder
from tests.explanation.test_real_models import build, explainer, given, scratch

FEW = Faithfulness(num_orders=1, num_randomised=1, batch_size=8)


@pytest.fixture
def dual(tiny_wavlm: Path, tiny_roberta: Path) -> EmotionClassifier:
    return build(PretrainedAudioEncoder(str(tiny_wavlm)), PretrainedTextEncoder(str(tiny_roberta)))


def test_the_stages_are_those_of_both_encoders(dual: EmotionClassifier) -> None:
    names = [name for name, _ in model_stages(dual)]
    assert names[:2] == ["head", "fusion"]
    assert names[2] == "audio layer 1, text layer 1"
    assert names[-1] == "everything"


def test_all_checks_of_an_explanation(dual: EmotionClassifier) -> None:
    how, utterance = explainer(4), given(dual)
    found = how.explain(dual, utterance)
    before = {name: value.clone() for name, value in dual.state_dict().items()}
    done: list[int] = []
    counted = how.prepare(dual, utterance, found.target, done.append)
    checks = FEW.check(counted, found)
    names = {(row.method, row.modality, row.name) for row in checks.rows}
    for method in ("integrated_gradients", "occlusion"):
        for modality in ("audio", "text"):
            assert (method, modality, "deletion area") in names
            assert (method, modality, "sufficiency") in names
        assert (method, "audio", "correlation with loudness") in names
        assert (method, "text", "correlation with loudness") not in names
    both = "integrated_gradients and occlusion"
    assert {(both, "audio", "rank correlation"), (both, "text", "rank correlation")} <= names

    curves = checks.curves["occlusion/text"]
    assert curves.deletion[0] == pytest.approx(max(found.probabilities), abs=1e-6)
    blank = counted.masked_probabilities(None, np.zeros((1, len(found.words)), dtype=bool))
    assert curves.deletion[-1] == pytest.approx(blank[0], abs=1e-6)

    FEW.add_randomised(checks, found, how, dual, utterance, done.append)
    stages = checks.randomisation["integrated_gradients/audio"]
    assert [stage.name for stage in stages] == [name for name, _ in model_stages(dual)]
    assert all(value.equal(before[name]) for name, value in dual.state_dict().items())
    most = FEW.max_passes(how, dual, utterance, is_randomised=True)
    assert sum(done) <= most.forward + most.backward


def test_seeds_are_compared_where_the_units_are_the_same(dual: EmotionClassifier) -> None:
    how = explainer(4)
    utterance = given(dual)
    found = how.explain(dual, utterance)
    words_alone = build(None, scratch())
    other = how.explain(words_alone, given(words_alone), found.target)
    checks = FEW.check(how.prepare(dual, utterance), found)
    FEW.add_seeds(checks, found, [found, other])
    by_place = {
        (row.method, row.modality): (row.name, row.value)
        for row in checks.rows
        if "seeds" in row.name
    }
    place = "integrated_gradients", "audio"
    assert by_place[place] == ("correlation across 2 seeds", pytest.approx(1.0))
    assert by_place["occlusion", "text"][0] == "correlation across 3 seeds"


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="faithfulness_checks.num_orders: expected at least 1"):
        Faithfulness(num_orders=0)
