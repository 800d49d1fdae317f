"""Corpora by name, from files to a run: RAVDESS of four actors, IEMOCAP of five sessions."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from mmemo.reporting.self_contained import wav_bytes
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import LEAST_LOGGER, Cli
from tests.conftest import tone
from tests.corpora.test_iemocap import labelled, write_dialogue

MISSING = "expected 1440 rows of 24 speakers, found 64 of 4: speakers 05 to 24 are missing"
FOLDS = ["corpus.num_test_folds=4", "corpus.num_val_folds=3"]


@pytest.fixture
def ravdess(tmp_path: Path) -> list[str]:
    """Overrides of a corpus of sixteen sounds of each actor."""
    places = product(range(1, 5), range(1, 9), (1, 2))
    for index, (actor, emotion, statement) in enumerate(places):
        folder = tmp_path / "RAVDESS" / f"Actor_{actor:02}"
        folder.mkdir(parents=True, exist_ok=True)
        sound = wav_bytes(tone(150.0 + 10 * index, 0.3, 16_000), 16_000)
        name = f"03-01-{emotion:02}-01-{statement:02}-01-{actor:02}.WAV"
        (folder / name).write_bytes(sound)
    (tmp_path / "RAVDESS" / "theme.wav").write_bytes(b"RIFF")
    return ["corpus=ravdess", f"corpus.root={tmp_path / 'RAVDESS'}", *FOLDS]


def prepared_in(folder: Path) -> list[str]:
    return [f"cache_dir={folder / 'cache'}", "denoiser=off", "preparer.num_workers=0"]


def test_it_is_audited_prepared_and_trained(cli: Cli, ravdess: list[str], tmp_path: Path) -> None:
    audited = cli("audit", *ravdess).stdout
    assert "licence: CC BY-NC-SA 4.0" in audited
    assert f"not whole: {MISSING}" in audited
    assert "left out, of the split 'none'" in audited

    done = cli("prepare", *ravdess, *prepared_in(tmp_path), "labels=seven")
    told = done.stdout + done.stderr
    assert told.count(f"corpus ravdess: {MISSING}") == 1
    assert "1 of 65 files have names that the pattern does not match" in told
    assert "labels=seven: 56 of 65 rows kept" in told
    (meta_file,) = (tmp_path / "cache").rglob("meta.json")
    meta = json.loads(meta_file.read_text())
    assert meta["facts"]["total"]["labels"]["emotion"]["calm"] == 192
    changed_ns = (meta_file.parent / "manifest.parquet").stat().st_mtime_ns

    # Facts that are corrected are written anew; nothing is prepared for it.
    cli("prepare", *ravdess, *prepared_in(tmp_path), "corpus.facts.licence=mine")
    assert json.loads(meta_file.read_text())["facts"]["licence"] == "mine"
    assert (meta_file.parent / "manifest.parquet").stat().st_mtime_ns == changed_ns
    again = cli("audit", f"prepared={meta_file.parent}", "labels=seven").stdout
    assert "licence: mine" in again
    assert f"not whole: {MISSING}" in again

    cli(
        *("train", *ravdess, *prepared_in(tmp_path), "labels=seven", "text_encoder=none"),
        *("audio_encoder=logmel_cnn", "audio_encoder.width=8", "fusion.bottleneck_dim=8"),
        *("trainer.max_epochs=1", "trainer.accelerator=cpu", "seed=1", LEAST_LOGGER),
        *("split=speaker_disjoint", "split.group_columns=[sex,sentence]"),
        *("split.num_test_folds=4", "split.num_val_folds=3", "name=named"),
    )
    (folder,) = (tmp_path / "outputs" / "named").iterdir()
    run = RunFolder(folder)
    card = run.read_data_card()
    assert (card.prepared.corpus, card.prepared.licence) == ("ravdess", "CC BY-NC-SA 4.0")
    assert card.prepared.homepage == "https://zenodo.org/records/1188976"
    # Of each of the four pairs of sex and sentence 14 rows: two actors, seven classes.
    assert run.read_metrics().protocol.num_utterances == {"train": 28, "val": 14, "test": 14}


@pytest.fixture
def iemocap(tmp_path: Path) -> list[str]:
    """Overrides of a corpus of ten tones in each session; the last clip but one is missing."""
    root = tmp_path / "IEMOCAP"
    for session in range(1, 6):
        dialogue = f"Ses0{session}F_impro01"
        folder = root / f"Session{session}" / "sentences" / "wav" / dialogue
        folder.mkdir(parents=True)
        labels = words = ""
        for turn in range(10):
            name = f"{dialogue}_{'FM'[turn % 2]}{turn // 2:03d}"
            code = ("ang", "hap", "neu", "exc", "xxx")[turn % 5]
            labels += labelled(name, code, turn, turn + 0.3)
            words += f"{name} [{turn:03d}.0000-{turn:03d}.3000]: Tone {turn % 5}.\n"
            if (session, turn) != (5, 8):
                # No two alike: the same sound in two splits is a leak.
                pitch_hz = 200.0 + 90 * (turn % 5) + 10 * session + turn
                sound = wav_bytes(tone(pitch_hz, 0.3, 16_000), 16_000)
                (folder / f"{name}.wav").write_bytes(sound)
        write_dialogue(root, session, dialogue, labels, words)
    return ["corpus=iemocap", f"corpus.root={root}", "corpus.merge_excited=true"]


@pytest.mark.slow
def test_a_session_of_iemocap_is_left_out(cli: Cli, iemocap: list[str], tmp_path: Path) -> None:
    done = cli(
        *("train", *iemocap, *prepared_in(tmp_path), "labels=[joy,anger,neutral]"),
        *("split=leave_one_group_out", "split.test_fold=1", "loss=votes", "text_encoder=none"),
        *("audio_encoder=logmel_cnn", "audio_encoder.width=8", "fusion.bottleneck_dim=8"),
        *("trainer.max_epochs=1", "trainer.accelerator=cpu", "seed=1", LEAST_LOGGER, "name=left"),
    )
    assert "expected 7532 rows of 10 speakers, found 40 of 10" in done.stdout + done.stderr
    (folder,) = (tmp_path / "outputs" / "left").iterdir()
    run = RunFolder(folder)
    rows = pd.read_parquet(run.predictions_file)
    tested = rows[rows["split"] == "test"]
    assert set(tested["speaker"]) == {"Ses02F", "Ses02M"}
    assert tested["target"].value_counts().to_dict() == {"joy": 4, "anger": 2, "neutral": 2}
    # Of ten utterances of a session two have no majority; of the last's others one has no clip.
    assert sum(run.read_metrics().protocol.num_utterances.values()) == 39
    assert run.read_data_card().prepared.agreement is not None
    (manifest_file,) = (tmp_path / "cache").rglob("manifest.parquet")
    manifest = pd.read_parquet(manifest_file)
    reasons = manifest["reason"].value_counts().to_dict()
    assert reasons == {"": 39, "raters disagree": 10, "missing clip": 1}
    assert set(manifest["session"].dropna()) == {f"Session{n}" for n in range(1, 6)}
