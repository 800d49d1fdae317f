"""A trained run that was moved away from all that it was trained on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from mmemo.audio.deepfilternet import DeepFilterNet
from mmemo.runs.predictor import Predictor
from mmemo.runs.run_folder import RunFolder
from tests.commands.command_line import call
from tests.commands.conftest import (
    PreparedTones,
    blank_figures,
    cli,
    only_run,
    small_run,
    tones_for_all,
)

__all__ = ["blank_figures", "cli", "tones_for_all"]


@dataclass(frozen=True)
class MovedRun:
    """A run whose corpus and prepared corpus are gone.

    Args:
        path: Where its folder is now.
        clips: Its test clips, saved elsewhere.
    """

    path: Path
    clips: Path

    @property
    def test(self) -> pd.DataFrame:
        """What evaluation has predicted, with the clip of each row."""
        table = pd.read_parquet(RunFolder(self.path).predictions_file)
        test = table[table["split"] == "test"].reset_index(drop=True)
        names = test["key"].str.rpartition("/")[2] + ".mp4"
        return test.assign(path=[str(self.clips / name) for name in names])


def train_and_move(
    folder: Path, tones: Path, *overrides: str, replacing: tuple[str, ...] = ()
) -> MovedRun:
    """Train on tones in a folder; leave the run and the test clips alone.

    Overrides replace the small run's of those groups.
    """
    shutil.copytree(tones, folder / "tones")
    small = [o for o in small_run(folder) if not o.startswith(replacing or "-")]
    assert call(folder, "train", *small, *overrides) == 0
    run = only_run(folder).path
    moved = folder / "away" / run.name
    shutil.copytree(run, moved)
    clips = shutil.copytree(folder / "tones" / "output_repeated_splits_test", folder / "clips")
    for gone in ("tones", "cache", "outputs"):
        shutil.rmtree(folder / gone)
    return MovedRun(moved, clips)


@pytest.fixture(scope="session")
def own_denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a graph of the user's, which is not there any more when it is predicted."""
    import mmemo.audio

    folder = tmp_path_factory.mktemp("graph")
    packaged = Path(mmemo.audio.__path__[0]) / "deepfilternet2.onnx"
    return shutil.copy(packaged, folder / "mine.onnx")


@pytest.fixture(scope="session")
def denoised(
    tmp_path_factory: pytest.TempPathFactory, tones_for_all: PreparedTones, own_denoiser: Path
) -> MovedRun:
    """Of both modalities, denoised by a graph of the user's, with cleaned words and context."""
    folder = tmp_path_factory.mktemp("denoised")
    moved = train_and_move(
        folder,
        tones_for_all.clips,
        "denoiser=deepfilternet2",
        f"denoiser.model_file={own_denoiser}",
        "denoiser.package=null",
        "text_cleaning=paper",
        "data.max_duration_s=0.25",
        "fusion.modality_dropout=0.3",
    )
    own_denoiser.unlink()
    return moved


@pytest.fixture(scope="session")
def predictor(denoised: MovedRun) -> Iterator[Predictor]:
    """Its model."""
    predictor = Predictor.open(denoised.path, accelerator="cpu")
    assert isinstance(predictor.preprocessing.denoiser, DeepFilterNet)
    yield predictor


@pytest.fixture(scope="session")
def seeds(
    tmp_path_factory: pytest.TempPathFactory, tones_for_all: PreparedTones
) -> tuple[MovedRun, MovedRun]:
    """Two seeds of a model that needs sound and words, and reads what was said around them."""
    moved = []
    context = ("data.context_utterances=2", "data.future_utterances=1", "data.speaker_names=true")
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("seeds")
        moved.append(train_and_move(folder, tones_for_all.clips, *context, f"seed={seed}"))
    together = tmp_path_factory.mktemp("group")
    return tuple(  # type: ignore[return-value]
        MovedRun(Path(shutil.move(run.path, together / run.path.name)), run.clips) for run in moved
    )
