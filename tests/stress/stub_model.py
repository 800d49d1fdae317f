"""A test split without files, and models whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd

from mmemo.evaluation.units import Units
from mmemo.runs.predictor import Answer, Predictor, Spoken
from mmemo.stress.answers import AnswerStore
from mmemo.stress.runner import Recogniser, StressRunner
from mmemo.stress.sound_pool import Original, SoundPool
from mmemo.stress.test_set import StressSet
from mmemo.stress.words import Said

CLASSES = ("anger", "joy", "neutral")
TARGETS = (0, 0, 1, 1, 2, 2, 0, 1, 2)


def stub_set(targets: Sequence[int] = TARGETS) -> StressSet:
    """Sound and words of each utterance are those of its class; each is a unit of its own."""
    names = [CLASSES[number] for number in targets]
    keys = [f"test/dia{n}_utt0" for n in range(len(targets))]
    table = pd.DataFrame({"key": keys, "target": names})
    sounds = [np.full(100 + n, number, np.int16) for n, number in enumerate(targets)]
    return StressSet(
        table=table,
        spoken=tuple(Spoken(*row) for row in zip(keys, sounds, names, strict=True)),
        said=Said(tuple(names), tuple(keys), (0.0,) * len(keys), ("other",)),
        context_keys=(((), ()),) * len(targets),
        originals=tuple(
            Original(*row) for row in zip(keys, [None] * len(keys), sounds, strict=True)
        ),
        voices=(),
        units=Units("utterance", np.arange(len(targets))),
    )


@dataclass
class StubModel:
    """Answers with certainty by a rule; counts what it is asked."""

    rule: Callable[[Spoken], int]
    answers_without: bool = True
    asked: list[Spoken] = field(default_factory=list)
    stop_after: int | None = None
    preprocessing: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(batch_size=1))

    def answer(
        self,
        spoken: Sequence[Spoken],
        embeddings: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[Answer]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += spoken
        if progress is not None:
            progress(len(spoken))
        return [Answer(np.eye(len(CLASSES))[self.rule(one)], None) for one in spoken]


def by_sound(spoken: Spoken) -> int:
    assert spoken.sound is not None
    return int(spoken.sound[0])


def by_words(spoken: Spoken) -> int:
    return CLASSES.index(str(spoken.transcript))


def runner_of(
    model: StubModel,
    folder: Path,
    given: StressSet | None = None,
    pool: SoundPool | None = None,
    recogniser: Recogniser | None = None,
) -> StressRunner:
    given = given or stub_set()
    store = AnswerStore(folder, "model", given.table["key"].tolist(), CLASSES, 0, "sound")
    return StressRunner(cast(Predictor, model), given, pool, store, 0, recogniser)
