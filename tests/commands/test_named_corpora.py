"""Corpora that a class of their own reads, from their release's files to a trained model."""

import wave
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.commands.conftest import Cli, only_run
from tests.conftest import tone
from tests.corpora.test_iemocap import labelled, write_dialogue

CODES = ("ang", "hap", "neu", "exc", "xxx")
RATE = 16_000


@pytest.fixture
def iemocap(tmp_path: Path) -> Path:
    """Five sessions of one improvisation of ten tones; the last clip of all is missing."""
    root = tmp_path / "iemocap"
    for session in range(1, 6):
        dialogue = f"Ses0{session}F_impro01"
        folder = root / f"Session{session}" / "sentences" / "wav" / dialogue
        folder.mkdir(parents=True)
        labels = words = ""
        for turn in range(10):
            name = f"{dialogue}_{'FM'[turn % 2]}{turn // 2:03d}"
            labels += labelled(name, CODES[turn % 5], turn, turn + 0.3)
            words += f"{name} [{turn:03d}.0000-{turn:03d}.3000]: Tone {turn % 5}.\n"
            if (session, turn) == (5, 8):
                continue
            # No two alike: the same sound in two splits is a leak.
            samples = tone(200.0 + 90 * (turn % 5) + 10 * session + turn, 0.3, RATE)
            with wave.open(str(folder / f"{name}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes((32767 * samples).astype("<i2").tobytes())
        write_dialogue(root, session, dialogue, labels, words)
    return root


@pytest.mark.slow
def test_iemocap_is_prepared_and_trained_on(
    cli: Cli, small: list[str], iemocap: Path, tmp_path: Path
) -> None:
    kept = [o for o in small if not o.startswith(("corpus", "trainer.max_epochs"))]
    kept += ["corpus=iemocap", f"corpus.root={iemocap}", "corpus.merge_excited=true"]
    kept += ["trainer.max_epochs=1", "labels.name=three", "~labels.colours"]
    kept += ["+labels.colours={joy: red, anger: blue, neutral: grey}"]
    printed = cli("train", *kept)
    assert "expected 7532 rows of 10 speakers, found 40 of 10" in printed.stdout
    run = only_run(tmp_path)
    rows = pd.read_parquet(run.predictions_file)
    # Of ten utterances two have no majority; of the last session's others one has no clip.
    assert rows["split"].value_counts().to_dict() == {"val": 8, "test": 7}
    assert set(rows.loc[rows["split"] == "test", "speaker"]) == {"Ses05F", "Ses05M"}
    assert rows["target"].value_counts().to_dict() == {"joy": 7, "anger": 4, "neutral": 4}
    (prepared,) = (tmp_path / "cache" / "prepared").glob("iemocap-*s")
    manifest = pd.read_parquet(prepared / "manifest.parquet")
    assert len(manifest) == 50
    assert manifest["reason"].value_counts().to_dict() == {
        **{"": 39, "raters disagree": 10, "missing clip": 1}
    }
    kept_rows = manifest[manifest["status"] == "kept"]
    assert set(kept_rows["session"]) == {f"Session{n}" for n in range(1, 6)}
    assert np.allclose(kept_rows["num_samples"] / RATE, 0.3)
    assert "made here: session 5 tests, 4 validates" in run.report_file.read_text()
