"""What can be known of a command's config before torch is imported, which takes seconds.

A wrong path or name is answered at once. The commands find all of it themselves where they use it;
here it is only looked at.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from mmemo.errors import InputError
from mmemo.extras import check_package
from mmemo.runs.group_choices import check_system
from mmemo.runs.initial_encoders import named_sources
from mmemo.runs.run_folder import RunFolder, chosen_checkpoint
from mmemo.runs.settings import SOURCE_RUNS
from mmemo.training.monitored_scores import MonitoredScores

if TYPE_CHECKING:
    # Imported by the checks that need pandas.
    from mmemo.audio.prepared import PreparedCorpus
    from mmemo.explanation.selection import Selection

MAX_LEARNING_RATE = 1.0

NAMED_OPTIONS = ("labels", "loss", "split")
"""Groups whose ``name`` stands in every result for the option that was chosen."""

ENCODERS = ("audio_encoder", "audio_encoder.speech", "text_encoder")
"""Where an encoder stands; one of sound may be built over another."""

EXTRAS = {
    "mmemo.models.egemaps_encoder.EgemapsEncoder": ("opensmile", "egemaps"),
    "mmemo.export.onnx_graph.OnnxGraph": ("onnx", "export"),
    "lightning.pytorch.loggers.TensorBoardLogger": ("tensorboard", "tensorboard"),
    "lightgbm.LGBMClassifier": ("lightgbm", "lightgbm"),
    "mmemo.models.shapley_selection.ShapleySelection": ("shap", "shap"),
}
"""By target the package that it needs and the extra that installs it."""

OF_THE_CORPUS = ("keys", "one_per_class", "errors", "num_random", "all", "probes", "prepared")
"""Options of ``mmemo explain`` that choose among the utterances of the run's corpus."""

PREDICTING_EXTRAS = {"segments": ("silero_vad", "vad")}
"""By option of ``mmemo predict`` the package that it needs and the extra that installs it."""

AUTO = "auto"  # of the runs of other seeds: those beside the run

WANDB_LOGGER = "mmemo.training.wandb_logger.TolerantWandbLogger"


def check_early(command: str, cfg: DictConfig) -> None:
    """Check what a command is pointed at.

    Args:
        command: Its name.
        cfg: Its config, paths absolute.

    Raises:
        InputError: If a path leads nowhere, or there is nothing of a name.
    """
    checks = {
        "train": _check_training,
        "evaluate": _check_evaluation,
        "explain": _check_explaining,
        "predict": _check_predicting,
        "serve": _check_serving,
        "stress": _check_stress,
        "export": _check_exporting,
    }
    if command in checks:
        checks[command](cfg)


def _check_training(cfg: DictConfig) -> None:
    if cfg.resume:
        check_unfinished(RunFolder.open(cfg.resume))
        return
    sources = named_sources(cfg)
    if cfg.trust and not sources:
        raise InputError(
            f"trust: expected resume=RUN or a run that this one is made of "
            f"({', '.join(SOURCE_RUNS)}) beside it, got none; a new run builds what it is told"
        )
    check_values(cfg)
    _check_packages(cfg)
    from mmemo.runs.data_source import CheckedCorpus, build_data_source

    for part in ("labels", "split"):
        instantiate(cfg[part], _convert_="all")
    for folder in sources.values():
        chosen_checkpoint(RunFolder.open(folder))
    source = build_data_source(cfg)
    if isinstance(source.corpus, CheckedCorpus):
        source.corpus.check()
    if source.denoiser is not None:
        # It is of the model's file, which has to be there.
        str(source.denoiser.version)
    # At the end: the hub may take its time to answer.
    _check_checkpoints(cfg)


def _check_packages(cfg: DictConfig) -> None:
    """Look for what the extras install, without importing it."""
    of_estimators = ("classifier.model", "classifier.feature_selection")
    for option in (*ENCODERS, "logger", *of_estimators):
        part = OmegaConf.select(cfg, option)
        if not part:
            continue
        package, extra = EXTRAS.get(part.get("_target_"), ("", ""))
        if package:
            check_package(option, package, extra)
        if part.get("trainable") == "lora":
            check_package(f"{option}.trainable=lora", "peft", "lora")


def _check_checkpoints(cfg: DictConfig) -> None:
    """Look for pretrained encoders: in their folders, in the cache, on the hub."""
    from mmemo.models.checkpoints import Checkpoint

    for option in ENCODERS:
        part = OmegaConf.select(cfg, option)
        if part and part.get("checkpoint"):
            checkpoint = Checkpoint(
                part.checkpoint,
                option,
                pretrained=part.get("pretrained", True),
                revision=part.get("revision"),
                safetensors_only=part.get("safetensors_only", True),
            )
            checkpoint.check_place()


def _check_evaluation(cfg: DictConfig) -> None:
    if cfg.get("corpus") is None:
        run, _ = _opened_run(cfg)
    else:
        # The corpus of the training may be gone.
        run = RunFolder.open(cfg.run)
        chosen_checkpoint(run)
    if cfg.missing is not None:
        from mmemo.runs.missing_modality import check_missing
        from mmemo.runs.saved_config import read_saved_config, trusted_names

        saved = read_saved_config(run, trusted_names(cfg.trust))
        check_missing(run, saved.resolved, cfg.missing)


def _check_runs(cfg: DictConfig) -> None:
    given = cfg.run if isinstance(cfg.run, ListConfig) else [cfg.run]
    for name in given:
        path = Path(str(name)).expanduser()
        # A folder of several runs is looked into where they are read.
        if not path.is_dir() or (path / RunFolder.INFO_NAME).is_file():
            chosen_checkpoint(RunFolder.open(path))


def _check_predicting(cfg: DictConfig) -> None:
    _check_runs(cfg)
    for option, (package, extra) in PREDICTING_EXTRAS.items():
        if cfg.get(option):
            check_package(option, package, extra)
    _check_input(cfg)


def _check_input(cfg: DictConfig) -> None:
    if cfg.input is not None and not Path(cfg.input).expanduser().exists():
        raise InputError(
            f"input: expected a file, a folder or a CSV, {cfg.input} is not there; correct the path"
        )


def _check_stress(cfg: DictConfig) -> None:
    _opened_run(cfg)
    from mmemo.evaluation.units import check_unit

    check_unit(cfg.unit)


def _check_serving(cfg: DictConfig) -> None:
    check_package("serve", "gradio", "serve")
    _check_runs(cfg)


def _check_exporting(cfg: DictConfig) -> None:
    chosen_checkpoint(RunFolder.open(cfg.run))
    package, extra = EXTRAS.get(cfg.format["_target_"], ("", ""))
    if package:
        check_package("format", package, extra)


def has_user_input(cfg: DictConfig) -> bool:
    """Whether ``mmemo explain`` is asked about something of the user's, and not of the corpus."""
    return cfg.get("input") is not None or cfg.get("text") is not None


def _check_explaining_input(cfg: DictConfig) -> None:
    chosen_checkpoint(RunFolder.open(cfg.run))
    _check_input(cfg)
    other_runs(cfg)
    _check_explaining_logger(cfg)
    from mmemo.explanation.selection import TRUE, get_output

    get_output(cfg.explainer.output)
    chosen = [name for name in OF_THE_CORPUS if cfg[name]]
    if chosen:
        raise InputError(
            f"{chosen[0]}: expected utterances of the run's corpus, or input and text, got both; "
            "leave one out"
        )
    if target_of(cfg) == TRUE:
        raise InputError(
            "target: expected predicted or a class beside input, got 'true', which nobody has "
            "annotated; name the class"
        )


def _check_explaining(cfg: DictConfig) -> None:
    if has_user_input(cfg):
        _check_explaining_input(cfg)
        return
    if cfg.get("asr"):
        raise InputError("asr: expected input beside it, got none; name a file, a folder or a CSV")
    run, prepared = _opened_run(cfg)
    other_runs(cfg)
    _check_explaining_logger(cfg)
    from mmemo.evaluation.predictions import classes_of, read_predictions
    from mmemo.explanation.selection import check_target, get_output, no_such_key

    get_output(cfg.explainer.output)
    table = read_predictions(run.predictions_file)
    check_target(target_of(cfg), classes_of(table))
    # Training utterances may be explained too; a copy is called after its source.
    known = {*table["key"], *prepared.manifest["key"]}
    for key in selection_of(cfg).choose(table):
        if not {key, key.rpartition("#")[0]} & known:
            raise no_such_key(key, table["key"].iloc[-1])


def _opened_run(cfg: DictConfig) -> tuple[RunFolder, PreparedCorpus]:
    """The run, trained, and the data that it was trained on."""
    run = RunFolder.open(cfg.run)
    chosen_checkpoint(run)
    from mmemo.audio.prepared import PreparedCorpus
    from mmemo.runs.data_card import check_same_data

    prepared = PreparedCorpus(Path(cfg.prepared or run.read_data_card().prepared.folder))
    check_same_data(run, prepared)
    return run, prepared


def _check_explaining_logger(cfg: DictConfig) -> None:
    """Refuse the loggers that are known to be others; one of the user's may be W&B's, extended."""
    target = cfg.logger["_target_"] if cfg.logger else WANDB_LOGGER
    if target != WANDB_LOGGER and target.partition(".")[0] in ("mmemo", "lightning"):
        raise not_wandb(target)


def not_wandb(target: str) -> InputError:
    """What to raise for a logger that explanations are not given to."""
    name = target.rpartition(".")[2]
    return InputError(
        f"logger: expected wandb or none, got {name}; explanations are files for all others"
    )


def selection_of(cfg: DictConfig) -> Selection:
    """The utterances that ``mmemo explain`` is asked for.

    Raises:
        InputError: If a number is below 1, or there is no such split.
    """
    from mmemo.explanation.selection import Selection

    # As an attribute it would be the method of a mapping.
    keys = cfg["keys"]
    return Selection(
        keys=[str(key) for key in (keys if isinstance(keys, ListConfig) else [keys])],
        one_per_class=cfg.one_per_class,
        errors=cfg.errors,
        num_random=cfg.num_random,
        all_utterances=cfg.all,
        split=cfg.explained_split,
        seed=cfg.seed,
    )


def target_of(cfg: DictConfig) -> str:
    """The class that is explained, as typed: Hydra reads the word "true" as a truth value."""
    return str(cfg.target).lower() if isinstance(cfg.target, bool) else str(cfg.target)


def other_runs(cfg: DictConfig) -> list[RunFolder]:
    """The runs of other seeds that were named for the checks.

    Raises:
        InputError: If one of them is none.
    """
    if not cfg.faithfulness or cfg.other_seeds == AUTO:
        return []
    given = cfg.other_seeds if isinstance(cfg.other_seeds, ListConfig) else [cfg.other_seeds]
    return [RunFolder.open(path) for path in given if path is not None]


def check_unfinished(run: RunFolder) -> None:
    """Check that a run can be continued.

    Raises:
        InputError: If it is finished.
    """
    if run.read_info().status == "finished":
        raise InputError(
            f"{run.path}: expected a run that was interrupted, it is finished; evaluate it "
            f"again with {run.command('evaluate', 'run')}"
        )


def check_values(cfg: DictConfig) -> None:
    """Check values of a training's config that nothing has to be built for.

    Raises:
        InputError: If a callback watches what is no score, a rate is out of range, an option was
            given another option's name, or a system another's part.
    """
    _check_names(cfg)
    _check_rates(cfg)
    if OmegaConf.select(cfg, "callbacks.checkpoint") is None:
        raise InputError(
            "callbacks.checkpoint: expected a ModelCheckpoint, which chooses the evaluated "
            "weights, got none; leave it as it is"
        )
    _check_compiled(cfg)
    _check_callbacks(cfg)


def _check_names(cfg: DictConfig) -> None:
    if not HydraConfig.initialized():
        return
    hydra = HydraConfig.get()
    check_system(hydra.runtime.choices)
    typed = dict(o.lstrip("+").partition("=")[::2] for o in hydra.overrides.task)
    for group in NAMED_OPTIONS:
        chosen = hydra.runtime.choices.get(group)
        name = OmegaConf.select(cfg, f"{group}.name")
        others = [key for key in typed if key.lstrip("~").startswith(f"{group}.")]
        alone = others == [f"{group}.name"]
        if alone and chosen is not None and name != chosen:
            raise InputError(
                f"{group}.name: expected '{chosen}', the name of what is chosen, got '{name}', "
                f"which would change the name alone; choose with {group}=NAME"
            )


def _check_rates(cfg: DictConfig) -> None:
    for key in ("optimizer.lr", "module.encoder_learning_rate"):
        rate = OmegaConf.select(cfg, key)
        if rate is None:
            continue
        is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not is_number or not 0 < rate <= MAX_LEARNING_RATE or not math.isfinite(rate):
            raise InputError(
                f"{key}: expected a learning rate, more than 0 and at most "
                f"{MAX_LEARNING_RATE:g}, got {rate}"
            )


def _check_compiled(cfg: DictConfig) -> None:
    if cfg.compile and cfg.get("distillation"):
        raise InputError(
            "compile: expected false beside distillation, whose step does not go through what "
            "torch.compile has compiled; leave one of them out"
        )
    for encoder in ENCODERS:
        if cfg.compile and OmegaConf.select(cfg, f"{encoder}.gradient_checkpointing"):
            raise InputError(
                f"compile: expected false beside {encoder}.gradient_checkpointing=true, through "
                "which torch.compile cannot follow the layers; leave one of them out"
            )


def _check_callbacks(cfg: DictConfig) -> None:
    from mmemo.runs.own_metrics import own_directions

    classes = instantiate(cfg.labels, _convert_="all").classes
    scores = MonitoredScores(tuple(classes), own_directions(cfg))
    for name, callback in (cfg.callbacks or {}).items():
        if callback is None or "monitor" not in callback:
            continue
        is_checkpoint = name == "checkpoint"
        # Some callbacks watch only where they are asked to.
        if callback.monitor is not None or is_checkpoint:
            on_training = not is_checkpoint and name != "pruning"
            option = f"callbacks.{name}"
            scores.check(option, callback.monitor, callback.get("mode"), on_training)
