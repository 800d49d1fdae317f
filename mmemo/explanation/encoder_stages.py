"""A run's encoders as they were before its training, and as they are after it."""

from __future__ import annotations

import lightning
from torch import nn

from mmemo.explanation.encoder_probes import probed
from mmemo.runs.input_errors import input_error
from mmemo.runs.rebuilt_run import RebuiltRun


def encoder_stages(rebuilt: RebuiltRun) -> tuple[dict[tuple[str, str], nn.Module], list[str]]:
    """Encoders whose layers can be probed, by modality and stage, and what is to be said of them.

    Before its training an encoder was what its checkpoint holds; one that began at random is drawn
    again with the run's seed.
    """
    experiment = rebuilt.experiment
    own = {"audio": rebuilt.encoders.audio, "text": rebuilt.encoders.text}
    after = probed(own)
    notes = [
        f"no layers of the {name} encoder: {type(encoder).__name__} is not a pretrained transformer"
        for name, encoder in own.items()
        if encoder is not None and name not in after
    ]
    if not after:
        return {}, notes
    stages = {(name, "after"): encoder for name, encoder in after.items()}
    try:
        lightning.seed_everything(experiment.seed, workers=True, verbose=False)
        begun = experiment.build_encoders()
    except Exception as error:
        problem = input_error(error)
        if problem is None:
            raise
        notes.append(f"nothing before fine-tuning, its checkpoint cannot be loaded: {problem}")
        return stages, notes
    before = {name: part for name, part in (("audio", begun.audio), ("text", begun.text))}
    for name, encoder in probed(before).items():
        stages[name, "before"] = encoder
        if not experiment.begins_pretrained(f"{name}_encoder"):
            notes.append(f"the {name} encoder before its training is random, drawn by the seed")
    order = [(name, stage) for name in after for stage in ("before", "after")]
    return {place: stages[place] for place in order if place in stages}, notes
