from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from mmemo.errors import InputError
from mmemo.evaluation.shift import TrainingEmbeddings, shift_metrics


def training(num: int = 200, size: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    target = np.arange(num) % 2
    centre = np.where(target[:, None] == 0, 0.0, 5.0)
    return random.normal(size=(num, size)) * np.array([1.0, 2.0, 0.5]) + centre, target


def known() -> TrainingEmbeddings:
    found = TrainingEmbeddings.of(*training())
    assert found is not None
    return found


def test_distances_are_scipys_to_the_nearest_class() -> None:
    embeddings, target = training()
    means = [embeddings[target == place].mean(axis=0) for place in (0, 1)]
    centred = embeddings - np.array(means)[target]
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(centred).covariance_)
    asked = np.array([[0.0, 0.0, 0.0], [5.0, 5.0, 4.0], [2.0, 9.0, -1.0]])
    expected = [min(mahalanobis(row, mean, inverse) for mean in means) for row in asked]
    assert known().distances(asked) == pytest.approx(expected)


def test_a_feature_that_never_varies_is_no_infinite_distance() -> None:
    embeddings, target = training()
    embeddings = np.hstack([embeddings, np.zeros((200, 1))])
    found = TrainingEmbeddings.of(embeddings, target)
    assert found is not None
    assert np.isfinite(found.distances(embeddings)).all()
    assert TrainingEmbeddings.of(np.ones((4, 2)), np.array([0, 0, 1, 1])) is None


def test_shares_of_validation_and_what_is_far() -> None:
    found = TrainingEmbeddings(np.zeros((1, 1)), np.eye(1), np.arange(1.0, 101.0), 10)
    assert found.farther_than(np.array([0.5, 50.5, 99.0, 99.5, 200.0])).tolist() == [
        *(0.0, 0.5, 0.98, 0.99, 1.0)
    ]
    assert found.far_distance == 99.0
    test = pd.DataFrame(
        {
            "target": ["a", "a", "b", "b"],
            "pred": ["a", "b", "b", "a"],
            "unit": ["u1", "u2", "u3", "u4"],
        }
    )
    told = shift_metrics(found, test, np.array([1.0, 2.0, 3.0, 150.0]), "utterance")
    assert (told.test_share_far, told.accuracy_near, told.accuracy_far) == (0.25, 2 / 3, 0.0)
    assert (told.val_median, told.test_median, told.threshold) == (50.5, 2.5, 99.0)


def test_it_survives_its_file_which_needs_no_pickle(tmp_path: Path) -> None:
    embeddings, _ = training()
    before = TrainingEmbeddings(
        known().means, known().whitening, np.sort(known().distances(embeddings)), 200
    )
    before.write(tmp_path / "t.npz")
    after = TrainingEmbeddings.read(tmp_path / "t.npz")
    assert after.num_train == 200
    assert after.distances(embeddings) == pytest.approx(before.distances(embeddings), rel=1e-5)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    for content in (b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"t\.npz: expected what the run knows of the training"
        ):
            TrainingEmbeddings.read(path)
    pickled = {"means": np.array([{"a": 1}], dtype=object)}
    np.savez(path, **pickled)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"it cannot be read"):
        TrainingEmbeddings.read(path)
    np.savez(path, means=np.zeros((2, 3)), whitening=np.eye(2), val_distances=[1.0], num_train=1)
    with pytest.raises(InputError, match=r"its arrays do not fit together"):
        TrainingEmbeddings.read(path)
