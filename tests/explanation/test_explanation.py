"""The files of an explanation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmemo.errors import InputError
from mmemo.explanation.explanation import (
    COMPARED,
    METHODS,
    UNITS,
    Attribution,
    Convergence,
    ExplainerSettings,
    Explanation,
    ModalityShapley,
    Word,
)
from mmemo.explanation.frames import frame_means, frame_sums
from tests.explanation.linear_models import saved

FULL = Explanation(
    key="test/dia1_utt2",
    classes=("anger", "joy"),
    probabilities=np.array([0.25, 0.75]),
    predicted="joy",
    true="anger",
    target="joy",
    output="log_odds",
    sound=np.linspace(-1, 1, 50, dtype=np.float32),
    sample_rate=1000,
    transcript="Oh nö",
    words=(Word("Oh", 0, 2), Word("nö", 3, 5, is_read=False)),
    attributions={
        "integrated_gradients": Attribution(np.array([0.5, -0.25, 0.0]), np.array([1.0, 0.0])),
        "occlusion": Attribution(None, np.array([0.1, 0.0])),
        "lime": Attribution(np.array([0.25, 0.25, -1.0]), None),
    },
    convergence=Convergence.of(given=1.0, baseline=-0.5, delta=0.03),
    shapley=ModalityShapley({"audio": 1.0, "text": 0.5}, {"none": -0.5, "audio+text": 1.0}),
    forward_passes=10,
    backward_passes=4,
    settings=ExplainerSettings("log_odds", occlusion={"name": "Occlusion", "window_ms": 100.0}),
    seed=7,
    notes=("a note",),
)
BARE = replace(FULL, sound=None, attributions={}, convergence=None, shapley=None)


def arrays(explanation: Explanation) -> list[np.ndarray | None]:
    found: list[np.ndarray | None] = [explanation.sound, explanation.probabilities]
    for name in ("integrated_gradients", "occlusion", "lime"):
        method = explanation.attributions.get(name)
        found += [None, None] if method is None else [method.frames, method.words]
    return found


@pytest.mark.parametrize("explanation", [FULL, BARE])
def test_what_is_saved_is_read_again(explanation: Explanation, tmp_path: Path) -> None:
    explanation.save(tmp_path / "a")
    read = Explanation.load(tmp_path / "a")
    read.save(tmp_path / "b")
    assert saved(tmp_path / "a") == saved(tmp_path / "b")
    assert read.words == explanation.words
    assert (read.convergence, read.shapley) == (explanation.convergence, explanation.shapley)
    assert read.notes == explanation.notes
    for mine, other in zip(arrays(read), arrays(explanation), strict=True):
        np.testing.assert_equal(mine, other)


def test_the_record_says_units_and_the_true_end(tmp_path: Path) -> None:
    FULL.save(tmp_path)
    record = json.loads((tmp_path / "explanation.json").read_text(encoding="utf-8"))
    assert next(iter(record.items())) == ("version", 2)
    assert record["units"] == UNITS
    assert (record["duration_s"], record["frame_ms"], record["sample_rate"]) == (0.05, 20.0, 1000)
    assert record["convergence"]["relative_delta"] == pytest.approx(0.02)
    word = {"text": "nö", "start": 3, "stop": 5, "is_read": False}
    assert record["words"][1] == word | {"start_s": None, "end_s": None}
    assert FULL.frame_samples == 20


def test_a_record_of_before_further_methods_is_read(tmp_path: Path) -> None:
    FULL.save(tmp_path)
    file = tmp_path / "explanation.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    for name in set(METHODS) - set(COMPARED):
        del record["settings"][name]
    record["methods"] = list(COMPARED)
    file.write_text(json.dumps(record), encoding="utf-8")
    found = Explanation.load(tmp_path)
    assert list(found.attributions) == list(COMPARED)
    assert found.settings == FULL.settings


def test_no_explanation_no_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the files of an explanation"):
        Explanation.load(tmp_path)
    FULL.save(tmp_path)
    file = tmp_path / "explanation.json"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"version": 2,', ""), encoding="utf-8")
    with pytest.raises(InputError, match="no version, this mmemo reads 2; remove the folder and"):
        Explanation.load(tmp_path)
    file.write_text(text.replace('"seed": 7', '"seed": "7"'), encoding="utf-8")
    with pytest.raises(InputError, match=r"explanation\.json: .*seed: Input should be a valid int"):
        Explanation.load(tmp_path)
    file.write_text(text, encoding="utf-8")
    (tmp_path / "explanation.npz").write_bytes(b"cut")
    with pytest.raises(InputError, match="run `mmemo explain` again"):
        Explanation.load(tmp_path)


@pytest.mark.parametrize(
    ("delta", "difference", "relative", "converged"),
    [(0.05, 1.0, 0.05, True), (-0.06, 1.0, 0.06, False), (0.1, 0.0, None, False)],
)
def test_convergence(
    delta: float, difference: float, relative: float | None, converged: bool
) -> None:
    found = Convergence.of(given=difference, baseline=0.0, delta=delta)
    assert (found.relative_delta, found.converged) == (relative, converged)


def test_frames_by_hand() -> None:
    values = np.arange(45, dtype=float)
    sums = [sum(range(20)), sum(range(20, 40)), sum(range(40, 45))]
    np.testing.assert_allclose(frame_sums(values, 1000), sums)
    np.testing.assert_allclose(frame_means(values, 1000), np.array(sums) / [20, 20, 5])
    assert len(frame_sums(np.zeros(0), 1000)) == 0
