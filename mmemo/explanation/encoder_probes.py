"""Linear probes of a run's encoders on some of its utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn

from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.evaluation.units import UNIT, UNIT_COLUMNS, with_units
from mmemo.explanation.inputs import given_input
from mmemo.explanation.layer_probes import (
    LayerProbe,
    has_layers,
    layer_features,
    probe_layers,
    probe_table,
)
from mmemo.models.protocols import TextEncoder
from mmemo.progress import progress_bar


@dataclass(frozen=True)
class EncoderProbes:
    """How encoders are probed.

    Args:
        num_utterances: Of the split, at random.
        groups: "dialogue" or "speaker", which a probe's training and test never share; "auto" for
            the groups of the split protocol where it has some, else dialogues where one of them
            has several utterances, and speakers otherwise.
        seed: Of the utterances, folds and bootstrap.

    Raises:
        InputError: If there are fewer than two utterances or no such group.
    """

    num_utterances: int = 300
    groups: Literal["auto", "dialogue", "speaker"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.num_utterances < 2:
            raise InputError(
                f"layer_probes.num_utterances: expected at least 2, got {self.num_utterances}"
            )
        names = ("auto", "dialogue", "speaker")
        if self.groups not in names:
            raise InputError(
                f"layer_probes.groups: expected {', '.join(names)}, got '{self.groups}'"
            )

    def probe(
        self,
        datamodule: EmotionDataModule,
        split: str,
        text_encoder: TextEncoder | None,
        encoders: Mapping[tuple[str, str], nn.Module],
        device: torch.device,
    ) -> pd.DataFrame:
        """Probe encoders on the same utterances.

        Args:
            datamodule: The run's.
            split: Whose utterances are probed.
            text_encoder: The run's.
            encoders: By modality ("audio", "text") and stage ("before", "after"), each of which
                ``has_layers``.
            device: To compute on.

        Returns:
            As of ``probe_table``.

        Raises:
            InputError: If they are of too few groups or classes.
        """
        rows = self._rows(datamodule, split)
        keys = [str(key) for key in rows["key"]]
        targets = [str(name) for name in rows[datamodule.labels.column]]
        columns = self._group_columns(rows, datamodule.split.group_columns)
        groups = [str(group) for group in with_units(rows, columns)[UNIT]]
        found: dict[tuple[str, str], list[LayerProbe]] = {}
        for (modality, stage), encoder in encoders.items():
            encoder.to(device).eval()
            features = []
            with progress_bar(len(keys), f"probing {modality} {stage}") as bar:
                for key in keys:
                    given = given_input(datamodule, key, text_encoder).to(device)
                    layers = layer_features(encoder, getattr(given, modality))  # type: ignore[arg-type]
                    features.append(layers[0].float().cpu().numpy())
                    bar.update()
            found[modality, stage] = probe_layers(
                np.stack(features), targets, groups, seed=self.seed
            )
        return probe_table(found)

    def _group_columns(self, rows: pd.DataFrame, of_split: Sequence[str]) -> Sequence[str]:
        if self.groups != "auto":
            return UNIT_COLUMNS[self.groups]
        has_dialogues = rows.duplicated(UNIT_COLUMNS["dialogue"]).any()
        return of_split or UNIT_COLUMNS["dialogue" if has_dialogues else "speaker"]

    def _rows(self, datamodule: EmotionDataModule, split: str) -> pd.DataFrame:
        rows = datamodule.datasets[split].rows
        num = min(self.num_utterances, len(rows))
        return rows.sample(num, random_state=self.seed).sort_index()


def probed(encoders: Mapping[str, Any]) -> dict[str, nn.Module]:
    """Those of some encoders, by modality, whose layers can be probed."""
    return {name: encoder for name, encoder in encoders.items() if has_layers(encoder)}
