"""From a composed config to objects."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import pandas as pd
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.leaks import LEAKY, check_disjoint
from mmemo.corpora.splits import SplitProtocol
from mmemo.corpora.utterance import SPLITS, LabelSet
from mmemo.data.datamodule import EmotionDataModule, check_loading
from mmemo.errors import InputError
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.feature_cache import FeatureCache
from mmemo.models.protocols import AudioEncoder, TextEncoder
from mmemo.runs.input_errors import settings_of
from mmemo.runs.run_folder import RunFolder
from mmemo.training.interruption import Interruption
from mmemo.training.losses import CrossEntropy, build_torch_loss
from mmemo.training.module import EmotionModule

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true")
SHORT_PRECISIONS = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}


@dataclass
class Encoders:
    """The two encoders; one may be left out."""

    audio: AudioEncoder | None
    text: TextEncoder | None

    def named(self) -> dict[str, AudioEncoder | TextEncoder]:
        """Those that are there, by the name of their option."""
        both = {"audio_encoder": self.audio, "text_encoder": self.text}
        return {name: encoder for name, encoder in both.items() if encoder is not None}


def build_encoders(cfg: DictConfig, run: RunFolder | None = None) -> Encoders:
    """Both encoders; with a run, from what it saved beside its weights."""

    def build(name: str) -> Any:  # noqa: ANN401
        assets: dict[str, Path] = {}
        if run is not None:
            run.check_digest(run.assets(name))
            if run.assets(name).is_dir():
                assets["assets_dir"] = run.assets(name)
        return instantiate(cfg[name], _convert_="all", **assets) if cfg[name] else None

    return Encoders(build("audio_encoder"), build("text_encoder"))


def build_module(cfg: DictConfig, encoders: Encoders, labels: LabelSet) -> EmotionModule:
    """The classifier over the encoders, in its training module."""
    classifier = instantiate(
        cfg.classifier,
        _convert_="all",
        audio_encoder=encoders.audio,
        text_encoder=encoders.text,
        fusion=instantiate(cfg.fusion, _convert_="all"),
        num_classes=len(labels),
    )
    if cfg.compile:
        # In place: the names of the weights stay the same.
        classifier.compile(dynamic=True)
    module: EmotionModule = instantiate(
        cfg.module,
        _convert_="all",
        classifier=classifier,
        num_classes=len(labels),
        loss=build_loss(cfg.loss),
        optimizer=instantiate(cfg.optimizer, _convert_="all"),
        scheduler=instantiate(cfg.scheduler, _convert_="all"),
    )
    return module


def is_own_loss(target: object) -> bool:
    """Whether a loss tells how much each utterance counts, and not its mean alone."""
    return all(hasattr(target, name) for name in ("use_class_counts", "weights"))


def build_loss(cfg: DictConfig) -> CrossEntropy:
    """The training loss: one of mmemo's kind, or any of torch's over logits and class indices.

    Raises:
        InputError: If it cannot be built, or is of another kind.
    """
    target = get_object(cfg["_target_"])
    if is_own_loss(target):
        loss: CrossEntropy = instantiate(cfg, _convert_="all")
        return loss
    settings = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    return build_torch_loss(target, {k: v for k, v in settings.items() if k != "_target_"})


def _build_callbacks(cfg: DictConfig) -> list[lightning.Callback]:
    chosen = (cfg.callbacks or {}).values()
    callbacks = [instantiate(c, _convert_="all") for c in chosen if c is not None]
    # The state that it saves is the one behind what all others do after a step.
    return sorted(callbacks, key=lambda callback: isinstance(callback, Interruption))


def build_trainer(cfg: DictConfig, **changes: Any) -> lightning.Trainer:  # noqa: ANN401
    """Lightning's trainer, with the callbacks that are not null, and some of its settings changed.

    Raises:
        InputError: If it or a callback cannot be built, or its precision is unknown, cannot be
            trained in, or is not that device's.
    """
    asked = str(cfg.trainer.precision or "32-true")
    precision = SHORT_PRECISIONS.get(asked, asked)
    if precision == "16-true":
        raise InputError(
            "precision: expected one in which AdamW can train, got 16-true: what it divides by, "
            "the squared gradients, is rounded to 0 in float16; set precision=bf16-true, which is "
            "as small, or bf16-mixed"
        )
    if precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got '{asked}'")
    callbacks = changes.pop("callbacks") if "callbacks" in changes else _build_callbacks(cfg)
    build = instantiate(cfg.trainer, _convert_="all", _partial_=True, callbacks=None, **changes)
    with settings_of("trainer"):
        # Objects are given to the trainer itself: a config cannot hold them.
        trainer: lightning.Trainer = build(callbacks=callbacks)
    if trainer.precision != precision:
        raise InputError(
            f"precision={asked}: expected a GPU, got a CPU, on which Lightning trains in "
            f"{trainer.precision} instead; set precision={trainer.precision}"
        )
    return trainer


def build_plain_datamodule(
    cfg: DictConfig, prepared: PreparedCorpus, encoders: Encoders, labels: LabelSet
) -> EmotionDataModule:
    """Loaders that hand out sound and tokens, whether an encoder is frozen or not."""
    datamodule: EmotionDataModule = instantiate(
        cfg.data,
        _convert_="all",
        prepared=prepared,
        labels=labels,
        audio_encoder=encoders.audio,
        text_encoder=encoders.text,
    )
    if encoders.text is not None:
        encoders.text.fit(datamodule.datasets["train"].transcripts)
    return datamodule


def build_datamodule(
    cfg: DictConfig,
    prepared: PreparedCorpus,
    encoders: Encoders,
    labels: LabelSet,
    device: torch.device,
    module: EmotionModule,
) -> EmotionDataModule:
    """Loaders over the prepared corpus, and what the text encoder learns of the training split.

    A frozen encoder's pooled features are handed out in place of what it encodes, unless the
    module's fusion needs frames.
    """
    datamodule = build_plain_datamodule(cfg, prepared, encoders, labels)
    frozen = [name for name, encoder in encoders.named().items() if encoder.frozen]
    if frozen and cast(EmotionClassifier, module.classifier).fusion.needs_frames:
        for name in frozen:
            print(f"the frozen {name} is run at every step: this fusion needs its frames")
        return datamodule
    cache: FeatureCache = instantiate(cfg.feature_cache, _convert_="all")
    for name in frozen:
        settings = OmegaConf.to_yaml(cfg[name], resolve=True, sort_keys=True)
        if name == "audio_encoder":
            audio = cast(AudioEncoder, encoders.audio)
            features = cache.audio_features(audio, settings, datamodule, device)
            datamodule.use_audio_features(features)
        else:
            text = cast(TextEncoder, encoders.text)
            features = cache.text_features(text, settings, datamodule, device)
            datamodule.use_text_features(features)
    return datamodule


def check_settings(
    cfg: DictConfig,
    annotations: Annotations,
    labels: LabelSet,
    encoders: Encoders,
    preparer: Preparer,
) -> None:
    """Find settings that do not fit together, before anything is decoded.

    Raises:
        InputError: If a class does not occur, the annotations cannot be split as the protocol
            says, a class to be weighed is not trained, the rates differ, clips are longer than
            the audio encoder takes, or a batch is empty.
    """
    data = cfg.data
    check_loading(
        data.batch_size,
        data.eval_batch_size,
        data.max_duration_s,
        data.num_workers,
        data.get("bucket_batches", 0),
        data.get("min_duration_s", 0.0),
        data.seed,
    )
    _check_split(cfg, annotations, labels)
    audio = encoders.audio
    if audio is not None and audio.sample_rate != preparer.sample_rate:
        raise InputError(
            f"preparer.sample_rate: expected the audio encoder's {audio.sample_rate} Hz, got "
            f"{preparer.sample_rate} Hz; set preparer.sample_rate={audio.sample_rate}"
        )
    max_samples = round(cfg.data.max_duration_s * preparer.sample_rate)
    if audio is not None and audio.fixed_samples is not None and audio.fixed_samples < max_samples:
        raise InputError(
            f"data.max_duration_s: expected at most the audio encoder's fixed_duration_s "
            f"({audio.fixed_samples / audio.sample_rate} s), got {cfg.data.max_duration_s} s"
        )
    if cfg.data.max_duration_s > preparer.max_duration_s:
        raise InputError(
            f"data.max_duration_s: expected at most preparer.max_duration_s "
            f"({preparer.max_duration_s:g} s), where sound is cut before, got "
            f"{cfg.data.max_duration_s:g} s; raise that one too"
        )


def _check_split(cfg: DictConfig, annotations: Annotations, labels: LabelSet) -> None:
    """Split the annotations, and weigh the classes, as if every clip had sound."""
    rows = annotations.frame()
    found = set(rows[labels.column].dropna())
    absent = [name for name in labels.classes if name not in found]
    if absent:
        raise InputError(
            f"labels={labels.name}: expected utterances of every class in the corpus "
            f"{annotations.corpus}, found none of {', '.join(absent)} ({labels.column} there: "
            f"{', '.join(sorted(found)) or 'empty'}); choose other labels"
        )
    split: SplitProtocol = instantiate(cfg.split, _convert_="all")
    rows = split.assign(rows[rows[labels.column].isin(labels.classes)], labels.column)
    check_disjoint(rows, split)
    for name in SPLITS:
        if not (rows["split"] == name).any():
            raise InputError(
                f"split={split.name}: expected utterances of {', '.join(labels.classes)} in the "
                f"split '{name}' of the corpus {annotations.corpus}, found none; choose another "
                "split or other labels"
            )
        _tell_absent(rows, labels, name)
    trained = rows.loc[rows["split"] == "train", labels.column].tolist()
    loss = build_loss(cfg.loss)
    loss.use_class_counts([trained.count(name) for name in labels.classes])


def _tell_absent(rows: pd.DataFrame, labels: LabelSet, split: str) -> None:
    """Say of which classes a split has no utterance: it can be run, and means less."""
    found = set(rows.loc[rows["split"] == split, labels.column])
    absent = [name for name in labels.classes if name not in found]
    if absent:
        what = "none can be learnt" if split == "train" else "their scores are of nothing"
        print(
            f"mmemo: the split '{split}' has no utterance of {', '.join(absent)}: {what}",
            file=sys.stderr,
        )


def check_run_name(cfg: DictConfig, path: Path) -> None:
    """A run of a leaky split protocol says so in its folder's name.

    Raises:
        InputError: If it does not.
    """
    split: SplitProtocol = instantiate(cfg.split, _convert_="all")
    if split.leaky and LEAKY not in path.name:
        raise InputError(
            f"{path}: expected {LEAKY} in the name of a run with split={split.name}, got "
            f"'{path.name}'; name it {path.name}-{LEAKY}"
        )
