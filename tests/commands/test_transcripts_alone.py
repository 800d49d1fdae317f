"""Training on MELD's three CSVs, without a clip."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from mmemo.audio.prepared import PreparedCorpus
from mmemo.errors import InputError
from tests.commands.conftest import Cli, only_run
from tests.conftest import MeldMaker

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def csvs(make_meld: MeldMaker, tmp_path: Path) -> Path:
    """A folder that holds the CSVs alone."""
    folder = tmp_path / "csvs"
    folder.mkdir()
    for path in make_meld(per_split=10, clips=False).glob("*.csv"):
        shutil.copy(path, folder)
    return folder


def overrides(csvs: Path, small: list[str]) -> list[str]:
    dropped = ("corpus.root", "denoiser", "audio_encoder")
    kept = [o for o in small if not o.startswith(dropped)]
    return [*kept, f"corpus.annotations={csvs}"]


def test_a_run_from_transcripts_alone(
    cli: Cli, csvs: Path, small: list[str], tmp_path: Path
) -> None:
    cli("train", *overrides(csvs, small), "audio_encoder=none")
    run = only_run(tmp_path)
    data = json.loads(run.data_file.read_text())
    assert data["prepared"]["has_sound"] is False
    assert data["prepared"]["name"].endswith("-transcripts")
    assert data["counts"]["all"] == {"rows": 30, "kept": 30}
    assert set(data["num_cut"].values()) == {0}
    protocol = json.loads(run.metrics_file.read_text())["protocol"]
    assert (protocol["has_sound"], protocol["denoiser"]) == (False, None)
    assert "No sound: transcripts alone." in run.report_file.read_text()
    before = pd.read_parquet(run.predictions_file)
    assert len(before) == 20
    assert before["duration_s"].isna().all()

    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)
    run.write_info(status="interrupted", checkpoint=None)
    cli("train", f"resume={run.path}", "trainer.max_epochs=3")
    assert pd.read_csv(run.history_file)["epoch"].tolist() == [0, 1, 2]

    folder = Path(data["prepared"]["folder"])
    prepared = PreparedCorpus(folder)
    assert prepared.kept["num_samples"].tolist() == [0] * 30
    with pytest.raises(InputError, match="with sound, it is of transcripts alone"):
        prepared.read("", 0, 0)
    refused = cli("audit", f"prepared={folder}", expect=1)
    assert "with sound, it is of transcripts alone" in refused.stderr


def test_what_wants_sound_is_refused(
    cli: Cli, csvs: Path, small: list[str], nothing_prepared: None, tmp_path: Path
) -> None:
    command = ["train", *overrides(csvs, small)]
    done = cli(*command, "audio_encoder=logmel_cnn", "denoiser=off", expect=1)
    assert "corpus.root: expected the folder of MELD.Raw, got none" in done.stderr
    assert "audio_encoder=none" in done.stderr
    done = cli(*command, "audio_encoder=none", "min_duration_s=0.5", expect=1)
    assert "min_duration_s: expected 0 for transcripts without clips, got 0.5" in done.stderr
    assert not list((tmp_path / "cache").glob("prepared/*/manifest.parquet"))
