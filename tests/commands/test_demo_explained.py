"""What explanations say of a model of the demo corpus, which knows what carries each emotion.

The sound is described by eGeMAPS, from which prosody is learnt in seconds, where the demo's own
network takes minutes.
"""

import re
from pathlib import Path

import pytest

from tests.commands.conftest import LEAST_LOGGER, Cli, only_run
from tests.forking import Forking, run_script

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "demo_explanations.py"

TRAINING = [
    "experiment=demo",
    "denoiser=off",
    # Other processes take no longer where several tests run at once, but import for themselves.
    "corpus.num_workers=1",
    "preparer.num_workers=0",
    "audio_encoder=egemaps",
    "fusion.standardise=true",
    "trainer.max_epochs=40",
    "trainer.accelerator=cpu",
    LEAST_LOGGER,
]
EXPLAINING = [
    "num_random=60",
    "target=true",
    "occlusion=null",
    "integrated_gradients.n_steps=16",
    "waveform_baseline.num_draws=1",
    "num_pages=0",
    "name=demo",
]


@pytest.mark.slow
def test_what_carries_the_emotion_is_found(cli: Cli, forking: Forking, tmp_path: Path) -> None:
    cli("train", *TRAINING, f"cache_dir={tmp_path / 'cache'}")
    run = only_run(tmp_path, "demo")
    cli("explain", f"run={run.path}", *EXPLAINING)
    folder = str(run.path / "explanations" / "demo")
    process = forking.start(run_script, BENCHMARK, folder, folder=tmp_path)
    assert process.ended(timeout_s=120) == 0, process.stderr.read_text()
    _, *rows, test, first = process.stdout.read_text().splitlines()
    shares = {row.split()[0]: [float(value) for value in row.split()[1:]] for row in rows}
    assert sum(num for num, _ in shares.values()) == 60
    assert min(shares["words"][0], shares["prosody"][0]) >= 20
    assert shares["prosody"][1] > shares["words"][1]
    assert float(test.split("p = ")[1]) < 0.05
    (found,) = re.findall(r"first: ([\d.]+) of", first)
    assert float(found) >= 0.7
