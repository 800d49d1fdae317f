"""The cells of a sweep: what they are composed of, their folders, and what those tell of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from mmemo.documents import OtherVersionError
from mmemo.errors import InputError
from mmemo.runs.joint_option import of_cell
from mmemo.runs.overrides import make_paths_absolute, quoted
from mmemo.runs.run_folder import RunFolder
from mmemo.runs.settings import config_digest

LACKING = re.compile(r"Could not override '([^']+)'")
"""How Hydra says that a config has no such key."""

GROUPS_OF_GROUPS = ("experiment", "encoders", "features", "system", "modality")
"""Groups whose choices choose in others."""

TEST_FOLD = "split.test_fold"
ALL_TEST_FOLDS = f"{TEST_FOLD}=all"
"""Stands for as many cells as the split has folds."""

OWN_PLACES = {"run_dir": "/", "output_dir": "/", "cache_dir": "/", "logger": None, "resume": None}
"""Set alike before a digest is taken: they are known of Hydra's job alone, or do not count."""

MAX_NAME_LENGTH = 150
MAX_LABEL_LENGTH = 40

LOG_FILE = "train.log"
"""What a cell printed."""


class CellState(Enum):
    """What has become of a cell."""

    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    PRUNED = "pruned"
    DAMAGED = "damaged"
    FINISHED = "finished"


DONE = (CellState.FINISHED, CellState.PRUNED)


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Args:
        folder: Its run folder.
        max_epochs: Epochs of its training at most; None where the config has no such number.
        monitor: The validation score that chooses its checkpoint.
        is_maximised: Whether a higher score is better.
    """

    folder: RunFolder
    max_epochs: int | None
    monitor: str
    is_maximised: bool

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.path.name

    @property
    def log_file(self) -> Path:
        """What the cell printed."""
        return self.folder.path / LOG_FILE


def cell_name(varied: Mapping[str, str], seed: int, digest: str, mark: str = "") -> str:
    """A folder's name: what varies, the seed, the digest, and the mark of a leaky split.

    It has letters, digits, ``.``, ``_`` and ``-`` alone, at most 150 characters, and differs from
    that of every other config by the digest, on file systems that ignore case too.

    Args:
        varied: Value by key of what the sweep varies, as given to Hydra.
        seed: The run's seed.
        digest: Of its config.
        mark: What the name has to end with.
    """
    keys = [key for key in varied if key != "seed"]
    lasts = [key.rpartition(".")[2] for key in keys]
    labels = [
        _safe(f"{last if lasts.count(last) == 1 else key}_{varied[key]}")[:MAX_LABEL_LENGTH]
        for key, last in zip(keys, lasts, strict=True)
    ]
    end = f"seed{seed}-{digest}{mark}"
    start = "-".join(labels)[: MAX_NAME_LENGTH - len(end) - 1]
    return f"{start}-{end}" if start else end


def _safe(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", label).strip("_.")


def sweep_name(overrides: Iterable[str]) -> str:
    """A sweep's name: that of the chosen ``+sweep=…``, or ``sweep`` for one made by hand.

    Args:
        overrides: What was typed after the command: ``+sweep=[bottleneck,seeds]`` makes
            ``sweep-bottleneck-seeds``.
    """
    chosen = [o.partition("=")[2] for o in overrides if o.lstrip("+").startswith("sweep=")]
    return "-".join(["sweep", *(n for o in chosen for n in re.findall(r"[\w.]+", o))])


def named_folder(sweep: Path, digest: str, name: str) -> Path:
    """The folder in a sweep's that has the digest, whatever it says of what varies.

    A cell is recognised where the axes of the sweep have changed since it was run.

    Args:
        sweep: The sweep's folder.
        digest: Of the cell's config.
        name: The name of a new one.
    """
    held = sorted(path.parent for path in sweep.glob(f"*{digest}*/{RunFolder.INFO_NAME}"))
    same = [path for path in held if re.search(rf"(^|-){digest}(-[A-Z]+)?$", path.name)]
    return sweep / name if not same or sweep / name in same else same[0]


def cell_state(run: RunFolder) -> CellState:
    """What the folder tells: a run whose process was killed counts as interrupted.

    One whose ``run.json`` cannot be read is damaged, and is to be begun anew.

    Raises:
        OtherVersionError: If another mmemo has written it.
    """
    if not run.info_file.exists():
        return CellState.WAITING
    try:
        state = CellState(run.read_info().status)
    except OtherVersionError:
        # Whole, and perhaps finished: nothing that may be begun anew.
        raise
    except InputError:
        return CellState.RUNNING if run.is_held() else CellState.DAMAGED
    if state is CellState.RUNNING and not run.is_held():
        return CellState.INTERRUPTED
    return state


class CellComposer:
    """Composes a job's config as its launcher will.

    Args:
        loader: Hydra's.
        config: The sweep's config.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self.loader = loader
        self.config = config
        self.folder = Path(config.hydra.sweep.dir).absolute()
        self.axes = _axes(config)
        self.lacking: dict[str, str] = {}
        self._known: set[str] = set()
        self._num_folds: dict[str, int] = {}

    def cell(self, overrides: list[str]) -> tuple[Cell, list[str]]:
        """The cell of a job, and its overrides.

        Of several choices of a group a setting may be there in some alone: where it is not, it is
        left out, and jobs that are the same without it are one cell.

        Args:
            overrides: The job's.

        Raises:
            HydraException: If the config does not compose.
            MissingMandatoryValue: If a value is missing that has to be given.
        """
        overrides = of_cell(overrides)
        while True:
            try:
                config = self.loader.load_sweep_config(self.config, overrides)
                break
            except ConfigCompositionException as error:
                key = self._lacking_key(str(error))
                rest = [o for o in overrides if o.partition("=")[0] != key]
                if len(rest) == len(overrides):
                    raise
                self.lacking.setdefault(str(key), str(error))
                overrides = rest
        self._known.update(o.partition("=")[0] for o in overrides)
        settings = _settings(config)
        given = dict(o.lstrip("+").partition("=")[::2] for o in overrides)
        varied = {key: given[key] for key in self.axes if key in given}
        digest = config_digest(settings)
        name = cell_name(varied, settings["seed"], digest, settings.get("run_mark") or "")
        checkpoint = settings["callbacks"].get("checkpoint") or {}
        cell = Cell(
            folder=RunFolder(named_folder(self.folder, digest, name)),
            max_epochs=settings["trainer"].get("max_epochs"),
            monitor=checkpoint.get("monitor", "val/loss"),
            is_maximised=checkpoint.get("mode") == "max",
        )
        return cell, overrides

    def each_fold(self, overrides: list[str]) -> list[list[str]]:
        """A job's overrides for each of its test folds; as they are where not all are asked for.

        Args:
            overrides: The job's, with ``split.test_fold=all``.

        Raises:
            InputError: If the corpus cannot be read, or its rows name no group.
        """
        if ALL_TEST_FOLDS not in [o.lstrip("+") for o in overrides]:
            return [overrides]
        others = [o for o in overrides if o.lstrip("+") != ALL_TEST_FOLDS]
        try:
            config = self.loader.load_sweep_config(self.config, [*others, f"{TEST_FOLD}=0"])
        except ConfigCompositionException:
            # A split without folds: as with any setting that a choice lacks.
            return [[*others, f"{TEST_FOLD}=0"]]
        parts = ("corpus", "labels", "split")
        key = OmegaConf.to_yaml({part: config[part] for part in parts})
        if key not in self._num_folds:
            self._num_folds[key] = _count_folds(config)
        return [[*others, f"{TEST_FOLD}={fold}"] for fold in range(self._num_folds[key])]

    def _lacking_key(self, problem: str) -> str | None:
        """The setting that a choice of a swept group lacks, as Hydra tells."""
        found = LACKING.search(problem)
        swept = {*self.axes} & {found[1].partition(".")[0], *GROUPS_OF_GROUPS} if found else ()
        return found[1] if found and swept else None

    def check_lacking(self) -> None:
        """Check that what some choices lack is there in another.

        Raises:
            InputError: If none of the cells so far has it.
        """
        for key, problem in self.lacking.items():
            if key not in self._known:
                raise InputError(f"{problem.splitlines()[0]} None of the swept choices has it.")

    def placed(self, cell: Cell, overrides: Sequence[str]) -> list[str]:
        """The job's overrides with those that put it into the cell's folder."""
        place = {"hydra.sweep.dir": str(self.folder), "hydra.sweep.subdir": cell.name}
        return [*overrides, *(f"{key}={quoted(value)}" for key, value in place.items())]


def _axes(config: DictConfig) -> list[str]:
    """Keys of what the sweep varies: the sweeper's own and those typed with several values."""
    as_typed = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    typed = OverridesParser.create().parse_overrides(cast(list[str], as_typed))
    keys = [*(OmegaConf.select(config, "hydra.sweeper.params") or {})]
    folds = (TEST_FOLD, f"+{TEST_FOLD}", f"++{TEST_FOLD}")
    keys += [
        o.get_key_element()
        for o in typed
        if _num_values(o) != 1 or (o.get_key_element() in folds and o.value() == "all")
    ]
    return list(dict.fromkeys(key.lstrip("+") for key in keys))


def _num_values(override: Override) -> int | None:
    """How many an axis has; None where that is not known, 1 for no axis."""
    if not override.is_sweep_override():
        return 1
    value = override.value()
    return len(value.list) if isinstance(value, ChoiceSweep) else None


def _settings(config: DictConfig) -> dict[str, Any]:
    """The resolved config of a cell, without what depends on where it runs.

    Raises:
        MissingMandatoryValue: If a value is missing that has to be given.
    """
    with _of_job(config) as cfg:
        for key, value in OWN_PLACES.items():
            OmegaConf.update(cfg, key, value)
        make_paths_absolute(cfg)
        settings = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


@contextmanager
def _of_job(config: DictConfig) -> Iterator[DictConfig]:
    """A copy of a job's config that can be changed, while Hydra answers as in that job."""
    cfg = copy.deepcopy(config)
    OmegaConf.set_readonly(cfg, False)
    former = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        with open_dict(cfg):
            cfg.pop("hydra")
        yield cfg
    finally:
        HydraConfig.instance().cfg = former


def _count_folds(config: DictConfig) -> int:
    """How many test folds the split of a job has, of the rows that its corpus annotates."""
    # Imported here: they take pandas, which no listing of other cells needs.
    from mmemo.corpora.joint import shared_labels
    from mmemo.corpora.splits import FoldedSplit
    from mmemo.runs.data_source import build_data_source

    with _of_job(config) as cfg:
        make_paths_absolute(cfg)
        split, labels = (instantiate(cfg[part], _convert_="all") for part in ("split", "labels"))
        if not isinstance(split, FoldedSplit):
            raise InputError(
                f"{ALL_TEST_FOLDS}: expected a split that tests one of its folds, got "
                f"{cfg.split['_target_']}; choose split=leave_one_speaker_out, say"
            )
        annotations = build_data_source(cfg).corpus.read()
        labels, rows = shared_labels(annotations, labels), annotations.frame()
        return split.count_folds(rows[rows[labels.column].isin(labels.classes)])
