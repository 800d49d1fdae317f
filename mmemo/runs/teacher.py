"""What a trained run says of the utterances that another is trained on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.fusion import embedding_of
from mmemo.runs.data_card import check_same_data
from mmemo.runs.experiment import Experiment
from mmemo.runs.rebuilt_run import load_checkpoint, saved_parts
from mmemo.runs.source_run import OpenedSource
from mmemo.training.distillation import Distillation, Lessons, Responses, Teaching
from mmemo.training.module import EmotionModule

TEACHER_ROLE = "teacher"


def teach(
    sources: Mapping[str, OpenedSource],
    cfg: DictConfig,
    datamodule: EmotionDataModule,
    student: EmotionModule,
    device: torch.device,
) -> None:
    """Where there is a teacher, ask it about the training utterances, and have the student learn.

    It is asked once, and reads and hears them as it did in its own training: with the dialogue
    before it where it was trained so, and never augmented.

    Args:
        sources: The runs that the student is made of, by role.
        cfg: The student's config.
        datamodule: The student's data.
        student: The student.
        device: That the teacher computes on.

    Raises:
        InputError: If the teacher hears other sound, or gives vectors of another size than the
            student.
    """
    source = sources.get(TEACHER_ROLE)
    if source is None:
        return
    distillation: Distillation = instantiate(cfg.distillation, _convert_="all")
    config = source.config.copy()
    # Where the teacher has kept features may be another machine.
    config.feature_cache = cfg.feature_cache
    experiment = Experiment(config)
    with saved_parts(source.folder):
        encoders = experiment.build_encoders(source.folder)
        module = experiment.build_module(encoders)
    load_checkpoint(source.checkpoint, module)
    if encoders.audio is not None:
        check_same_data(source.folder, datamodule.prepared)
    data = experiment.build_datamodule(datamodule.prepared, encoders, device, module)
    lessons = answered_lessons(module, data, device)
    check_size(distillation, lessons, student)
    print(
        f"teacher: {source.folder.path.name} teaches {len(lessons.places)} of "
        f"{len(datamodule.datasets['train'].rows)} training utterances",
        flush=True,
    )
    student.teaching = Teaching(distillation, lessons)


def answered_lessons(
    module: EmotionModule, datamodule: EmotionDataModule, device: torch.device
) -> Lessons:
    """What a model says of its training split, in float32, with nothing random."""
    module.eval().to(device)
    classifier = module.classifier
    assert isinstance(classifier, EmotionClassifier)
    keys: list[str] = []
    logits, vectors = [], []
    with torch.inference_mode():
        for batch in datamodule.whole_dataloader("train"):
            batch = batch.to(device)
            fused = classifier.fuse(classifier.encode(batch))
            keys += batch.keys
            # Of a dialogue's utterances those behind the batch's own are context alone.
            logits.append(classifier.answer(fused, batch.dialogues)[: len(batch)].float().cpu())
            vectors.append(embedding_of(fused)[: len(batch)].float().cpu())
    places = {key: place for place, key in enumerate(keys)}
    # Clones are no tensors of inference: a loss may look at them.
    return Lessons(places, Responses(torch.cat(logits).clone(), torch.cat(vectors).clone()))


def check_size(distillation: Distillation, lessons: Lessons, student: EmotionModule) -> None:
    """Check that a student's vectors can be held against its teacher's.

    Raises:
        InputError: If they are compared and have other sizes.
    """
    theirs = lessons.responses.vectors.shape[1]
    ours = getattr(getattr(student.classifier, "fusion", None), "embedding_dim", None)
    if distillation.feature_weight > 0 and ours != theirs:
        raise InputError(
            f"distillation.feature_weight: expected a teacher whose fusion gives as many features "
            f"as the student's ({ours}), it gives {theirs}; set fusion.bottleneck_dim as there, or "
            "distillation.feature_weight=0"
        )
