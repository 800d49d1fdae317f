"""``mmemo export``: a run as a graph, and as a folder for a hub that opens as a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import mmemo
from mmemo.documents import read_document, write_document
from mmemo.export.document import GraphDocument
from mmemo.export.onnx_graph import open_graph, run_graph
from mmemo.runs.rebuilt_run import rebuild_model
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, TrainedRun, only_run


@pytest.fixture
def has_onnx() -> None:
    pytest.importorskip("onnx")


@pytest.mark.usefixtures("has_onnx")
def test_a_graph_that_answers_as_the_run(cli: Cli, trained: TrainedRun) -> None:
    printed = cli("export", f"run={trained.run.path}", "format=onnx").stdout
    folder = trained.run.path / "exported" / "onnx"
    document = read_document(folder / "preprocessing.json", GraphDocument, "it", "write it")
    assert document.check.clips == "clips of test"
    assert 0 <= document.check.max_difference <= document.check.tolerance == 1e-4
    assert f"by at most {document.check.max_difference:.1e} on" in printed
    assert f"ONNX Runtime {document.check.onnx_clips_per_s:.1f}, torch" in printed
    assert document.classes == ("anger", "joy", "neutral", "sadness", "surprise")
    assert [(one.name, one.dtype, one.shape) for one in document.inputs] == [
        ("samples", "float32", ("batch", "time")),
        ("num_samples", "int64", ("batch",)),
        ("token_ids", "int64", ("batch", "tokens")),
        ("num_tokens", "int64", ("batch",)),
    ]
    assert document.sound is not None
    assert (document.sound.sample_rate, document.sound.denoiser) == (16_000, None)
    calibration = trained.run.read_metrics().calibration
    assert calibration is not None
    assert document.temperature == calibration.temperature.mean

    # By hand, from what lies in the folder and the prepared sound alone.
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "text_encoder" / "tokenizer.json"))
    rows = pd.read_parquet(trained.run.predictions_file).set_index("key")
    manifest = pd.read_parquet(trained.prepared / "manifest.parquet").set_index("key")
    session = open_graph(folder / "model.onnx")
    for key in ("test/dia0_utt1", "val/dia0_utt4"):
        place = manifest.loc[key]
        sound = np.fromfile(trained.prepared / place["audio_file"], "<i2")
        sound = sound[place["offset"] : place["offset"] + place["num_samples"]]
        ids = torch.tensor([tokenizer.encode(place["transcript"]).ids])
        inputs = {
            "samples": torch.from_numpy(sound.astype(np.float32))[None] / 32767,
            "num_samples": torch.tensor([len(sound)]),
            "token_ids": ids,
            "num_tokens": torch.tensor([ids.shape[1]]),
        }
        found = torch.softmax(torch.from_numpy(run_graph(session, inputs)), dim=1)[0]
        expected = rows.loc[key, [f"prob_{name}" for name in document.classes]]
        np.testing.assert_allclose(found, expected.to_numpy(dtype=float), atol=1e-4)


@pytest.mark.usefixtures("has_onnx")
def test_without_the_corpus_it_is_held_against_noise(cli: Cli, trained: TrainedRun) -> None:
    shutil.rmtree(trained.prepared)
    printed = cli("export", f"run={trained.run.path}", "format.num_clips=5").stdout
    assert "on 5 made clips of noise (the corpus of the training is not here)" in printed


@pytest.mark.usefixtures("has_onnx")
def test_a_graph_that_answers_otherwise_is_not_left(cli: Cli, trained: TrainedRun) -> None:
    # No graph sums in torch's own order.
    more = ["format.tolerance=1e-12", "output=graph"]
    printed = cli("export", f"run={trained.run.path}", *more, expect=1)
    assert "the audio or text encoder LogMelEncoder or ScratchTextEncoder cannot" in printed.stderr
    assert "more than format.tolerance=1e-12" in printed.stderr
    assert not list(Path.cwd().glob("*graph*"))


def test_a_folder_for_the_hub_opens_as_a_run(cli: Cli, trained: TrainedRun, tmp_path: Path) -> None:
    more = ["format=huggingface", "format.licence=cc-by-4.0", "output=model"]
    printed = cli("export", f"run={trained.run.path}", *more).stdout
    # What conf/corpus says of MELD has been written when it was trained.
    assert "the corpus' terms are not named" not in printed
    assert "Its licence: GPL-3.0 (the annotations" in (tmp_path / "model/README.md").read_text()
    folder = (tmp_path / "model").rename(tmp_path / "elsewhere")
    for gone in (trained.run.path, trained.prepared, trained.tones):
        moved = gone.rename(gone.with_name(f"{gone.name}-gone"))
        if gone == trained.run.path:
            run = RunFolder(moved)
    opened = rebuild_model(folder, accelerator="cpu")
    expected = torch.load(run.path / str(run.read_info().checkpoint), weights_only=True)
    state = opened.module.state_dict()
    assert set(state) == set(expected["state_dict"])
    assert all(torch.equal(state[name], expected["state_dict"][name]) for name in state)
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"]["1"] == "joy"
    assert (folder / "text_encoder" / "tokenizer.json").is_file()
    # Nothing tells of this machine, nor of whom it belongs to.
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            assert str(tmp_path).encode() not in path.read_bytes(), path
            assert str(trained.tones.parent).encode() not in path.read_bytes(), path
    assert opened.folder.read_info().process is None
    sound = np.sin(np.arange(16_000) / 20).astype(np.float32)
    here, there = (
        mmemo.load_run(path, accelerator="cpu").predict(sound, 16_000, "Tone 1.")
        for path in (folder, run.path)
    )
    np.testing.assert_array_equal(here.probabilities, there.probabilities)


def test_terms_that_nobody_states_are_asked_for(cli: Cli, trained: TrainedRun) -> None:
    card = trained.run.read_data_card()
    unsaid = replace(card, prepared=replace(card.prepared, licence=None, homepage=None))
    with trained.run.sealed(trained.run.data_file):
        write_document(trained.run.data_file, unsaid)
    printed = cli("export", f"run={trained.run.path}", "format=huggingface").stdout
    assert "the corpus' terms are not named: format.corpus_licence" in printed


def test_the_model_card_tells_what_the_run_does(cli: Cli, trained: TrainedRun) -> None:
    cli("export", f"run={trained.run.path}", "format=huggingface", "format.corpus_licence=mine")
    text = (trained.run.path / "exported" / "huggingface" / "README.md").read_text()
    _, front, card = text.split("---\n", 2)
    matter = yaml.safe_load(front)
    metrics = trained.run.read_metrics()
    test, calibration = metrics.splits["test"], metrics.calibration
    assert calibration is not None
    assert (matter["library_name"], "license" in matter) == ("mmemo", False)
    (result,) = matter["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == round(test.accuracy, 4)
    assert "Its licence: mine." in card
    assert "one of anger, joy, neutral, sadness, surprise" in card
    assert f"| macro F1 | {test.macro.f1:.3f} |" in card
    assert f"{test.majority_baseline.macro_f1:.3f} |" in card
    assert f"{calibration.temperature.mean:.2f}, fitted on validation" in card
    worst = min(test.per_class, key=lambda name: test.per_class[name].f1)
    rows = [line for line in card.splitlines() if line.startswith("| ")]
    classes = rows[rows.index(next(r for r in rows if "worst first" in r)) + 2 :]
    assert classes[0].startswith(f"| {worst} | ")
    assert "LEAKY" not in text


@pytest.mark.usefixtures("has_onnx")
@pytest.mark.slow
def test_a_model_of_text_whose_corpus_was_denoised(
    cli: Cli, small: list[str], tmp_path: Path
) -> None:
    read_alone = [option for option in small if not option.startswith("audio_encoder")]
    cli("train", *read_alone, "modality=text", "trainer.max_epochs=1")
    run = only_run(tmp_path)
    card = run.read_data_card()
    # As if it had been: what the model does not hear does not have to be here.
    with run.sealed(run.data_file):
        prepared = replace(card.prepared, denoiser="other", denoiser_version="1")
        write_document(run.data_file, replace(card, prepared=prepared))
    cli("export", f"run={run.path}", "format.num_clips=4")
    folder = run.path / "exported" / "onnx"
    document = read_document(folder / "preprocessing.json", GraphDocument, "it", "write it")
    assert document.sound is None
    assert [one.name for one in document.inputs] == ["token_ids", "num_tokens"]


@pytest.mark.usefixtures("has_onnx")
@pytest.mark.slow
def test_a_prompt_is_told_beside_the_graph(
    cli: Cli, small: list[str], tmp_path: Path, tiny_roberta: Path
) -> None:
    options = [o for o in small if not o.startswith(("audio_encoder", "text_encoder"))]
    encoder = ["text_encoder=roberta_base", f"text_encoder.checkpoint={tiny_roberta}"]
    asked = ["text_encoder.pooling=mean", "text_encoder.prompt='I feel {mask}'"]
    cli("train", *options, *encoder, *asked, "modality=text", "trainer.max_epochs=1")
    run = only_run(tmp_path)
    cli("export", f"run={run.path}", "format.num_clips=4")
    file = run.path / "exported" / "onnx" / "preprocessing.json"
    document = read_document(file, GraphDocument, "it", "write it")
    assert document.text is not None
    assert document.text.prompt == "I feel {mask}"
    assert [one.name for one in document.inputs] == ["token_ids", "num_tokens", "own_tokens"]


def test_what_is_there_is_not_overwritten(cli: Cli, trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    more = ["format=huggingface", "output=model"]
    printed = cli("export", f"run={trained.run.path}", *more, expect=1)
    assert "expected a folder that is not there yet, found one" in printed.stderr
