import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from transformers import BertConfig, BertModel

from mmemo.models.text_tokenizer import learn_model_tokenizer
from tests.commands.conftest import Cli, only_run

pytestmark = pytest.mark.usefixtures("blank_figures")

TINY_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 300,
}


@pytest.fixture
def text_alone(small: list[str]) -> list[str]:
    parts = ("audio_encoder", "text_encoder")
    return [o for o in small if not o.startswith(parts)] + ["audio_encoder=none"]


@pytest.fixture
def tiny_bert(tmp_path: Path) -> Path:
    folder = tmp_path / "bert"
    config = BertConfig(**TINY_BERT)
    BertModel(config).save_pretrained(folder)
    learn_model_tokenizer(["Tone 1.", "Sentence 2 of joy."], 300, 0).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", ["roberta_base", "bert_base"])
def test_a_run_is_evaluated_again_without_its_checkpoint(
    family: str,
    cli: Cli,
    text_alone: list[str],
    tmp_path: Path,
    tiny_roberta: Path,
    tiny_bert: Path,
) -> None:
    source = {"roberta_base": tiny_roberta, "bert_base": tiny_bert}[family]
    checkpoint = shutil.copytree(source, tmp_path / "checkpoint")
    options = [f"text_encoder={family}", f"text_encoder.checkpoint={checkpoint}"]
    cli("train", *text_alone, *options, "data.context_utterances=2", "data.speaker_names=true")
    run = only_run(tmp_path)
    before = pd.read_parquet(run.predictions_file)
    assert len(before) == 30
    protocol = json.loads(run.metrics_file.read_text())["protocol"]
    assert (protocol["context_utterances"], protocol["future_utterances"]) == (2, 0)
    assert protocol["speaker_names"] is True
    shutil.rmtree(checkpoint)
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)


def test_a_frozen_text_encoder_is_run_once(
    cli: Cli, text_alone: list[str], tmp_path: Path, tiny_bert: Path
) -> None:
    options = ["text_encoder=bert_base", f"text_encoder.checkpoint={tiny_bert}"]
    options += ["text_encoder.trainable=none", "text_encoder.layers=weighted"]
    first = cli("train", *text_alone, *options)
    assert "encoding" in first.stderr
    run = only_run(tmp_path)
    before = pd.read_parquet(run.predictions_file)
    again = cli("train", *text_alone, *options, "name=again")
    assert "encoding" not in again.stderr, "all runs share the features"
    pd.testing.assert_frame_equal(
        pd.read_parquet(only_run(tmp_path, "again").predictions_file), before
    )
    evaluated = cli("evaluate", f"run={run.path}")
    assert "encoding" not in evaluated.stderr, "the weighting is learnt, the features are the same"
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)


def test_without_a_checkpoint_nothing_is_fetched(
    cli: Cli, text_alone: list[str], tmp_path: Path
) -> None:
    size = [f"+text_encoder.architecture.{key}={value}" for key, value in TINY_BERT.items()]
    frozen = ["text_encoder=bert_base", "text_encoder.pretrained=false", *size]
    frozen += ["text_encoder.trainable=none", "text_encoder.pooling=mean"]
    cli("train", *text_alone, *frozen)
    run = only_run(tmp_path)
    before = pd.read_parquet(run.predictions_file)
    assert (run.assets("text_encoder") / "tokenizer.json").is_file()
    shutil.rmtree(tmp_path / "cache" / "features")
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(pd.read_parquet(run.predictions_file), before)
