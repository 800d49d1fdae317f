"""What a run leaves for W&B, read back from its file."""

import json
import shlex
import signal
import wave
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import wandb
from omegaconf import OmegaConf

from mmemo.audio.prepared import PreparedCorpus
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import LEAST_LOGGER, Cli, only_run
from tests.commands.interruptions import FailureAt, SignalAt, befalls
from tests.wandb_files import WrittenRun, read_run


@pytest.fixture
def tracked(small: list[str]) -> Iterator[list[str]]:
    small.remove(LEAST_LOGGER)
    yield [*small, "data.batch_size=4"]
    wandb.teardown()


def written_runs(run: RunFolder) -> list[WrittenRun]:
    return [read_run(path) for path in sorted(run.path.glob("wandb/offline-run-*"))]


def assert_same_curves(written: WrittenRun, run: RunFolder) -> None:
    """Each epoch once, at the last step of the epoch, which W&B counts from 0."""
    history = pd.read_csv(run.history_file)
    epochs = [row for row in written.history if "val/loss" in row]
    assert [row["epoch"] for row in epochs] == history["epoch"].tolist()
    assert [row["_step"] for row in epochs] == (history["step"] - 1).tolist()
    for name in history.columns.drop(["epoch", "step", "split_protocol"]):
        logged = f"step/{name}" if name == "learning_rate" else name
        assert [row[logged] for row in epochs] == pytest.approx(history[name].tolist()), name


def test_a_leaky_sweeps_cell_is_whole(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    leaky = ["split=oversampled_before_split", "split.source_splits=[train,val,test]"]
    leaky += ["split.val_share=0.2", "trainer.log_every_n_steps=2", "name=wide"]
    shown = ["logger.num_examples=2", "logger.log_checkpoint=true"]
    cli("train", "-m", *tracked, *leaky, *shown, "seed=1,2")
    infos = sorted((tmp_path / "outputs" / "wide").glob("*/*/run.json"))
    runs = [RunFolder.open(path.parent) for path in infos]
    ids = [run.read_info().wandb.id for run in runs]
    assert len(set(ids)) == 2, "each run of a sweep is one on W&B"
    for run, identity in zip(runs, ids, strict=True):
        (written,) = written_runs(run)
        config = OmegaConf.to_container(OmegaConf.load(run.config_file))
        assert isinstance(config, dict)
        info = run.read_info()
        assert info.wandb.files == f"wandb/{written.folder.name}"
        assert (written.run.run_id, written.run.project) == (identity, "mmemo")
        assert written.run.display_name == f"seed{config['seed']}-LEAKY"
        assert written.run.run_group == f"wide/{run.path.parent.name}"
        assert "seed" not in written.run.job_type
        assert set(written.run.tags) == {"meld", "oversampled_before_split (LEAKY)", "five"}
        assert written.exit_code == 0

        assert str(run.path) not in json.dumps(written.config)
        assert {key: written.config[key] for key in ("seed", "fusion", "labels", "split")} == {
            key: config[key] for key in ("seed", "fusion", "labels", "split")
        }
        assert written.config["options"]["split"] == "oversampled_before_split"
        assert written.config["options"]["audio_encoder"] == "logmel_cnn"
        assert written.config["git"] == {"commit": info.git_commit, "dirty": info.git_dirty}
        document = json.loads(run.metrics_file.read_text())
        assert written.config["protocol"] == document["protocol"]

        assert_same_curves(written, run)
        steps = [row for row in written.history if "step/loss" in row]
        assert {row["_step"] for row in steps} >= {1, 3}, "every second step"
        for split in ("val", "test"):
            metrics = document["splits"][split]
            assert written.summary[f"{split}/accuracy"] == metrics["accuracy"]
            assert written.summary[f"{split}/macro_f1"] == metrics["macro"]["f1"]
            assert written.summary[f"{split}/weighted_f1"] == metrics["weighted"]["f1"]
            assert written.summary[f"{split}/f1/joy"] == metrics["per_class"]["joy"]["f1"]
        assert written.summary["val/loss"] == pytest.approx(info.best_score)
        assert_tables(written, run)
        assert_artifacts(written, run)


def assert_tables(written: WrittenRun, run: RunFolder) -> None:
    table = pd.read_parquet(run.predictions_file)
    metrics = json.loads(run.metrics_file.read_text())["splits"]
    for split in ("val", "test"):
        rows = table[table["split"] == split]
        columns, data = written.table(f"{split}/confusion_matrix_table")
        assert columns == ["Actual", "Predicted", "nPredictions"]
        counted = Counter(zip(rows["target"], rows["pred"], strict=True))
        assert {(a, p): n for a, p, n in data if n} == counted
        assert len(data) == 25
        columns, data = written.table(f"{split}/per_class")
        for name, *values in data:
            scores = metrics[split]["per_class"][name]
            assert dict(zip(columns[1:], values, strict=True)) == pytest.approx(scores)
    panels = written.config["_wandb"]["visualize"]
    assert "test/confusion_matrix" in panels
    assert "(LEAKY)), N = 9" in json.dumps(panels["test/confusion_matrix"])

    assert_predictions(written, run, table)


def assert_predictions(written: WrittenRun, run: RunFolder, table: pd.DataFrame) -> None:
    (artifact,) = [a for a in written.artifacts if "valpredictions" in a.name]
    places_of_files = {e.path: Path(e.local_path) for e in artifact.manifest.contents}
    (content,) = [p for name, p in places_of_files.items() if name.endswith(".table.json")]
    columns, data = (json.loads(content.read_text())[part] for part in ("columns", "data"))
    assert len(data) == 2
    by_key = table.set_index("key")
    prepared = PreparedCorpus(Path(json.loads(run.data_file.read_text())["prepared"]["folder"]))
    places = prepared.kept.set_index("key")
    for values in data:
        row = dict(zip(columns, values, strict=True))
        expected = by_key.loc[row["key"]]
        assert (row["target"], row["pred"]) == (expected["target"], expected["pred"])
        assert row["correct"] is bool(expected["target"] == expected["pred"])
        assert row["prob_joy"] == pytest.approx(expected["prob_joy"])
        local = places_of_files[row["audio"]["path"]]
        assert run.path in local.parents, "what waits for its upload is in the run folder"
        with wave.open(str(local)) as file:
            assert file.getframerate() == 16000
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        place = places.loc[row["key"].partition("#")[0]]
        kept = prepared.read(place["audio_file"], place["offset"], place["num_samples"])
        np.testing.assert_array_equal(samples, np.rint(kept.numpy() * 32767).astype("<i2"))


def assert_artifacts(written: WrittenRun, run: RunFolder) -> None:
    (model,) = [artifact for artifact in written.artifacts if artifact.type == "model"]
    assert "best" in model.aliases
    paths = {entry.path for entry in model.manifest.contents}
    read_again = {"run.json", "composed.yaml", "config.yaml", "data.json"}
    assert paths >= {run.read_info().checkpoint, *read_again}
    assert any(path.startswith("text_encoder/") for path in paths)


def test_a_stopped_run_keeps_its_id(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    stop = befalls(SignalAt, signum=int(signal.SIGTERM), epoch=1, batch=2)
    text = [o for o in tracked if not o.startswith("audio_encoder")]
    told = cli("train", *text, *stop, "audio_encoder=none", "denoiser=off", expect=143).stderr
    run = only_run(tmp_path)
    (hint,) = (line for line in told.splitlines() if line.startswith("not finished"))
    program, *resume = shlex.split(hint.removeprefix("not finished; to continue: "))
    trust = "trust=[tests.commands.interruptions.SignalAt]"
    assert (program, *resume) == ("mmemo", "train", f"resume={run.path}", trust)
    identity = run.read_info().wandb.id
    (stopped,) = written_runs(run)
    assert (stopped.exit_code, stopped.run.run_id) == (255, identity)
    assert [row["epoch"] for row in stopped.history if "val/loss" in row] == [0]
    assert (stopped.run.run_group, stopped.run.job_type) == ("", "train")

    printed = cli(*resume).stdout
    _, resumed = written_runs(run)
    assert (resumed.exit_code, resumed.run.run_id) == (0, identity)
    assert run.read_info().wandb.id == identity
    assert f"wandb sync {resumed.folder}" in printed
    assert_same_curves(resumed, run)

    num_files = len(list(run.path.glob("wandb/**/*")))
    cli("evaluate", f"run={run.path}", trust)
    assert len(list(run.path.glob("wandb/**/*"))) == num_files, "evaluation alone logs nothing"


def test_a_failed_run_is_closed_as_failed(cli: Cli, tracked: list[str], tmp_path: Path) -> None:
    said = cli("train", *tracked, *befalls(FailureAt, epoch=0, batch=1), expect=1).stderr
    assert "out of memory, say" in said
    (written,) = written_runs(only_run(tmp_path))
    assert written.exit_code == 1
    assert wandb.run is None


def test_a_run_is_named_by_what_was_typed_and_tagged_by_the_split_that_was_used() -> None:
    from mmemo.reporting import wandb_results as module

    folder = SimpleNamespace(
        path=Path("/out/2026-seed7"),
        read_info=lambda: INFO,
        read_data_card=lambda: SimpleNamespace(prepared=prepared),
    )
    typed = ["experiment=demo", "++trainer.max_epochs=2", "corpus.root=/data", "logger=wandb"]
    cfg = SimpleNamespace(seed=7, label=None, labels=SimpleNamespace(name="five"))
    made_here = "made here, by speaker, seed 0"
    prepared = SimpleNamespace(corpus="ravdess", split_origin=made_here)
    with pytest.MonkeyPatch.context() as patch:
        task = SimpleNamespace(overrides=SimpleNamespace(task=typed))
        patch.setattr(module.HydraConfig, "get", lambda: task)
        assert module._name(folder, cfg, None) == "experiment=demo trainer.max_epochs=2 seed=7"
        assert module._tags(folder, cfg) == (
            *("ravdess", "split made here, by speaker, seed 0", "five"),
        )
        prepared.split_origin = "its own"
        assert module._tags(folder, cfg)[1] == "official"
        typed[:] = ["corpus.root=/data"]
        assert module._name(folder, cfg, None) == "2026-seed7"
        cfg.label = "mine"
        assert module._name(folder, cfg, None) == "mine seed=7"
        cfg.label = None
        folder.path = Path("/out/sweep/bottleneck_dim_64-seed1-12345678-LEAKY")
        assert module._name(folder, cfg, "demo/sweep") == "bottleneck_dim_64-seed1-LEAKY"


INFO = SimpleNamespace(split_protocol="official")
