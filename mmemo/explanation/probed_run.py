"""What each layer of a run's encoders knows: probes, kept beside its explanations."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from mmemo.data.datamodule import EmotionDataModule
from mmemo.errors import InputError
from mmemo.explanation.encoder_probes import EncoderProbes
from mmemo.explanation.encoder_stages import encoder_stages
from mmemo.explanation.index import PROBES_FILE
from mmemo.folders import write_whole
from mmemo.runs.rebuilt_run import RebuiltRun

SETTINGS_FILE = "probes.json"


def probe_run(
    probes: EncoderProbes,
    split: str,
    rebuilt: RebuiltRun,
    datamodule: EmotionDataModule,
    folder: Path,
) -> None:
    """Probe a run's encoders before and after its training, and write the table.

    Args:
        probes: How.
        split: Whose utterances.
        rebuilt: The run.
        datamodule: Its data.
        folder: Of the table; one that is there with the same settings stays.

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
    stages = ["/".join(place) for place in encoders]
    settings = json.dumps({**asdict(probes), "split": split, "encoders": stages})
    table, kept = folder / PROBES_FILE, folder / SETTINGS_FILE
    if table.is_file() and kept.is_file() and kept.read_text(encoding="utf-8") == settings:
        print("probes: all are there")
        return
    kept.unlink(missing_ok=True)
    num = min(probes.num_utterances, len(datamodule.datasets[split].rows))
    print(f"probes: {', '.join(stages)}; {num} forward passes each")
    text = rebuilt.encoders.text
    found = probes.probe(datamodule, split, text, encoders, rebuilt.device)
    write_whole(table, found.to_csv(index=False))
    write_whole(kept, settings)
