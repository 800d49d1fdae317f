"""What a condition of ``mmemo stress`` costs, beside preparing and evaluating the same clips.

    python benchmarks/stress.py
    python benchmarks/stress.py --run outputs/demo/RUN

A model is trained for one epoch on a spoken demo corpus, or a run is named. Its test clips are
prepared (decoded, denoised, resampled) and answered, which is what an evaluation of other sound
costs; then they are answered under conditions of noise. Both work in this process, in batches by
length; of each the fastest of some repeats. The ratio is the time of a condition over that of such
an evaluation; a second one is of conditions that change words alone, over the answering alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from predicting import train

from mmemo.audio.synthetic_noise import WhiteNoise
from mmemo.runs.predictor import Predictor
from mmemo.runs.rebuilt_run import rebuild_model
from mmemo.stress.answers import AnswerStore
from mmemo.stress.conditions import Condition
from mmemo.stress.runner import StressRunner
from mmemo.stress.series import SoundSeries, WordErrorSeries
from mmemo.stress.sound_pool import SoundPool, SoundWorker
from mmemo.stress.test_set import StressSet, open_test_set

RANGE = ("min_snr_db", "max_snr_db")


def main() -> None:
    """Train, then time evaluations and conditions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run folder whose data is there")
    parser.add_argument("--utterances", type=int, default=300, help="of the corpus, without --run")
    parser.add_argument("--conditions", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or train(Path(folder), options.utterances, ())
        model = rebuild_model(run, accelerator="cpu")
        predictor = Predictor(model)
        reads_dialogues = predictor.reads_dialogues
        with open_test_set(model, None, None, 0, Path(folder), reads_dialogues) as given:
            measure(predictor, given, options.conditions, options.repeats, Path(folder))


def measure(predictor: Predictor, given: StressSet, num: int, repeats: int, folder: Path) -> None:
    """Time evaluations and conditions of a run, and print a line for each."""
    clips = [one.clip for one in given.originals if one.clip is not None]
    if len(clips) < len(given):
        raise SystemExit("some clips are gone: what is measured begins with them")
    clip_worker = predictor.clip_worker()
    pool = SoundPool(SoundWorker(clip_worker, None, given.voices), None, 1)

    def prepare() -> None:
        for clip in clips:
            clip_worker.prepare(clip)

    def run(conditions: Sequence[Condition]) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            keys = given.table["key"].tolist()
            store = AnswerStore(Path(fresh), "", keys, predictor.labels.classes, 0, "")
            runner = StressRunner(predictor, given, None, store, 0)
            replace(runner, pool=pool).run(conditions, lambda line: None)

    levels = [20.0 - 5 * n for n in range(num)]
    noises = SoundSeries("white", "SNR, dB", WhiteNoise, RANGE, levels).conditions()
    rates = [0.5 * (n + 1) / num for n in range(num)]
    words = WordErrorSeries("words", "", ("deletion",), rates).conditions()
    prepare_s = fastest(prepare, repeats)
    answer_s = fastest(lambda: predictor.answer(given.spoken), repeats)
    noise_s = fastest(lambda: run(noises), repeats) / num
    words_s = fastest(lambda: run(words), repeats) / num
    print(f"{len(given)} clips, {num} conditions of each kind")
    for name, seconds in (
        ("prepare", prepare_s),
        ("answer", answer_s),
        ("under noise", noise_s),
        ("with other words", words_s),
    ):
        print(f"{name:<20}{seconds:8.3f} s")
    print(f"a condition of noise costs {noise_s / (prepare_s + answer_s):.3f} of an evaluation")
    print(f"a condition of words costs {words_s / answer_s:.3f} of an evaluation")


def fastest(work: Callable[[], object], repeats: int) -> float:
    """The least time in s, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


if __name__ == "__main__":
    main()
