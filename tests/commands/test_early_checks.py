"""Wrong paths and names are told before anything is imported that takes seconds."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmemo.commands.early_checks import check_early
from mmemo.errors import InputError
from tests.commands.conftest import TrainedRun

HEAVY = ("torch", "lightning", "transformers", "scipy", "matplotlib")

TELL = f"""
import json, sys
from contextlib import redirect_stderr
from io import StringIO
from hydra.core.global_hydra import GlobalHydra
from mmemo.cli import main

for package in ("opensmile", "peft", "tensorboard"):
    sys.modules[package] = None  # as if it were not installed
told = {{}}
for name, arguments in json.load(open(sys.argv[1])).items():
    sys.argv = ["mmemo", *arguments]
    error = StringIO()
    with redirect_stderr(error):
        try:
            main()
        except SystemExit as end:
            assert end.code == 1, (name, end.code)
    GlobalHydra.instance().clear()
    imported = [module for module in {HEAVY!r} if module in sys.modules]
    told[name] = [error.getvalue(), imported]
print(json.dumps(told))
"""

PRETRAINED = ["audio_encoder=wavlm_base_plus", "text_encoder=none"]
SIZES = ("audio_encoder", "text_encoder")
"""The settings of the small encoders, which others have not."""

EXPECTED = {
    "explain, run": r"WRONG: expected a run folder with run\.json, there is no such folder",
    "explain, no run": "run: expected a value, got none",
    "explain, prepared": r"nowhere: expected a prepared corpus with its manifest\.parquet",
    "explain, key": r"keys: expected keys of utterances that the run was given, .* got test/dia9",
    "explain, target": "target: expected predicted, true or one of anger, joy, .* got 'happy'",
    "explain, split": "split: expected test or val, got 'train'",
    "explain, output": "output: expected one of log_odds, .* got 'odds'",
    "explain, logger": "logger: expected wandb or none, got CSVLogger",
    "explain, seeds": "nobody: expected a run folder",
    "explain, option": "Could not find 'waveform_baseline/zeros'",
    "explain, setting": "Key 'keyz' is not in struct",
    "evaluate, run": "WRONG: expected a run folder",
    "evaluate, prepared": r"nowhere: expected a prepared corpus with its manifest\.parquet",
    "evaluate, modality": "missing: expected null, audio or text, got 'sound'",
    "evaluate, untrained": "missing=audio: expected a run that was trained to answer without",
    "train, resume": "WRONG: expected a run folder",
    "train, finished": "expected a run that was interrupted, it is finished",
    "train, option": "Could not find 'audio_encoder/wavlmm'",
    "train, setting": "Key 'learning_rate' is not in struct",
    "train, label": "labels.name: expected 'five', the name of what is chosen, got 'eight'",
    "train, score": "callbacks.checkpoint.monitor: expected a score that is logged each epoch",
    "train, fold": "split.test_fold: expected 0 to 5",
    "train, root": "expected the folder of MELD.Raw at .*nowhere, found nothing",
    "train, annotations": r"nowhere/train_sent_emo\.csv: expected an annotation CSV",
    "train, table": r"nowhere\.csv: expected a table with a row for each clip, found nothing",
    "train, no table": "corpus.csv: expected a value, got none",
    "train, column": r"own\.csv: missing the column feeling, which corpus\.columns\.emotion names",
    "train, folder": "checkpoint: expected a checkpoint .*could not load '/nowhere/wavlm' .neither",
    "train, empty folder": r"checkpoint: expected a checkpoint .*there is no config\.json in that",
    "train, hub": "audio_encoder.checkpoint: expected a checkpoint .*not in the cache, and HF_HUB",
    "train, opensmile": r"audio_encoder: expected the package opensmile, .*'mmemo\[egemaps\]'",
    "train, peft": r"audio_encoder\.trainable=lora: expected the package peft, .*'mmemo\[lora\]'",
    "train, tensorboard": r"logger: expected the package tensorboard, .*'mmemo\[tensorboard\]'",
    "compare, folder": "WRONG: expected a folder with runs, there is no such folder",
    "compare, empty": r"tones: expected a run folder or a folder with some, found no run\.json",
    "compare, metric": "metric: expected one of accuracy, .*, macro_f1, .* got 'f1'",
    "audit, prepared": r"nowhere: expected a prepared corpus with its manifest\.parquet",
    "audit, annotations": r"nowhere/train_sent_emo\.csv: expected an annotation CSV",
    "prepare, root": "expected the folder of MELD.Raw at .*nowhere, found nothing",
    "prepare, denoiser": "Could not find 'denoiser/deep'",
}


def _commands(trained: TrainedRun, folder: Path) -> dict[str, list[str]]:
    run, nowhere = f"run={trained.run.path}", folder / "nowhere"
    own, small = folder / "own.csv", trained.overrides
    own.write_text("path,transcript,emotion\na.wav,Hi.,joy\n")
    (folder / "empty").mkdir()
    explain, evaluate, train = ["explain", run], ["evaluate", run], ["train", *small]
    other = ["train", *(setting for setting in small if not setting.startswith(SIZES))]
    pretrained = [*other, *PRETRAINED]
    return {
        "explain, run": ["explain", "run=WRONG"],
        "explain, no run": ["explain"],
        "explain, prepared": [*explain, f"prepared={nowhere}"],
        "explain, key": [*explain, "keys=[test/dia9_utt9]"],
        "explain, target": [*explain, "target=happy"],
        "explain, split": [*explain, "split=train", "all=true"],
        "explain, output": [*explain, "explainer.output=odds"],
        "explain, logger": [*explain, "logger=csv"],
        "explain, seeds": [*explain, "faithfulness=true", "other_seeds=nobody"],
        "explain, option": [*explain, "waveform_baseline=zeros"],
        "explain, setting": [*explain, "keyz=[]"],
        "evaluate, run": ["evaluate", "run=WRONG"],
        "evaluate, prepared": [*evaluate, f"prepared={nowhere}"],
        "evaluate, modality": [*evaluate, "missing=sound"],
        "evaluate, untrained": [*evaluate, "missing=audio"],
        "train, resume": ["train", "resume=WRONG"],
        "train, finished": ["train", f"resume={trained.run.path}"],
        "train, option": ["train", "experiment=demo", "audio_encoder=wavlmm"],
        "train, setting": ["train", "experiment=demo", "optimizer.learning_rate=1"],
        "train, label": [*train, "labels.name=eight"],
        "train, score": [*train, "callbacks.checkpoint.monitor=val/f2"],
        "train, fold": [*train, "split=speaker_disjoint", "split.test_fold=6"],
        "train, root": [*train, f"corpus.root={nowhere}"],
        "train, annotations": [*train, f"corpus.annotations={nowhere}"],
        "train, table": ["train", "corpus=table", f"corpus.csv={nowhere}.csv"],
        "train, no table": ["train", "corpus=table"],
        "train, column": [
            "train",
            "corpus=table",
            f"corpus.csv={own}",
            "corpus.columns.emotion=feeling",
        ],
        "train, folder": [*pretrained, "audio_encoder.checkpoint=/nowhere/wavlm"],
        "train, empty folder": [
            *pretrained,
            f"audio_encoder.checkpoint={folder / 'empty'}",
        ],
        "train, hub": pretrained,
        "train, opensmile": [*other, "audio_encoder=egemaps", "text_encoder=none"],
        "train, peft": [*pretrained, "audio_encoder.trainable=lora"],
        "train, tensorboard": [*train, "logger=tensorboard"],
        "compare, folder": ["compare", "WRONG"],
        "compare, empty": ["compare", str(trained.tones)],
        "compare, metric": ["compare", str(trained.run.path), "metric=f1"],
        "audit, prepared": ["audit", f"prepared={nowhere}"],
        "audit, annotations": ["audit", f"corpus.annotations={nowhere}"],
        "prepare, root": ["prepare", f"corpus.root={nowhere}"],
        "prepare, denoiser": ["prepare", f"corpus.root={trained.tones}", "denoiser=deep"],
    }


@pytest.mark.slow
def test_wrong_paths_and_names_import_nothing_heavy(trained: TrainedRun, tmp_path: Path) -> None:
    commands = _commands(trained, tmp_path)
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    command = [sys.executable, "-c", TELL, str(tmp_path / "commands.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert set(told) == set(EXPECTED)
    for name, message in EXPECTED.items():
        error, imported = told[name]
        assert re.search(message, " ".join(error.split())), (name, error)
        assert imported == [], name
        assert "Traceback" not in error, name


def _explaining(trained: TrainedRun, **changes: object) -> None:
    given = {
        "run": str(trained.run.path),
        "prepared": None,
        "faithfulness": False,
        "other_seeds": "auto",
        "logger": None,
        "explainer": {"output": "logit"},
        "target": "predicted",
        "keys": [],
        **dict.fromkeys(("one_per_class", "errors", "all"), False),
        "num_random": None,
        "explained_split": "test",
        "seed": 0,
    }
    check_early("explain", OmegaConf.create({**given, **changes}))


def test_utterances_of_training_may_be_explained_and_copies_too(trained: TrainedRun) -> None:
    _explaining(trained, keys=["train/dia0_utt1", "train/dia0_utt1#2", "test/dia0_utt1"])
    with pytest.raises(InputError, match="got train/dia0_utt99; the table"):
        _explaining(trained, keys=["test/dia0_utt1", "train/dia0_utt99"])


def test_a_target_that_differs_by_utterance_is_none_to_look_for(trained: TrainedRun) -> None:
    for target in (True, "predicted", "joy"):
        _explaining(trained, target=target)
    with pytest.raises(InputError, match="target: expected predicted, true or one of"):
        _explaining(trained, target=False)
