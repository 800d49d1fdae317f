from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from mmemo.errors import InputError
from mmemo.explanation.encoder_probes import probe_table
from mmemo.explanation.probes import LayerProbe, ProbesDocument, StageProbes, probe_layers

GROUPS = [f"speaker {index % 6}" for index in range(60)]
TARGETS = ["joy" if (index // 6) % 2 else "anger" for index in range(60)]
MANY_GROUPS = [f"speaker {index % 30}" for index in range(60)]


def features() -> np.ndarray:
    """Noise in layer 0, the class in layer 1, the speaker in layer 2."""
    random = np.random.default_rng(0)
    layers = random.normal(size=(60, 3, 4)).astype(np.float32)
    layers[:, 1, 2] += np.array([10.0 if target == "joy" else 0.0 for target in TARGETS])
    layers[:, 2, 0] += np.array([float(group[-1]) for group in GROUPS])
    return layers


def test_the_layer_that_knows_is_found() -> None:
    noise, knows, speaker = probe_layers(features(), TARGETS, GROUPS)
    assert (knows.macro_f1, noise.low, noise.high) == (1.0, None, None), "six groups"
    assert noise.macro_f1 < 0.7
    assert speaker.macro_f1 < 0.7
    assert (noise.num_utterances, noise.num_groups) == (60, 6)


def test_many_groups_have_an_interval() -> None:
    noise, knows, _ = probe_layers(features(), TARGETS, MANY_GROUPS)
    assert (knows.macro_f1, knows.low, knows.high) == (1.0, 1.0, 1.0)
    assert noise.low is not None and noise.high is not None
    assert noise.low < noise.macro_f1 < noise.high
    assert noise.num_groups == 30


def test_groups_are_kept_apart() -> None:
    # The group names the class: a probe that saw the group would know it.
    groups = [f"dialogue {index // 10}" for index in range(60)]
    targets = ["joy" if index // 10 in (0, 3, 4) else "anger" for index in range(60)]
    one_hot = np.eye(6, dtype=np.float32)[np.repeat(np.arange(6), 10)][:, None]
    (probe,) = probe_layers(one_hot, targets, groups, num_folds=6)
    assert probe.macro_f1 < 0.5


def test_a_table_for_encoders_and_stages() -> None:
    probe = LayerProbe(0, 0.5, 0.4, 0.6, 60, 6)
    stages = tuple(StageProbes("audio", stage, (probe,)) for stage in ("before", "after"))
    table = probe_table(ProbesDocument(60, "speaker", 0, "test", stages))
    assert table["stage"].tolist() == ["before", "after"]
    assert list(table.columns) == [
        "encoder",
        "stage",
        "layer",
        "macro_f1",
        "low",
        "high",
        "num_utterances",
        "num_groups",
    ]


def test_the_score_is_of_all_groups_together() -> None:
    # Two groups, one all right and one all wrong for the other's probe.
    targets = ["a", "b"] * 4
    (probe,) = probe_layers(
        np.array([0, 1] * 2 + [1, 0] * 2, dtype=np.float32).reshape(8, 1, 1),
        targets,
        ["x"] * 4 + ["y"] * 4,
        num_folds=2,
    )
    assert (probe.macro_f1, probe.low, probe.high) == (0.0, None, None)
    assert f1_score(targets, ["b", "a"] * 4, average="macro") == 0.0


def test_a_fold_without_a_group_is_left_out() -> None:
    # Found by trial: scikit-learn puts no group into one of the five folds.
    groups = ["4", "4", "2", "1", "2", "3", "2", "4", "1", "0", "1", "4"]
    targets = [("joy", "anger")[value] for value in (1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1)]
    (probe,) = probe_layers(features()[:12, :1], targets, groups)
    assert probe.num_utterances == 12


def test_a_class_may_be_rarer_than_there_are_folds() -> None:
    targets = [*TARGETS[:58], "fear", "fear"]
    _, knows, _ = probe_layers(features(), targets, GROUPS)
    assert 0.5 < knows.macro_f1 < 0.9, "joy and anger are found, fear is not"


def test_the_most_frequent_class_may_be_rarer_too() -> None:
    few = probe_layers(features()[:6], ["joy", "anger"] * 3, [f"g{i}" for i in range(6)])
    assert [probe.num_utterances for probe in few] == [6, 6, 6]


@pytest.mark.parametrize(
    ("targets", "groups"),
    [
        (["joy", "anger"] * 2, ["one"] * 4),
        (["joy"] * 4, ["one", "two"] * 2),
        # Whatever the probe is tested on, it has seen a single class.
        (["joy", "joy", "anger", "anger"], ["one", "one", "two", "two"]),
    ],
)
def test_too_few_groups_or_classes_cannot_be_probed(targets: list[str], groups: list[str]) -> None:
    with pytest.raises(InputError, match="at least two groups, and of two classes"):
        probe_layers(features()[:4], targets, groups)
