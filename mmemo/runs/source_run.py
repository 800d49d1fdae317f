"""A trained run that another one is made of: opened, held against that one, its encoder taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.predictions import classes_of, read_predictions
from mmemo.evaluation.protocol import SourceRun
from mmemo.models.classifier import EmotionClassifier
from mmemo.runs.initial_encoders import TEACHER, named_sources, taken_parts
from mmemo.runs.rebuilt_run import checkpoint_weights
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint, file_digest
from mmemo.runs.saved_config import names_to_trust, read_saved_config, trusted_names

READ_BY = {
    "text": (
        *("text_encoder", "text_cleaning", "data.context_utterances", "data.future_utterances"),
        "data.speaker_names",
    ),
    "audio": ("audio_encoder", "denoiser", "preparer.sample_rate", "data.max_duration_s"),
}
"""By modality the settings that decide what an encoder is and what it is given."""


@dataclass(frozen=True)
class OpenedSource:
    """A trained run, read as data and not built yet.

    Args:
        option: What names it: "distillation.teacher", "initial.text".
        folder: The run's.
        checkpoint: The chosen one, as it was written.
        config: Its own, resolved; it builds nothing but what is trusted.
    """

    option: str
    folder: RunFolder
    checkpoint: Path
    config: DictConfig

    @property
    def role(self) -> str:
        """What it is to the other run: "teacher", "text", "audio"."""
        return self.option.rpartition(".")[2]

    @property
    def described(self) -> SourceRun:
        """What is told of it in the other run."""
        return SourceRun(self.folder.path.name, file_digest(self.checkpoint))


def open_sources(
    run: RunFolder, cfg: DictConfig, is_checked: bool = False
) -> dict[str, OpenedSource]:
    """Open the runs that a training still needs, by role.

    Args:
        run: The training's: what is trained needs none any more, and what has begun has encoders.
        cfg: Its config; they may build what it trusts beside what mmemo's own configs do.
        is_checked: Whether the first process has opened them so: the others' config, which is
            the saved one, trusts nothing.

    Raises:
        InputError: If one is no trained run, is damaged, would build what is not trusted, has
            other classes or another split, or an encoder that is not the one wanted.
    """
    found: dict[str, OpenedSource] = {}
    if run.read_info().checkpoint is not None:
        return found
    trusted = trusted_names(cfg.get("trust"))
    for option, path in named_sources(cfg).items():
        if option != TEACHER and run.last_checkpoint.is_file():
            continue
        folder = RunFolder.open(path)
        if is_checked:
            trusted = tuple(names_to_trust(folder) or ())
        checkpoint = chosen_checkpoint(folder)
        config = read_saved_config(folder, trusted).resolved
        folder.check_digest(checkpoint, "the checkpoint of this run")
        source = OpenedSource(option, folder, checkpoint, config)
        _check_same_split_settings(source, cfg)
        if source.role in READ_BY:
            _check_same_encoder(source, cfg)
        found[source.role] = source
    return found


def _check_same_split_settings(source: OpenedSource, cfg: DictConfig) -> None:
    wanted, found = (
        OmegaConf.to_container(one.split, resolve=True) for one in (cfg, source.config)
    )
    if wanted != found:
        raise InputError(
            f"{source.option}: expected a run of the split that this one has ({_plain(wanted)}), "
            f"{source.folder.path} was trained on another ({_plain(found)}) and would know of "
            "utterances that are tested here; train both on one split"
        )


def _plain(settings: object) -> str:
    pairs = settings.items() if isinstance(settings, Mapping) else ()
    return ", ".join(f"{key}={value}" for key, value in pairs if key != "_target_")


def _check_same_encoder(source: OpenedSource, cfg: DictConfig) -> None:
    for key in READ_BY[source.role]:
        wanted, found = _flat(cfg, key), _flat(source.config, key)
        for name in [*wanted, *(name for name in found if name not in wanted)]:
            if wanted.get(name) != found.get(name):
                raise InputError(
                    f"{source.option}: expected {name}={found.get(name)} as in "
                    f"{source.folder.path}, got {wanted.get(name)}; choose what that run was "
                    "trained with, or another run"
                )


def _flat(cfg: DictConfig, key: str) -> dict[str, object]:
    """A setting, or each setting of a part, by its whole name."""
    value = OmegaConf.select(cfg, key)
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=True)
    if not isinstance(value, Mapping):
        return {key: value}
    return {f"{key}.{name}": part for name, part in value.items()}


def check_same_rows(source: OpenedSource, datamodule: EmotionDataModule) -> None:
    """Check that a run was trained on none of the utterances that another is evaluated on.

    Told by the keys of its own predictions: what it did not evaluate it may have learnt from. Only
    what it cannot have read, words that are not there, may be missing among them.

    Args:
        source: That run.
        datamodule: The other's data.

    Raises:
        InputError: If the run was not evaluated, has other classes, or its validation and test are
            other utterances or have other labels.
    """
    table = read_predictions(source.folder.predictions_file)
    labels = datamodule.labels
    if classes_of(table) != list(labels.classes):
        raise InputError(
            f"{source.option}: expected a run with this one's classes "
            f"({', '.join(labels.classes)}, in this order), {source.folder.path} has "
            f"{', '.join(classes_of(table))}; train both with the same labels"
        )
    rows = datamodule.rows
    evaluated = table.set_index("key")
    split_there = rows["key"].map(evaluated["split"]).fillna("train")
    split_here = rows["split"]
    could_read = source.config.text_encoder is None or rows["transcript"].fillna("") != ""
    is_other = (split_here != split_there) & could_read
    label_there = rows["key"].map(evaluated["target"])
    is_other |= label_there.notna() & (label_there != rows[labels.column])
    if is_other.any():
        raise InputError(_other_rows(source, rows[is_other], len(rows)))


def _other_rows(source: OpenedSource, rows: pd.DataFrame, num: int) -> str:
    return (
        f"{source.option}: expected a run with this one's corpus, split and labels, "
        f"{source.folder.path} has {len(rows)} of its {num} utterances elsewhere or with another "
        f"label (such as {rows['key'].iloc[0]}, here in {rows['split'].iloc[0]}): it may have "
        "learnt from what is tested here; train both on the same corpus with the same settings"
    )


def check_sources(
    run: RunFolder, sources: Mapping[str, OpenedSource], datamodule: EmotionDataModule
) -> None:
    """Hold the runs that another is made of against its rows; note in it which they are.

    Args:
        run: The other one.
        sources: By role.
        datamodule: The other one's data.

    Raises:
        InputError: As ``check_same_rows`` does, or if one is not that which the run began with.
    """
    known = dict(run.read_info().sources)
    for role, source in sources.items():
        check_same_rows(source, datamodule)
        begun_with = known.setdefault(role, source.described)
        if begun_with.sha256 != source.described.sha256:
            raise InputError(
                f"{source.option}: expected the run that {run.path.name} began with "
                f"({begun_with.run}), {source.folder.path} has another checkpoint; restore it, or "
                "start a new run"
            )
    run.write_info(sources=known)


def take_encoders(sources: Mapping[str, OpenedSource], classifier: EmotionClassifier) -> None:
    """Give a classifier the encoders of other runs, and what is of their modality in the fusion.

    Args:
        sources: By role; a teacher keeps its own.
        classifier: With encoders as those runs have them.

    Raises:
        InputError: If a run has no such part, or one of another size.
    """
    for source in sources.values():
        if source.option != TEACHER:
            _take(source, classifier)


def _take(source: OpenedSource, classifier: EmotionClassifier) -> None:
    weights = checkpoint_weights(source.checkpoint)
    for name, part in taken_parts(classifier, source.role).items():
        prefix = f"classifier.{name}."
        found = {
            key.removeprefix(prefix): value
            for key, value in weights.items()
            if key.startswith(prefix)
        }
        wanted = part.state_dict()
        if _sizes(found) != _sizes(wanted):
            raise InputError(
                f"{source.option}: expected {name} with weights of the sizes that it has here "
                f"({_said(wanted)}), {source.folder.path} has {_said(found)}; choose the fusion's "
                "settings as there (fusion.bottleneck_dim, fusion.standardise), and of that run a "
                "fusion that projects each modality (fusion=bottleneck)"
            )
        part.load_state_dict(found)


def _sizes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _said(weights: Mapping[str, Tensor]) -> str:
    sizes = [f"{name} {'x'.join(map(str, size))}" for name, size in _sizes(weights).items()]
    shown = ", ".join(sizes[:3]) or "none"
    return shown if len(sizes) <= 3 else f"{shown} and {len(sizes) - 3} more"
