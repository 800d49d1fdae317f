"""A run as a folder for Hugging Face's hub, which is a run folder itself and opens as one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from safetensors.torch import save_file

from mmemo.documents import write_document
from mmemo.export.clips import Clip
from mmemo.export.model_card import CardFacts, model_card
from mmemo.folders import write_whole
from mmemo.runs.overrides import CHECKPOINT_KEYS, PATH_KEYS
from mmemo.runs.rebuilt_run import RebuiltModel, load_checkpoint
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint
from mmemo.version import __version__

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"


class HuggingFaceFolder:
    """Writes a run as a folder with weights, config, tokenizer and a model card.

    Args:
        licence: Of the model, by its identifier on the hub; None where it is not said.
        corpus_licence: What the corpus' terms are, in words; None for what its file in
            ``conf/corpus`` says of them.
    """

    name = "huggingface"
    num_clips = 0

    def __init__(self, licence: str | None = None, corpus_licence: str | None = None) -> None:
        self.licence = licence
        self.corpus_licence = corpus_licence

    def write(
        self, model: RebuiltModel, clips: Sequence[Clip], kind: str, folder: Path
    ) -> list[str]:
        """Write the folder.

        Args:
            model: The run's.
            clips: None are needed.
            kind: Of those.
            folder: An empty folder.

        Returns:
            What is to be told.
        """
        source, target = model.folder, RunFolder(folder)
        epoch = load_checkpoint(chosen_checkpoint(source), model.module)
        _write_info(source, target)
        _copy_assets(source, target)
        weights = {
            name: tensor.detach().cpu().contiguous().clone()
            for name, tensor in model.module.state_dict().items()
        }
        with target.sealed(folder / WEIGHTS_FILE):
            metadata = {"format": "pt", "epoch": str(epoch)}
            save_file(weights, folder / WEIGHTS_FILE, metadata=metadata)
        with target.sealed(target.composed_config_file):
            OmegaConf.save(_portable_config(source), target.composed_config_file)
        card = source.read_data_card()
        prepared = replace(card.prepared, folder=card.prepared.name)
        with target.sealed(target.data_file):
            write_document(target.data_file, replace(card, prepared=prepared, skipped=()))
        metrics = source.read_metrics()
        write_document(target.metrics_file, metrics)
        write_whole(folder / CONFIG_FILE, _config_text(model, metrics.protocol.classes))
        facts = CardFacts.of(source, self.licence, self.corpus_licence)
        write_whole(folder / CARD_FILE, model_card(facts))
        described = ["a run folder without pickle: `mmemo predict` takes it as run=DIR"]
        if self.licence is None:
            described.append("no licence is named: format.licence=IDENTIFIER")
        if not (self.corpus_licence or card.prepared.licence):
            described.append("the corpus' terms are not named: format.corpus_licence='…'")
        return described


def _write_info(source: RunFolder, target: RunFolder) -> None:
    """What happened to the run, without where and on which machine."""
    info = source.read_info()
    described = replace(info, process=None, wandb=None, digests={}, checkpoint=WEIGHTS_FILE)
    write_document(target.info_file, described)


def _copy_assets(source: RunFolder, target: RunFolder) -> None:
    """What encoders and denoiser have saved beside the weights."""
    names = {name.partition("/")[0] for name in source.read_info().digests if "/" in name}
    for name in sorted(names):
        folder = source.assets(name)
        if folder.is_dir() and name not in ("checkpoints",) and not name.startswith("on_"):
            with target.sealed(target.assets(name)):
                shutil.copytree(folder, target.assets(name))


def _portable_config(source: RunFolder) -> Any:  # noqa: ANN401
    """The config as it was composed, with the last parts alone of paths on this machine."""
    config = OmegaConf.load(source.composed_config_file)
    config.run_dir = "."
    for key in (*PATH_KEYS, *CHECKPOINT_KEYS):
        value = OmegaConf.select(config, key, throw_on_resolution_failure=False)
        if isinstance(value, str) and Path(value).is_absolute():
            OmegaConf.update(config, key, Path(value).name)
    return config


def _config_text(model: RebuiltModel, classes: Sequence[str]) -> str:
    """What the hub reads of a model; mmemo itself builds it from ``composed.yaml``."""
    protocol = model.folder.read_metrics().protocol
    config = {
        "model_type": "mmemo",
        "architectures": ["EmotionClassifier"],
        "mmemo_version": __version__,
        "id2label": {str(index): name for index, name in enumerate(classes)},
        "label2id": {name: index for index, name in enumerate(classes)},
        "audio_encoder": protocol.audio_encoder,
        "text_encoder": protocol.text_encoder,
        "sampling_rate": model.preprocessing.sample_rate,
        "max_duration_s": model.preprocessing.max_duration_s,
    }
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"
