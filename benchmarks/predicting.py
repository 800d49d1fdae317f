"""How fast files are answered, beside evaluating the same clips.

    python benchmarks/predicting.py
    python benchmarks/predicting.py --base

A model is trained for one epoch on a spoken demo corpus, then its test clips are answered: by the
pass of ``mmemo evaluate`` over sound that is prepared already, by the model of ``mmemo predict``
over the same prepared sound, and by ``mmemo predict`` from the files, which decodes and denoises
them first. What preparing them alone takes is told beside it: evaluation needs it once, before.
Of each the fastest of some repeats. The demo's own small model hears faster than sound can be
denoised; ``--base`` takes a speech model of WavLM's base size, with random weights.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from mmemo.audio.media import decode
from mmemo.audio.recordings import Recording, RecordingWorker, prepared_recordings
from mmemo.prediction.ensemble import Ensemble
from mmemo.prediction.options import PredictionOptions
from mmemo.prediction.requests import Request
from mmemo.runs.predictor import Predictor, Spoken
from mmemo.runs.rebuilt_run import rebuild_run

BASE = (
    *("audio_encoder=wavlm_base_plus", "audio_encoder.pretrained=false"),
    "audio_encoder.architecture={model_type:wavlm}",
)


def main() -> None:
    """Train, then time the three ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=300, help="of the corpus")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare")
    parser.add_argument("--base", action="store_true", help="a speech model of base size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = train(Path(folder), options.utterances, BASE if options.base else ())
        measure(run, options.repeats, options.workers)


def train(folder: Path, num_utterances: int, more: tuple[str, ...]) -> Path:
    """A run of one epoch."""
    words = ["experiment=demo", f"corpus.num_utterances={num_utterances}", "logger=csv"]
    words += ["trainer.max_epochs=1", "trainer.accelerator=cpu", *more]
    environment = {**os.environ, "MMEMO_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "mmemo", "train", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    (info,) = (folder / "outputs" / "demo").glob("*/run.json")
    return info.parent


def measure(run: Path, repeats: int, num_workers: int) -> None:
    """Print clips a second of each way."""
    rebuilt = rebuild_run(run, None)
    datamodule = rebuilt.experiment.build_plain_datamodule(rebuilt.prepared, rebuilt.encoders)
    rows = datamodule.datasets["test"].rows
    paths = [Path(path) for path in rows["media_path"]]
    texts = rows["transcript"].tolist()
    predictor = Predictor.open(run, accelerator="cpu")
    worker = RecordingWorker(predictor.clip_worker())
    recordings = [Recording(path) for path in paths]
    prepared = list(prepared_recordings(worker, recordings, num_workers))
    spoken = [
        Spoken(str(path), found.stretches[0].samples, text)
        for path, found, text in zip(paths, prepared, texts, strict=True)
    ]
    requests = [
        Request(str(path), recording, text)
        for path, recording, text in zip(paths, recordings, texts, strict=True)
    ]
    ensemble = Ensemble([predictor])
    seconds = sum(decode(path).duration_s for path in paths)
    print(f"{len(paths)} clips, {seconds:.0f} s of sound, {torch.get_num_threads()} threads")
    loader = datamodule.test_dataloader()
    trainer = rebuilt.trainer
    # Its lines would stand between those of the result.
    trainer.callbacks = []  # type: ignore[attr-defined]
    ways: dict[str, Callable[[], object]] = {
        "evaluate, prepared": lambda: trainer.predict(rebuilt.module, dataloaders=loader),
        "predict, prepared": lambda: predictor.answer(spoken),
        "prepare alone": lambda: list(prepared_recordings(worker, recordings, num_workers)),
        "predict, files": lambda: list(
            ensemble.answer(requests, PredictionOptions(num_workers=num_workers))
        ),
    }
    for name, way in ways.items():
        print(f"{name:<20}{len(paths) / fastest(way, repeats):8.1f} clips/s", flush=True)


def fastest(way: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some calls."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        way()
        times.append(time.perf_counter() - begun)
    return min(times)


if __name__ == "__main__":
    main()
