"""Linear probes of a run's encoders, as they were before its training and are after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mmemo.data.batch import AudioInput, TextInput
from mmemo.data.datamodule import EmotionDataModule
from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.evaluation.units import UNIT, UNIT_COLUMNS, with_units
from mmemo.explanation.inputs import UtteranceInput, utterance_input
from mmemo.explanation.probes import (
    PROBES_FILE,
    ProbesDocument,
    StageProbes,
    probe_layers,
    read_probes,
)
from mmemo.folders import write_whole
from mmemo.models.audio_encoders import PretrainedAudioEncoder
from mmemo.models.protocols import TextEncoder
from mmemo.models.text_encoders import PretrainedTextEncoder
from mmemo.progress import progress_bar
from mmemo.runs.encoders import Encoders
from mmemo.runs.input_errors import input_error
from mmemo.runs.rebuilt_run import RebuiltRun

TABLE_FILE = "probes.csv"

Encoder = PretrainedAudioEncoder | PretrainedTextEncoder
"""Whose layers can be probed."""

Stage = tuple[str, str]
"""Modality ("audio", "text"), and "before" or "after" the run's training."""


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
        encoders: Mapping[Stage, Encoder],
        device: torch.device,
    ) -> ProbesDocument:
        """Probe encoders on the same utterances.

        Args:
            datamodule: The run's.
            split: Whose utterances are probed.
            text_encoder: The run's.
            encoders: By modality and stage.
            device: To compute on.

        Raises:
            InputError: If they are of too few groups or classes.
        """
        rows = self._rows(datamodule, split)
        keys = [str(key) for key in rows["key"]]
        targets = [str(name) for name in rows[datamodule.labels.column]]
        columns = self._group_columns(rows, datamodule.split.group_columns)
        groups = [str(group) for group in with_units(rows, columns)[UNIT]]
        found = []
        for (modality, stage), encoder in encoders.items():
            encoder.to(device).eval()
            features = []
            with progress_bar(len(keys), f"probing {modality} {stage}") as bar:
                for key in keys:
                    inputs = utterance_input(datamodule, key, text_encoder).to(device)
                    pooled = layer_features(encoder, inputs)
                    features.append(pooled[0].float().cpu().numpy())
                    bar.update()
            layers = probe_layers(np.stack(features), targets, groups, seed=self.seed)
            found.append(StageProbes(modality, stage, tuple(layers)))
        return ProbesDocument(**asdict(self), split=split, encoders=tuple(found))

    def _group_columns(self, rows: pd.DataFrame, of_split: Sequence[str]) -> Sequence[str]:
        if self.groups != "auto":
            return UNIT_COLUMNS[self.groups]
        has_dialogues = rows.duplicated(UNIT_COLUMNS["dialogue"]).any()
        return of_split or UNIT_COLUMNS["dialogue" if has_dialogues else "speaker"]

    def _rows(self, datamodule: EmotionDataModule, split: str) -> pd.DataFrame:
        rows = datamodule.datasets[split].rows
        num = min(self.num_utterances, len(rows))
        return rows.sample(num, random_state=self.seed).sort_index()


def layer_features(encoder: Encoder, inputs: UtteranceInput) -> Tensor:
    """Pooled features of what goes into an encoder's transformer and of each layer (1, N, D)."""
    with torch.inference_mode():
        if isinstance(encoder, PretrainedAudioEncoder):
            layers, mask = encoder.backbone(cast(AudioInput, inputs.audio), True)
        else:
            text = cast(TextInput, inputs.text)
            output = encoder.model(
                input_ids=text.input_ids,
                attention_mask=text.mask.long(),
                output_hidden_states=True,
            )
            layers, mask = list(output.hidden_states), text.pooled_mask
        return torch.stack([encoder.pool(layer, mask) for layer in layers], dim=1)


def encoder_stages(rebuilt: RebuiltRun) -> tuple[dict[Stage, Encoder], list[str]]:
    """Encoders whose layers can be probed, by modality and stage, and what is to be said of them.

    Before its training an encoder was what its checkpoint holds; one that began at random is drawn
    again with the run's seed.
    """
    experiment = rebuilt.experiment
    own = rebuilt.encoders
    after = _with_layers(own)
    notes = [
        f"no layers of the {name} encoder: {type(encoder).__name__} is not a pretrained transformer"
        for name, encoder in (("audio", own.audio), ("text", own.text))
        if encoder is not None and name not in after
    ]
    if not after:
        return {}, notes
    stages = {(name, "after"): encoder for name, encoder in after.items()}
    try:
        lightning.seed_everything(experiment.seed, workers=True, verbose=False)
        before = _with_layers(experiment.build_encoders())
    except Exception as error:
        problem = input_error(error)
        if problem is None:
            raise
        notes.append(f"nothing before fine-tuning, its checkpoint cannot be loaded: {problem}")
        return stages, notes
    for name, encoder in before.items():
        stages[name, "before"] = encoder
        if not experiment.begins_pretrained(f"{name}_encoder"):
            notes.append(f"the {name} encoder before its training is random, drawn by the seed")
    order = [(name, stage) for name in after for stage in ("before", "after")]
    return {place: stages[place] for place in order if place in stages}, notes


def probe_run(
    probes: EncoderProbes,
    split: str,
    rebuilt: RebuiltRun,
    datamodule: EmotionDataModule,
    folder: Path,
) -> None:
    """Probe a run's encoders before and after its training; write ``probes.json`` and a table.

    Args:
        probes: How.
        split: Whose utterances.
        rebuilt: The run.
        datamodule: Its data.
        folder: Of the files; those that are there with the same settings stay.

    Raises:
        InputError: If the run has no pretrained encoder, or too few groups or classes.
    """
    encoders, notes = encoder_stages(rebuilt)
    for note in notes:
        print(f"probes: {note}")
    if not encoders:
        raise InputError(
            f"probes=true: expected a run with a pretrained encoder, {rebuilt.folder.path} has "
            "none; leave probes out"
        )
    if _are_there(folder, probes, split, list(encoders)):
        print("probes: all are there")
        return
    num = min(probes.num_utterances, len(datamodule.datasets[split].rows))
    stages = ", ".join("/".join(stage) for stage in encoders)
    print(f"probes: {stages}; {num} forward passes each")
    text = rebuilt.encoders.text
    found = probes.probe(datamodule, split, text, encoders, rebuilt.device)
    write_whole(folder / TABLE_FILE, probe_table(found).to_csv(index=False))
    write_document(folder / PROBES_FILE, found)


def _are_there(folder: Path, probes: EncoderProbes, split: str, stages: Sequence[Stage]) -> bool:
    """Whether a folder has the probes that are asked for; what cannot be read is made again."""
    try:
        there = read_probes(folder)
    except InputError:
        return False
    return (
        there is not None
        and (folder / TABLE_FILE).is_file()
        and asdict(probes).items() <= asdict(there).items()
        and there.split == split
        and [(part.encoder, part.stage) for part in there.encoders] == list(stages)
    )


def probe_table(document: ProbesDocument) -> pd.DataFrame:
    """Probes as a table of encoder, stage, and the fields of ``LayerProbe``."""
    return pd.DataFrame(
        [
            {"encoder": part.encoder, "stage": part.stage, **asdict(probe)}
            for part in document.encoders
            for probe in part.layers
        ]
    )


def _with_layers(encoders: Encoders) -> dict[str, Encoder]:
    """Those that are pretrained models, whose layers can be probed, by modality."""
    both = {"audio": encoders.audio, "text": encoders.text}
    return {name: part for name, part in both.items() if isinstance(part, Encoder)}
