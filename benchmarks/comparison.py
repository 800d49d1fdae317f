"""How long `mmemo compare` takes on a hundred runs of MELD's size, the whole process.

    python benchmarks/comparison.py

Run folders are written as `mmemo train` leaves them, with drawn predictions: 33 groups of three
seeds (three modalities, eleven bottlenecks) and one run alone. The config is the recipe's own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from mmemo.commands.launch import config_dir
from mmemo.runs.run_folder import RunFolder

CLASSES = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
CLASS_SHARES = (0.13, 0.03, 0.02, 0.15, 0.48, 0.08, 0.11)
NUM_ROWS = {"val": 1109, "test": 2610}
UTTERANCES_PER_DIALOGUE = 9.6
NUM_TRAINED = 9989
NUM_EPOCHS = 15
MODALITIES = {"both": ("LogMelEncoder", "minilm"), "audio": ("x", "none"), "text": ("none", "x")}
ABSENT_ENCODER = {"both": None, "audio": "text_encoder", "text": "audio_encoder"}
SKILL = {"both": 1.2, "audio": 0.7, "text": 1.0}
BOTTLENECKS = tuple(range(64, 64 + 11 * 32, 32))
SEEDS = (42, 123, 2025)


def draw_utterances(share: float, rng: np.random.Generator) -> pd.DataFrame:
    """Both splits' utterances, without predictions."""
    tables = []
    for split, size in NUM_ROWS.items():
        num = max(int(size * share), 20)
        dialogue = np.sort(rng.integers(max(int(num / UTTERANCES_PER_DIALOGUE), 2), size=num))
        utterance = np.arange(num)
        table = pd.DataFrame({"dialogue_id": dialogue, "utterance_id": utterance})
        table["key"] = [f"{split}/dia{d}_utt{u}" for d, u in zip(dialogue, utterance, strict=True)]
        table["split"] = table["corpus_split"] = split
        table["speaker"] = rng.choice(["Ross", "Rachel", "Joey", "Monica", "Phoebe", "Carol"], num)
        table["transcript"] = [" ".join(["well"] * n) for n in rng.integers(1, 30, num)]
        table["target"] = rng.choice(CLASSES, num, p=CLASS_SHARES)
        table["duration_s"] = rng.gamma(2.0, 1.6, num)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).assign(split_protocol="official")


def predicted(table: pd.DataFrame, skill: float, rng: np.random.Generator) -> pd.DataFrame:
    """The utterances with probabilities that favour the target."""
    target = pd.Index(CLASSES).get_indexer(pd.Index(table["target"]))
    logits = rng.normal(size=(len(table), len(CLASSES)))
    logits[np.arange(len(table)), target] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {f"prob_{name}": probabilities[:, i] for i, name in enumerate(CLASSES)}
    pred = np.array(CLASSES)[probabilities.argmax(axis=1)]
    return table.assign(pred=pred, **columns)


def write_run(path: Path, cfg: DictConfig, modality: str, seed: int, table: pd.DataFrame) -> None:
    """One finished run."""
    run = RunFolder(path)
    path.mkdir(parents=True)
    audio, text = MODALITIES[modality]
    protocol = {
        "name": cfg.name,
        "seed": seed,
        "corpus": "meld",
        "corpus_split": "its own",
        "split": "official",
        "leaky": False,
        "leak_shares": {"val": 0.0, "test": 0.0},
        "split_settings": {},
        "labels": "seven",
        "classes": list(CLASSES),
        "num_utterances": {"train": NUM_TRAINED, **table["split"].value_counts().to_dict()},
        "audio_encoder": audio,
        "text_encoder": text,
        "checkpoint_epoch": NUM_EPOCHS - 3,
        "missing": None,
    }
    table.to_parquet(run.predictions_file, index=False)
    run.metrics_file.write_text(json.dumps({"protocol": protocol, "splits": {}}))
    run.data_file.write_text(json.dumps({"prepared": {"digest": "0123456789abcdef"}}))
    run.info_file.write_text(
        json.dumps(
            {
                "status": "finished",
                "started": "2026-01-01T00:00:00+00:00",
                "git_commit": "0" * 40,
                "git_dirty": False,
                "num_parameters": 219_000_000,
                "fit_s": 1800.0 + seed,
            }
        )
    )
    text_of_config = OmegaConf.to_yaml(cfg)
    run.config_file.write_text(text_of_config)
    run.composed_config_file.write_text(text_of_config)
    curve = np.exp(-np.arange(NUM_EPOCHS) / 5)
    names = [f"{split}/{name}" for split in ("val", "train") for name in ("loss", "macro_f1")]
    epochs = np.arange(NUM_EPOCHS)
    history = pd.DataFrame({"epoch": epochs, "step": 625 * (epochs + 1)})
    history.assign(**dict.fromkeys(names, curve)).to_csv(run.history_file, index=False)


def write_runs(folder: Path, num_groups: int, share: float) -> int:
    """The groups' three seeds and one run alone; returns how many runs that are."""
    rng = np.random.default_rng(0)
    table = draw_utterances(share, rng)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", ["experiment=paper", "corpus.root=/data/MELD.Raw", "split=official"])
    cells = [(m, dim, seed) for dim in BOTTLENECKS for m in MODALITIES for seed in SEEDS]
    cells = [*cells[: num_groups * len(SEEDS)], ("both", BOTTLENECKS[-1] + 32, SEEDS[0])]
    for modality, dim, seed in cells:
        cell = cfg.copy()
        OmegaConf.update(cell, "seed", seed)
        OmegaConf.update(cell, "fusion.bottleneck_dim", dim)
        if ABSENT_ENCODER[modality]:
            OmegaConf.update(cell, str(ABSENT_ENCODER[modality]), None)
        path = folder / f"{modality}-{dim}-seed{seed}"
        write_run(path, cell, modality, seed, predicted(table, SKILL[modality], rng))
    return len(cells)


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Seconds until the tables are printed, which is done at once, and until the command ends."""
    start = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tables_s = time.perf_counter() - start
        process.communicate()
    if process.returncode:
        sys.exit(process.returncode)
    return tables_s, time.perf_counter() - start


def main() -> None:
    """Write the runs and time the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--groups", type=int, default=33, help="groups of three seeds, at most 33")
    parser.add_argument("--share", type=float, default=1.0, help="share of MELD's utterances")
    parser.add_argument("--repeats", type=int, default=3, help="times that the command is run")
    parser.add_argument("overrides", nargs="*", help="of `mmemo compare`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "runs"
        num_runs = write_runs(folder, options.groups, options.share)
        command = [sys.executable, "-m", "mmemo", "compare", str(folder), *options.overrides]
        print(f"{num_runs} runs, {int(NUM_ROWS['test'] * options.share)} test predictions each")
        for _ in range(options.repeats):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            tables_s, wall_s = timed(command)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"tables {tables_s:.2f} s, wall {wall_s:.2f} s, CPU {cpu_s:.2f} s")


if __name__ == "__main__":
    main()
