"""What explanations say of a model of the demo corpus, which knows what carries each emotion.

Joy and sadness alone, which prosody tells apart soonest: the whole demo trains for minutes.
"""

from pathlib import Path

import numpy as np
import pytest

from mmemo.corpora.demo_script import write_script
from mmemo.explanation.explanation import Explanation
from tests.commands.conftest import LEAST_LOGGER, Cli, only_run

NUM_UTTERANCES = 600
TRAINING = [
    "experiment=demo",
    "denoiser=off",
    f"corpus.num_utterances={NUM_UTTERANCES}",
    *(f"~labels.colours.{name}" for name in ("anger", "neutral", "surprise")),
    "data.batch_size=6",
    "audio_encoder.dropout=0.1",
    "trainer.max_epochs=20",
    "trainer.accelerator=cpu",
    LEAST_LOGGER,
]
EXPLAINING = [
    "all=true",
    "target=true",
    "occlusion=null",
    "integrated_gradients.n_steps=16",
    "waveform_baseline.num_draws=1",
    "num_pages=0",
]


def share_of_sound(explanation: Explanation) -> float:
    assert explanation.shapley is not None
    sizes = {name: abs(value) for name, value in explanation.shapley.values.items()}
    return sizes["audio"] / sum(sizes.values())


def is_deciding_word_first(explanation: Explanation, deciding_word: str) -> bool:
    assert explanation.integrated_gradients is not None
    assert explanation.integrated_gradients.words is not None
    word = explanation.words[int(np.argmax(explanation.integrated_gradients.words))]
    return word.start <= explanation.transcript.index(deciding_word) < word.stop


@pytest.fixture
def explanations(cli: Cli, tmp_path: Path) -> dict[str, Explanation]:
    cli("train", *TRAINING, f"cache_dir={tmp_path / 'cache'}")
    run = only_run(tmp_path, "demo")
    cli("explain", f"run={run.path}", *EXPLAINING)
    found = [Explanation.load(path.parent) for path in run.path.rglob("explanation.json")]
    return {explanation.key: explanation for explanation in found}


def test_what_carries_the_emotion_is_found(explanations: dict[str, Explanation]) -> None:
    lines = {
        f"{line.split}/dia{line.dialogue_id}_utt{line.utterance_id}": line
        for line in write_script(NUM_UTTERANCES, seed=0)
    }
    shares: dict[str, list[float]] = {"words": [], "prosody": [], "both": []}
    firsts = []
    for key, explanation in explanations.items():
        line = lines[key]
        shares[line.carrier].append(share_of_sound(explanation))
        if line.carrier == "words":
            firsts.append(is_deciding_word_first(explanation, line.deciding_word))
    assert min(len(shares["words"]), len(shares["prosody"])) >= 10
    assert np.mean(shares["prosody"]) > 1.5 * np.mean(shares["words"])
    assert np.mean(firsts) >= 0.7
