"""An experiment composed in Python: what ``mmemo train`` would build, to be looked at or used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmemo.audio.prepared import PreparedCorpus
from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.folders import config_dir
from mmemo.runs.data_source import build_data_source, settle_labels
from mmemo.runs.encoders import Encoders
from mmemo.runs.experiment import Experiment
from mmemo.runs.initial_encoders import named_sources
from mmemo.runs.joint_option import with_joint_corpora
from mmemo.runs.label_overrides import with_own_labels
from mmemo.runs.overrides import make_paths_absolute, quoted, readable_by_hydra
from mmemo.runs.own_metrics import monitored_direction
from mmemo.training.module import EmotionModule


@dataclass(frozen=True)
class ExperimentParts:
    """What a run is trained with.

    Args:
        prepared: The corpus.
        encoders: Those of the model.
        module: The model in its training module, with the weights that training would begin with.
        datamodule: The loaders.
    """

    prepared: PreparedCorpus
    encoders: Encoders
    module: EmotionModule
    datamodule: EmotionDataModule


@dataclass(frozen=True)
class Composition:
    """A composed config, and what is built of it.

    Args:
        cfg: As ``mmemo train … --cfg job`` prints it.
    """

    cfg: DictConfig

    @property
    def experiment(self) -> Experiment:
        """Builds its parts one by one: encoders, module, trainer."""
        return Experiment(self.cfg)

    def prepare(self) -> PreparedCorpus:
        """Prepare what of the corpus is not prepared yet, and open it.

        Raises:
            InputError: As ``mmemo prepare`` does.
        """
        source = build_data_source(self.cfg)
        return source.prepare(source.read())

    def build(self) -> ExperimentParts:
        """Data and model as training has them before its first step.

        Raises:
            InputError: If settings do not fit together, the corpus cannot be prepared, or other
                runs are named, which training takes weights or answers from.
        """
        sources = named_sources(self.cfg)
        if sources:
            raise InputError(
                "build: expected a model that is made of no other run, got "
                f"{', '.join(f'{option}={folder}' for option, folder in sources.items())}; train "
                "with `mmemo train`, or compose with initial=none distillation=none"
            )
        settle_labels(self.cfg)
        experiment = self.experiment
        lightning.seed_everything(experiment.seed, workers=True, verbose=False)
        encoders = experiment.build_encoders()
        module = experiment.build_module(encoders)
        source = build_data_source(self.cfg)
        annotations = source.read()
        experiment.check(annotations, encoders, source.preparer)
        prepared = source.prepare(annotations)
        device = experiment.build_one_process_trainer().strategy.root_device
        datamodule = experiment.build_datamodule(prepared, encoders, device, module)
        return ExperimentParts(prepared, encoders, module, datamodule)


def compose_experiment(
    experiment: str | None, overrides: Sequence[str], run_dir: str | Path | None
) -> Composition:
    """Compose a training's config; arguments and errors as of ``mmemo.compose``."""
    # The one resolver of a training's config that looks at no running command.
    OmegaConf.register_new_resolver("direction", monitored_direction, replace=True)
    typed = with_own_labels(
        [readable_by_hydra(override) for override in with_joint_corpora(overrides)]
    )
    chosen = [f"experiment={experiment}"] if experiment is not None else []
    folder = Path(run_dir or Path("outputs") / (experiment or "train") / "python").absolute()
    place = f"run_dir={quoted(str(folder))}"
    cfg = composed_config("train", [*chosen, *typed, place])
    make_paths_absolute(cfg)
    return Composition(cfg)


def composed_config(command: str, overrides: Sequence[str]) -> DictConfig:
    """The config of a command, composed beside that of a command or program that is running.

    Args:
        command: Such as "train".
        overrides: As they are typed behind it.

    Raises:
        InputError: If they do not compose.
    """
    running, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(command, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(
            f"compose: expected settings of mmemo {command}, {error}; `mmemo {command} --help` "
            "shows them"
        ) from error
    finally:
        GlobalHydra.instance().hydra = running
