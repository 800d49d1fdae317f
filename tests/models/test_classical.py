from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import recall_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import nn

from mmemo.commands.launch import config_dir
from mmemo.errors import InputError
from mmemo.models.classical import ClassicalClassifier, EstimatorHead
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.models.tuning import InnerFolds, LabelledVectors, ValidationTuning, best_of

CS = (0.01, 1.0, 100.0)
OPTIONS = sorted(
    path.stem
    for path in (config_dir() / "classifier").glob("*.yaml")
    if path.stem != "classical" and not path.stem.startswith("two_layer")
)


def uar(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    return float(recall_score(targets, probabilities.argmax(axis=1), average="macro"))


def rows(seed: int, num_rows: int = 60, num_classes: int = 3) -> LabelledVectors:
    """Noisy clouds around a class' own place, in features of very different sizes."""
    drawn = np.random.default_rng(seed)
    targets = np.arange(num_rows) % num_classes
    centres = np.random.default_rng(0).normal(size=(num_classes, 4))
    vectors = (centres[targets] + drawn.normal(size=(num_rows, 4))) * [1.0, 10.0, 100.0, 0.01]
    return LabelledVectors(
        vectors.astype(np.float32).astype(np.float64), targets, np.arange(num_rows) // 6
    )


TRAIN, VAL = rows(1), rows(2)
UNFITTED = StandardScaler()


def head(
    model: BaseEstimator,
    grid: Mapping[str, Sequence[object]],
    num_classes: int = 3,
    scaling: TransformerMixin | None = UNFITTED,
) -> EstimatorHead:
    return EstimatorHead(4, num_classes, model, grid, scaling, range(4))


def answers(found: EstimatorHead, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    logits = found(torch.from_numpy(vectors).float())
    return np.asarray(logits.softmax(dim=1).double())


def test_it_is_the_pipeline_that_validation_chooses() -> None:
    by_hand = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500)).fit(
            TRAIN.vectors, TRAIN.targets
        )
        for c in CS
    }
    scores = [
        recall_score(VAL.targets, fitted.predict(VAL.vectors), average="macro")
        for fitted in by_hand.values()
    ]
    found = head(LogisticRegression(max_iter=500), {"model__C": CS})
    tried = found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    assert [one.settings["model__C"] for one in tried] == list(CS)
    np.testing.assert_allclose([one.mean for one in tried], scores)
    best = by_hand[CS[int(np.argmax(scores))]]
    np.testing.assert_allclose(
        answers(found, VAL.vectors), best.predict_proba(VAL.vectors), atol=1e-6
    )


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_machine_without_probabilities_answers_as_it_predicts(num_classes: int) -> None:
    train, val = rows(1, num_classes=num_classes), rows(2, num_classes=num_classes)
    found = head(SVC(break_ties=True), {}, num_classes)
    found.fit(train, val, ValidationTuning("uar"), uar)
    by_hand = make_pipeline(StandardScaler(), SVC(break_ties=True))
    by_hand.fit(train.vectors, train.targets)
    np.testing.assert_array_equal(
        answers(found, val.vectors).argmax(axis=1), by_hand.predict(val.vectors)
    )


def test_scaling_is_of_training_rows_alone() -> None:
    found = head(LogisticRegression(), {})
    found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    scaler = found.fitted().named_steps["scaling"].named_transformers_["scaled"]
    np.testing.assert_allclose(scaler.mean_, TRAIN.vectors.mean(axis=0))


def test_inner_folds_keep_groups_together_and_leave_validation_alone() -> None:
    tuning = InnerFolds("uar", ["speaker"], num_folds=3)
    folds = tuning.folds(TRAIN, VAL)
    assert sorted(np.concatenate([inside.groups for _, inside in folds])) == sorted(TRAIN.groups)
    for outside, inside in folds:
        assert not set(outside.groups) & set(inside.groups)
    nonsense = LabelledVectors(VAL.vectors * np.nan, VAL.targets, VAL.groups)
    found = head(LogisticRegression(), {"model__C": CS})
    tried = found.fit(TRAIN, nonsense, tuning, uar)
    by_hand = [
        uar(
            make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
            .fit(outside.vectors, outside.targets)
            .predict_proba(inside.vectors),
            inside.targets,
        )
        for outside, inside in folds
    ]
    np.testing.assert_allclose(tried[1].scores, by_hand)
    assert len(found.train_vectors) == len(TRAIN.targets), "fitted on all training rows again"


def test_fewer_groups_than_folds_are_refused() -> None:
    with pytest.raises(InputError, match="expected at most the 10 groups of training rows"):
        InnerFolds("uar", ["speaker"], num_folds=11).folds(TRAIN, VAL)


def test_a_fold_that_leaves_one_class_is_refused() -> None:
    # All rows of class 0 are one speaker's: without him there is class 1 alone.
    targets = np.repeat([0, 1, 1], 4)
    train = LabelledVectors(rows(1, 12).vectors, targets, np.repeat([0, 1, 2], 4))
    with pytest.raises(InputError, match=r"fold \d of 3 by speaker has 1 and 4; lower num_folds"):
        InnerFolds("uar", ["speaker"], num_folds=3).folds(train, VAL)


def test_a_fold_without_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.arange(len(TRAIN.targets))
    dealt = [(places[:30], places[30:]), (places, places[:0])]
    monkeypatch.setattr("mmemo.models.tuning.stratified_folds", lambda *_: dealt)
    with pytest.raises(InputError, match=r"fold 2 of 2 by speaker has 3 and 0"):
        InnerFolds("uar", ["speaker"], num_folds=2).folds(TRAIN, VAL)


def test_the_first_of_equal_settings_is_chosen() -> None:
    found = head(LogisticRegression(), {"model__max_iter": [400, 500]})
    tried = found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    assert tried[0].mean == tried[1].mean
    assert best_of(tried) == 0 == int(found.chosen)


def test_a_loaded_head_answers_the_same_and_another_library_is_found(tmp_path: Path) -> None:
    found = head(LogisticRegression(), {"model__C": CS})
    found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    torch.save(found.state_dict(), tmp_path / "head.ckpt")
    state = torch.load(tmp_path / "head.ckpt", weights_only=True)
    loaded = head(LogisticRegression(), {"model__C": CS})
    loaded.load_state_dict(state)
    np.testing.assert_array_equal(answers(loaded, VAL.vectors), answers(found, VAL.vectors))

    # Stands for a version that fits otherwise.
    other = head(LogisticRegression(fit_intercept=False), {"model__C": CS})
    other.load_state_dict(state)
    with pytest.raises(InputError, match="expected the same answers on training rows"):
        answers(other, VAL.vectors)


def test_shuffled_classes_leave_nothing_that_was_learnt() -> None:
    found = head(LogisticRegression(), {})
    found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    before = uar(answers(found, TRAIN.vectors), TRAIN.targets)
    found.shuffle_targets(torch.Generator().manual_seed(0))
    assert sorted(found.train_targets.tolist()) == sorted(TRAIN.targets)
    assert uar(answers(found, TRAIN.vectors), TRAIN.targets) < before - 0.2


DAMAGED = {
    "train_targets": torch.full((60,), 7),
    "train_vectors": torch.zeros(60, 3),
    "chosen": torch.tensor([3]),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_state_is_named(name: str) -> None:
    found = head(LogisticRegression(), {"model__C": CS})
    found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    loaded = head(LogisticRegression(), {"model__C": CS})
    loaded.load_state_dict({**found.state_dict(), name: DAMAGED[name]})
    with pytest.raises(InputError, match="classifier: expected"):
        loaded.fitted()


def test_a_class_without_training_rows_is_never_the_answer() -> None:
    found = head(LogisticRegression(), {}, num_classes=4)
    found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    given = answers(found, VAL.vectors)
    assert given.shape == (60, 4)
    assert given[:, 3].max() < 1e-6
    np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_fitted_and_fitted_again_alike(option: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", ["corpus.root=/data", f"classifier={option}"])
    parts = [instantiate(cfg.classifier[name]) for name in ("model", "scaling")]
    if "max_iter" in cfg.classifier.model and option == "gradient_boosting":
        parts[0].set_params(max_iter=5)
    if "n_estimators" in cfg.classifier.model:
        parts[0].set_params(n_estimators=20)
    grid = {name: list(values)[-1:] for name, values in cfg.classifier.grid.items()}
    found, loaded = (head(parts[0], grid, scaling=parts[1]) for _ in range(2))
    (tried,) = found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    assert tried.mean > 0.5, "by chance 0.33"
    loaded.load_state_dict(found.state_dict())
    np.testing.assert_array_equal(answers(loaded, VAL.vectors), answers(found, VAL.vectors))


def test_a_grid_of_no_parameter_is_refused() -> None:
    with pytest.raises(InputError, match=r"classifier.grid.model__c: expected a parameter"):
        head(LogisticRegression(), {"model__c": [1.0]})


def test_settings_that_do_not_fit_are_named() -> None:
    found = head(LogisticRegression(), {"model__C": [-1.0]})
    with pytest.raises(InputError, match=r"LogisticRegression can be fitted with \(model__C=-1.0"):
        found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)


def test_more_neighbours_than_rows_are_named() -> None:
    found = head(KNeighborsClassifier(), {"model__n_neighbors": [61]})
    with pytest.raises(InputError, match=r"model__n_neighbors=61; 60 rows\), could not"):
        found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)


def test_a_regression_is_named() -> None:
    found = head(Ridge(), {})
    with pytest.raises(InputError, match=r"Ridge can be fitted .* no attribute 'decision_fun"):
        found.fit(TRAIN, VAL, ValidationTuning("uar"), uar)


def test_what_lightgbm_would_pass_on_is_refused() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    with pytest.raises(InputError, match="classifier.model.forcedsplits_filename: expected"):
        head(lightgbm.LGBMClassifier(forcedsplits_filename="/etc/hosts"), {})


SMUGGLED = "gbdt forcedsplits_filename=/etc/hosts"
HOSTILE = {
    "boosting_type": SMUGGLED,
    "verbose": "-1 forcedsplits_filename=/etc/hosts",
    "max_bin": [255, "63\tforcedsplits_filename=/etc/hosts"],
    "class_weight": {0: SMUGGLED},
    "objective": "multiclass\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_setting_that_lightgbm_would_read_as_several_is_refused(name: str) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    with pytest.raises(InputError, match=rf"classifier.model.{name}: expected a name of letters"):
        head(lightgbm.LGBMClassifier(**{name: HOSTILE[name]}), {})


@pytest.mark.parametrize("value", [SMUGGLED, ["gbdt", SMUGGLED], {"gbdt": SMUGGLED}, {SMUGGLED: 1}])
def test_so_is_one_of_a_grid(value: object) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    grid = {"model__boosting_type": ["gbdt", value]}
    with pytest.raises(InputError, match="classifier.grid.model__boosting_type: expected a name"):
        head(lightgbm.LGBMClassifier(), grid)


class Frozen(nn.Module):
    frozen = True
    frame_dim = 2
    output_dim = 2


class UnitNorm(Frozen):
    unit_norm = True


def test_modalities_stand_side_by_side_and_what_has_unit_norm_is_not_scaled() -> None:
    given: Any = [Frozen(), UnitNorm()]
    classifier = ClassicalClassifier(
        *given, None, 3, SVC(), ValidationTuning("uar"), scaling=StandardScaler()
    )
    classifier.estimator.fit(TRAIN, VAL, ValidationTuning("uar"), uar)
    scaled = classifier.estimator.fitted().named_steps["scaling"].transform(TRAIN.vectors)
    np.testing.assert_allclose(scaled[:, :2].std(axis=0), 1)
    np.testing.assert_array_equal(scaled[:, 2:], TRAIN.vectors[:, 2:])


def test_an_encoder_that_is_trained_is_refused() -> None:
    with pytest.raises(InputError, match="audio_encoder: expected frozen features"):
        ClassicalClassifier(LogMelEncoder(), None, None, 3, SVC(), ValidationTuning("uar"))
