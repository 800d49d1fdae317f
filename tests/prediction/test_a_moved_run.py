"""A run that is packed, moved and unpacked answers everywhere alike; one that was changed is data.

What it was trained on is gone, and there is no network.
"""

import shutil
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import mmemo
from mmemo.audio.media import decode
from mmemo.errors import InputError
from mmemo.explanation.explanation import Explanation
from mmemo.export.clips import Clip, graph_inputs
from mmemo.export.onnx_graph import open_graph, run_graph
from mmemo.runs.predictor import Predictor, Spoken
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli
from tests.commands.hostile_runs import Pickled, read, touching, without_digests, write
from tests.conftest import FIVE
from tests.prediction.conftest import MovedRun

pytestmark = pytest.mark.slow

PROBABILITIES = [f"prob_{name}" for name in FIVE]
QUICK = (
    "integrated_gradients.n_steps=2",
    "waveform_baseline.num_draws=1",
    "occlusion=null",
)


@pytest.fixture
def run(denoised: MovedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Unpacked where nothing else is, without a network."""
    archive = shutil.make_archive(str(tmp_path / "run"), "zip", denoised.path)
    shutil.unpack_archive(archive, tmp_path / "elsewhere" / "unpacked")

    def refuse(*_: object) -> None:
        raise AssertionError("something was looked for in the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path / "elsewhere" / "unpacked"


@pytest.fixture
def table(denoised: MovedRun, tmp_path: Path) -> Path:
    """The clips of test as a user's table with two broken rows in front."""
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    asked = denoised.test[["path", "transcript", "target"]].rename(columns={"target": "emotion"})
    broken = [["broken.wav", "Hi.", "joy"], ["nowhere.wav", "Hi.", "joy"]]
    rows = pd.concat([pd.DataFrame(broken, columns=asked.columns), asked])
    rows.to_csv(tmp_path / "asked.csv", index=False)
    return tmp_path / "asked.csv"


def probabilities(frame: pd.DataFrame) -> np.ndarray:
    return frame[PROBABILITIES].to_numpy(dtype=np.float64)


def test_command_python_and_graph_agree(
    run: Path, table: Path, denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    expected = probabilities(denoised.test)
    common = [f"run={run}", "accelerator=cpu", "calibrated=false", "num_workers=0"]
    out = cli("predict", *common, f"input={table}", "output=c.parquet", expect=1).stdout
    by_command = pd.read_parquet(tmp_path / "c.parquet")
    assert "2 of 17 have no answer" in out
    assert by_command["reason"][:2].tolist() == ["corrupt container", "missing clip"]
    np.testing.assert_allclose(probabilities(by_command[2:]), expected, atol=1e-4)

    loaded = mmemo.load_run(run, accelerator="cpu")
    answers = loaded.predict_files(table, calibrated=False, num_workers=0)
    in_python = loaded.table(answers, calibrated=False)
    np.testing.assert_allclose(probabilities(in_python[2:]), expected, atol=1e-4)
    one = loaded.predict(denoised.test["path"][4], text=denoised.test["transcript"][4])
    calibrated = loaded.ensemble.predictors[0].temperature().calibrated(expected[4])
    np.testing.assert_allclose(one.probabilities, calibrated, atol=1e-4)  # type: ignore[arg-type]

    cli("export", f"run={run}", "format=onnx", "format.num_clips=3", "output=graph")
    np.testing.assert_allclose(
        by_graph(tmp_path / "graph", loaded.ensemble.predictors[0], denoised.test),
        expected,
        atol=1e-4,
    )


def by_graph(folder: Path, predictor: Predictor, table: pd.DataFrame) -> np.ndarray:
    """What ONNX Runtime makes of all clips in one batch."""
    session = open_graph(folder / "model.onnx")
    worker = predictor.clip_worker()
    clips = []
    for path, transcript in zip(table["path"], table["transcript"], strict=True):
        spoken = Spoken(path, worker.prepare_sound(decode(path), path).samples, transcript)
        assert spoken.sound is not None
        tokens = predictor.encoders.text.tokenize(  # type: ignore[union-attr]
            predictor.read("", transcript), [], []
        )
        clips.append(Clip(predictor.used_sound(spoken.sound), tokens))
    names = [one.name for one in session.get_inputs()]
    logits = run_graph(session, graph_inputs(clips, predictor.encoders, names))
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()


def test_a_folder_and_a_long_recording(
    run: Path, denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    """Windows of a recording are answered as files of each window are."""
    common = [f"run={run}", "accelerator=cpu", "num_workers=0"]
    cli("predict", *common, f"input={denoised.clips}", "output=f.csv")
    found = pd.read_csv(tmp_path / "f.csv")
    assert len(found) == 15 and (found["missing"] == "text").all()
    clip = denoised.test["path"][0]
    cli("predict", *common, f"input={clip}", "window_s=0.1", "output=w.csv", "timeline=lines")
    windows = pd.read_csv(tmp_path / "w.csv")
    assert (tmp_path / "lines" / f"{Path(clip).stem}.html").is_file()
    rows = windows[["path"]].assign(start=windows["start_s"], end=windows["end_s"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    cli("predict", *common, "input=rows.csv", "output=r.csv")
    np.testing.assert_allclose(
        probabilities(windows), probabilities(pd.read_csv(tmp_path / "r.csv")), atol=1e-5
    )
    loaded = mmemo.load_run(run, accelerator="cpu")
    in_python = loaded.table(loaded.predict_files(clip, window_s=0.1, num_workers=0))
    np.testing.assert_allclose(probabilities(windows), probabilities(in_python), atol=1e-4)


def test_explaining_and_another_corpus(
    run: Path, table: Path, denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    row = denoised.test.iloc[3]
    cli("explain", f"run={run}", f"input={row['path']}", f"text={row['transcript']}", *QUICK)
    (record,) = run.glob("explanations/*/*/explanation.json")
    found = Explanation.load(record.parent)
    own = row[PROBABILITIES].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(found.probabilities, own, atol=1e-4)
    corpus = ["corpus=table", f"corpus.csv={table}", "preparer.num_workers=0"]
    cli("evaluate", f"run={run}", *corpus, f"cache_dir={tmp_path / 'cache'}")
    (results,) = run.glob("on_table-*")
    other = RunFolder(run, other=results.name)
    assert other.read_metrics().protocol.evaluated_on is not None
    rows = pd.read_parquet(other.predictions_file)
    np.testing.assert_allclose(probabilities(rows), probabilities(denoised.test), atol=1e-4)


def built(run: Path, value: dict[str, object]) -> None:
    document = read(run / "composed.yaml")
    document["data"]["num_workers"] = value
    write(run / "composed.yaml", document)
    without_digests(run)


@pytest.mark.parametrize("malice", ["os.system", "subprocess.run", "pickle"])
def test_a_malicious_folder_is_refused_by_every_reader(
    malice: str, run: Path, table: Path, denoised: MovedRun, cli: Cli, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    if malice == "pickle":
        without_digests(run)
        weights = run / read(run / "run.json")["checkpoint"]
        torch.save(Pickled(marker), weights)
        told = f"{weights}: expected the checkpoint of this run, could not load it"
    else:
        (value,) = (v for v in touching(marker) if v["_target_"] == malice)
        built(run, value)
        told = f"data.num_workers: _target_: {malice}"
    clip = denoised.test["path"][0]
    for command, *more in (
        ("predict", f"input={clip}", "text=Hi."),
        ("explain", f"input={clip}", "text=Hi."),
        ("export", "format=huggingface"),
        ("evaluate", "corpus=table", f"corpus.csv={table}"),
    ):
        said = cli(command, f"run={run}", *more, expect=1).stderr
        assert told in said, command
        assert "Traceback" not in said
    with pytest.raises(InputError) as raised:
        mmemo.load_run(run)
    assert told in str(raised.value)
    assert not marker.exists()
