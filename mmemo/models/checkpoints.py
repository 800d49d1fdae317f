"""Checkpoints in transformers' layout: finding and loading them, with errors that name ways out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mmemo.errors import InputError

# Parts that checkpoints of language and speech models may lack, and that mmemo does not use.
NOT_ALWAYS_SAVED = ("pooler.", "masked_spec_embed")
HUB_TIMEOUT_S = 5.0
ATTENTION = ("sdpa", "eager")
"""Any other name would have transformers fetch code from the hub."""

NEVER_CODE = {"trust_remote_code": False}
"""A checkpoint's own code is never run: asked for nothing, transformers would ask the user."""

LOADING_OPTIONS = (
    *("trust_remote_code", "code_revision", "auto_map", "custom_pipelines", "adapter_kwargs"),
    *("attn_implementation", "experts_implementation", "quantization_config", "use_kernels"),
    *("cache_dir", "force_download", "local_files_only", "proxies", "token", "revision"),
    *("subfolder", "name_or_path", "return_unused_kwargs", "gguf_file", "weights_only"),
)
"""What is no setting of a model, but tells transformers what to load or run."""

CONFIG_FILE = "config.json"
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on the hub, in its cache or in a local folder; or an architecture alone.

    Args:
        name: Name on the hub, or a local folder.
        option: The group of settings that named it ("audio_encoder"), for messages.
        architecture: transformers' ``model_type`` and the settings in which the checkpoint differs
            from that type's defaults. Without pretrained weights it is built from these where
            ``name`` is no local folder: nothing is fetched then.
        pretrained: False for random weights of the same architecture.
        config_overrides: Values that replace those of the checkpoint's config.
        revision: Commit, tag or branch on the hub; None for its main branch.
        safetensors_only: Refuse weights in the older format.
        assets_dir: Folder of a run with config and tokenizer, which replaces the checkpoint; the
            weights come from the run.
    """

    name: str
    option: str
    architecture: Mapping[str, Any] | None = None
    pretrained: bool = True
    config_overrides: Mapping[str, Any] = field(default_factory=dict)
    revision: str | None = None
    safetensors_only: bool = True
    assets_dir: str | Path | None = None

    @property
    def source(self) -> str:
        """Where config and tokenizer are read."""
        return str(self.assets_dir or Path(self.name).expanduser())

    @property
    def has_files(self) -> bool:
        """Whether there is a config to read, and not an architecture's name alone."""
        return self.pretrained or Path(self.source).is_dir()

    def check_place(self) -> None:
        """Find at once a folder that is none, or a name that the hub does not give.

        Raises:
            InputError: If there is nothing to load.
        """
        if not self.has_files or self.assets_dir is not None:
            return
        problem = None
        if Path(self.source).is_dir():
            if not (Path(self.source) / CONFIG_FILE).is_file():
                problem = f"there is no {CONFIG_FILE} in that folder"
        elif not HUB_NAME.fullmatch(self.name):
            problem = "neither a local folder nor a name on the hub"
        elif not _is_in_cache(self.name):
            problem = _hub_problem(self.source, self.revision)
        if problem is not None:
            raise self._unloadable(problem)

    def config(self, overrides: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """The transformers config.

        Args:
            overrides: Values that the encoder's own options set.

        Raises:
            InputError: If it cannot be loaded.
        """
        from transformers import AutoConfig

        self._refuse_loading_options()
        changes = {**self.config_overrides, **overrides}
        if self.has_files:
            with self._explained():
                config = AutoConfig.from_pretrained(
                    self.source, **self._where(), **NEVER_CODE, **changes
                )
        elif self.architecture is None:
            raise InputError(
                f"{self.option}.pretrained=false: expected a local folder as {self.option}."
                f"checkpoint or the architecture as transformers calls it, got '{self.name}'; set "
                f"{self.option}.architecture={{model_type:NAME}}"
            )
        else:
            with self._explained():
                config = AutoConfig.for_model(**{**self.architecture, **changes})
        unknown = [key for key in self.config_overrides if not hasattr(config, key)]
        if unknown:
            raise InputError(
                f"{self.option}.config_overrides: expected settings of {config.model_type}, got "
                f"{', '.join(unknown)}; see its config class in transformers"
            )
        return config

    def model(self, config: Any, attention: str, unused: tuple[str, ...] = ()) -> Any:  # noqa: ANN401
        """The model in float32 and training mode; random weights where none are pretrained.

        Args:
            config: What ``config`` gave.
            attention: "sdpa", which is "eager" where the architecture has no other, or "eager".
            unused: How the names of weights begin that may be missing.

        Raises:
            InputError: If the weights cannot be loaded.
        """
        import torch
        from transformers import MODEL_MAPPING, AutoModel

        if attention not in ATTENTION:
            raise InputError(
                f"{self.option}.attention: expected {' or '.join(ATTENTION)}, got '{attention}'"
            )
        model_class: Any = MODEL_MAPPING.get(type(config), None)
        if not getattr(model_class, "_supports_sdpa", True):
            attention = "eager"
        options: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": attention}
        options |= NEVER_CODE
        if not self.pretrained or self.assets_dir is not None:
            with self._explained():
                model = AutoModel.from_config(config, **options)  # type: ignore[no-untyped-call]
                return model.train()
        with self._explained(), _own_report():
            model, report = AutoModel.from_pretrained(
                self.source,
                config=config,
                output_loading_info=True,
                use_safetensors=True if self.safetensors_only else None,
                **options,
                **self._where(),
            )
        missing = sorted(
            k for k in report["missing_keys"] if not k.startswith(NOT_ALWAYS_SAVED + unused)
        )
        if missing:
            raise InputError(
                f"{self.option}.checkpoint: expected the weights of {config.model_type} in "
                f"'{self.name}', {len(missing)} are missing ({missing[0]}, …); get the checkpoint "
                "again"
            )
        # transformers hands models out in evaluation mode, and Lightning trains them as it gets
        # them: dropout, layer drop and SpecAugment would be off.
        return model.train()

    def tokenizer(self) -> Any:  # noqa: ANN401
        """The checkpoint's fast tokenizer.

        Raises:
            InputError: If it cannot be loaded.
        """
        from transformers import AutoTokenizer

        with self._explained():
            return AutoTokenizer.from_pretrained(
                self.source, use_fast=True, **self._where(), **NEVER_CODE
            )

    def _refuse_loading_options(self) -> None:
        for option, given in (
            ("config_overrides", self.config_overrides),
            ("architecture", self.architecture or {}),
        ):
            refused = [str(k) for k in given if k in LOADING_OPTIONS or str(k).startswith("_")]
            if refused:
                raise InputError(
                    f"{self.option}.{option}: expected settings of the model, got "
                    f"{', '.join(refused)}, which tells what to load or run; leave it out"
                )

    def _where(self) -> dict[str, Any]:
        """Where transformers has to look, so that it does not wait for a hub out of reach."""
        if Path(self.source).is_dir():
            return {"local_files_only": True}
        problem = _hub_problem(self.source, self.revision)
        return {"revision": self.revision or "main", "local_files_only": problem is not None}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = (
                None
                if Path(self.source).is_dir() or not self.has_files
                else (_hub_problem(self.source, self.revision))
            )
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise self._unloadable(reason or first_line) from error

    def _unloadable(self, reason: str) -> InputError:
        return InputError(
            f"{self.option}.checkpoint: expected a checkpoint in transformers' layout "
            f"({CONFIG_FILE} and weights"
            f"{' as safetensors' if self.safetensors_only else ''}) on the hub, in the cache "
            f"or in a local folder, could not load '{self.name}' ({reason}). "
            f"Ways out: name a local folder with {self.option}.checkpoint=DIR; fetch it once "
            "where there is a network and copy the cache (HF_HOME); name a mirror with "
            f"HF_ENDPOINT; try without its weights with {self.option}.pretrained=false"
        )


def _is_in_cache(name: str) -> bool:
    from huggingface_hub import constants

    return (Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}").is_dir()


@cache
def _hub_problem(name: str, revision: str | None) -> str | None:
    """Why the hub does not give a repository, asked once and without retries; None if it does."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "not in the cache, and HF_HUB_OFFLINE forbids to ask the hub"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        HfApi().model_info(name, revision=revision, timeout=HUB_TIMEOUT_S)
    except GatedRepoError:
        return "gated: ask for access on its page and log in with `hf auth login`"
    except RepositoryNotFoundError:
        return "the hub has no such repository, or not for this account"
    except RevisionNotFoundError:
        return f"the hub has no revision '{revision}' of it"
    except HFValidationError:
        return "neither a local folder nor a name on the hub"
    # What a connection raises depends on the HTTP library that huggingface_hub was built on.
    except Exception as error:
        return f"not in the cache, and {constants.ENDPOINT} cannot be reached: {error}"
    return None


@contextmanager
def _own_report() -> Iterator[None]:
    """Keep transformers from printing which weights are missing: that is checked here."""
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
