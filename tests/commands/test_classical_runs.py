"""Classical baselines go the way of every run: folder, tables, moving, comparing, answering."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mmemo
from mmemo import extras
from mmemo.data.datamodule import EmotionDataModule
from mmemo.evaluation.predictions import read_predictions
from mmemo.explanation.explanation import Explanation
from mmemo.runs.run_folder import RunFolder
from tests.commands.conftest import Cli, only_run
from tests.commands.hostile_runs import Pickled
from tests.commands.test_table_corpus import write_sound

pytestmark = pytest.mark.usefixtures("blank_figures")

NEURAL = (
    "audio_encoder",
    "text_encoder",
    "fusion",
    "classifier",
    "optimizer",
    "trainer.max_epochs",
)


@pytest.fixture
def classical(small: list[str]) -> list[str]:
    """Overrides of a run on the tones without those of the neural one."""
    return [option for option in small if not option.startswith(NEURAL)]


@pytest.fixture
def run(cli: Cli, classical: list[str], tmp_path: Path) -> RunFolder:
    grid = "classifier.grid.model__C=[0.01,1.0]"
    cli("train", *classical, "features=mfcc", "classifier=logistic", grid)
    return only_run(tmp_path)


def by_hand(run: RunFolder) -> pd.DataFrame:
    """Probabilities by scikit-learn's own pipeline, of the features that the run has used."""
    weights = torch.load(run.path / str(run.read_info().checkpoint), weights_only=True)
    state = weights["state_dict"]
    vectors = state["classifier.head.train_vectors"].double().numpy()
    targets = state["classifier.head.train_targets"].numpy()
    (kept,) = (p for p in (run.path.parents[2] / "cache" / "features").iterdir() if p.is_dir())
    found: dict[str, np.ndarray] = {}
    for path in kept.glob("*.npz"):
        with np.load(path) as file:
            found |= dict(zip(file["keys"].tolist(), file["features"][:, 0], strict=True))
    table = read_predictions(run.predictions_file)
    features = np.stack([found[key] for key in table["key"]]).astype(np.float64)
    classes = np.array(run.read_metrics().protocol.classes)
    is_val = (table["split"] == "val").to_numpy()
    best, best_score = None, -1.0
    for strength in (0.01, 1.0):
        fitted = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        fitted.fit(vectors, targets)
        answers = classes[fitted.predict(features[is_val])]
        score = recall_score(table["target"][is_val], answers, average="macro")
        if score > best_score:
            best, best_score = fitted, float(score)
    assert best is not None
    return pd.DataFrame(best.predict_proba(features), columns=[f"prob_{name}" for name in classes])


def test_a_run_is_scikit_learns_pipeline_with_all_files_of_a_run(run: RunFolder, cli: Cli) -> None:
    table = read_predictions(run.predictions_file)
    expected = by_hand(run)
    np.testing.assert_allclose(table[expected.columns], expected, atol=1e-6)
    info, protocol = run.read_info(), run.read_metrics().protocol
    assert (info.status, info.choices["classifier"]) == ("finished", "logistic")
    assert info.choices["features"] == "mfcc"
    assert protocol.selection == "settings with the max uar on validation"
    assert (protocol.loss, protocol.checkpoint_epoch) == (None, 0)
    assert run.read_metrics().calibration is not None
    tried = pd.read_csv(run.tuning_file)
    assert tried["model__C"].tolist() == [0.01, 1.0]
    assert tried["chosen"].sum() == 1
    assert tried["split_protocol"].tolist() == ["official", "official"]
    history = pd.read_csv(run.history_file)
    assert info.best_score == pytest.approx(history["val/loss"][0])
    val = table[table["split"] == "val"]
    own = np.array([row[f"prob_{row['target']}"] for _, row in val.iterrows()])
    assert history["val/loss"][0] == pytest.approx(-np.log(own).mean(), abs=1e-5)
    page = run.report_file.read_text()
    assert "settings with the max uar on validation" in page
    assert "mean score" in page
    assert not run.curves_file.exists()

    printed = cli("evaluate", f"run={run.path}").stdout
    assert "settings with the max uar on validation" in printed
    pd.testing.assert_frame_equal(read_predictions(run.predictions_file), table)


def test_a_moved_run_answers_without_features_and_corpus(run: RunFolder, tmp_path: Path) -> None:
    table = read_predictions(run.predictions_file).set_index("key")
    clips = shutil.move(tmp_path / "tones", tmp_path / "kept")
    elsewhere = shutil.move(run.path, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "cache")
    loaded = mmemo.load_run(elsewhere, accelerator="cpu")
    clip = next(Path(clips).glob("output_repeated*/dia0_utt2.mp4"))
    found = loaded.predict(clip, calibrated=False).by_class
    expected = table.loc["test/dia0_utt2"]
    for name, value in found.items():
        assert value == pytest.approx(expected[f"prob_{name}"], abs=1e-4)
    after = loaded.predict(clip).by_class
    assert sum(after.values()) == pytest.approx(1)
    assert max(after, key=after.__getitem__) == max(found, key=found.__getitem__)


def test_test_is_never_read_before(
    cli: Cli, classical: list[str], run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    ordered = EmotionDataModule.ordered_dataloader

    def noted(self: EmotionDataModule, split: str) -> object:
        read.append(split)
        return ordered(self, split)

    monkeypatch.setattr(EmotionDataModule, "ordered_dataloader", noted)
    cli("train", *classical, "features=mfcc", "classifier=logistic", "name=again")
    assert read == ["train", "val"]


def test_words_alone_are_learnt_and_read_again(
    cli: Cli, classical: list[str], tmp_path: Path
) -> None:
    cli("train", *classical, "features=tfidf", "classifier=linear_svm", "text_encoder.max_terms=64")
    run = only_run(tmp_path)
    table = read_predictions(run.predictions_file)
    assert not (tmp_path / "cache" / "features").exists(), "what is cheap is not kept"
    terms = json.loads((run.path / "text_encoder" / "terms.json").read_text())
    assert {"sentence", "anger", "of anger"} <= set(terms)
    assert "tone" not in terms, "test alone says it"
    cli("evaluate", f"run={run.path}")
    pd.testing.assert_frame_equal(read_predictions(run.predictions_file), table)
    answer = mmemo.load_run(run.path, accelerator="cpu").predict(text="Sentence 3 of joy.")
    assert answer.label == "joy"


@pytest.mark.slow
def test_a_sweep_is_compared(cli: Cli, classical: list[str], tmp_path: Path) -> None:
    sweep = ["classifier=linear_svm,logistic", "features=mfcc,logmel"]
    cli("train", "-m", *classical, *sweep)
    printed = cli("compare", "outputs/train", "metric=uar").stdout
    for classifier in ("linear_svm", "logistic"):
        for features in ("mfcc", "logmel"):
            assert f"audio_encoder={features}, classifier={classifier}" in printed


@pytest.mark.slow
def test_it_is_explained_without_gradients_and_exported(run: RunFolder, cli: Cli) -> None:
    cli(
        *("explain", f"run={run.path}", "keys=test/dia0_utt2", "logger=none"),
        "waveform_baseline.num_draws=1",
    )
    (explanation,) = run.path.rglob("explanation.json")
    assert "has no gradient" in explanation.read_text()
    refused = cli("export", f"run={run.path}", "format=onnx", expect=1).stderr
    assert "format=onnx: expected a head of torch's" in refused
    cli("export", f"run={run.path}", "format=huggingface", f"output={run.path.parent / 'hub'}")
    clip = next((run.path.parents[2] / "tones").glob("output_repeated*/dia0_utt2.mp4"))
    both = [
        mmemo.load_run(folder, accelerator="cpu").predict(clip, calibrated=False).by_class
        for folder in (run.path, run.path.parent / "hub")
    ]
    assert both[0] == pytest.approx(both[1], abs=1e-6)


EXPLAIN = ("waveform_baseline.num_draws=1", "logger=none", "num_pages=1")


@pytest.mark.slow
def test_its_features_are_attributed_and_checked(run: RunFolder, cli: Cli, tmp_path: Path) -> None:
    command = ["explain", f"run={run.path}", "faithfulness=true", *EXPLAIN]
    command += ["faithfulness_checks.num_randomised=1", "occlusion.stride_ms=100"]
    printed = cli(*command).stdout
    (folder,) = (p.parent for p in run.path.glob("explanations/*/feature_shap.json"))
    assert f"features: {folder / 'feature_shap.csv'}" in printed
    assert "they add up to the decision value" in printed
    document = json.loads((folder / "feature_shap.json").read_text())
    table = read_predictions(run.predictions_file)
    test = table[table["split"] == "test"].set_index("key")
    assert (document["num"], document["split"]) == (len(test), "test")
    assert document["is_complete"] is True
    assert document["estimator"] == "LogisticRegression"

    state = torch.load(run.path / str(run.read_info().checkpoint), weights_only=True)["state_dict"]
    vectors = state["classifier.head.train_vectors"].double().numpy()
    targets = state["classifier.head.train_targets"].numpy()
    strength = (0.01, 1.0)[int(state["classifier.head.chosen"])]
    scaler = StandardScaler().fit(vectors)
    model = LogisticRegression(C=strength, max_iter=2000).fit(scaler.transform(vectors), targets)
    classes = list(run.read_metrics().protocol.classes)
    values = pd.read_csv(folder / "feature_shap_utterances.csv")
    for key, found in values.groupby("key"):
        (name,) = set(found["class"])
        assert name == test.loc[key, "pred"]
        weights = model.coef_[classes.index(name)]
        places = [int(feature.removeprefix("mfcc").split("_")[0]) for feature in found["feature"]]
        assert len(places) == 120
        own = found["value"].to_numpy()
        by_hand = weights * scaler.transform(own[None])[0]
        np.testing.assert_allclose(found["shap"], by_hand, atol=1e-4)
    importance = pd.read_csv(folder / "feature_shap.csv")
    assert importance["mean_abs_shap"].is_monotonic_decreasing
    assert len(importance) == 120
    names = {row["name"] for row in document["checks"]}
    assert {"comprehensiveness", "correlation with a random model's"} <= names
    page = (folder / "index.html").read_text()
    assert "What the features say" in page
    assert importance["feature"][0] in page
    assert "feature SHAP: all is there" in cli(*command).stdout

    clip = next((tmp_path / "tones").glob("output_repeated*/dia0_utt2.mp4"))
    cli("explain", f"run={run.path}", f"input={clip}", "name=own", *EXPLAIN)
    own = pd.read_csv(run.path / "explanations" / "own" / "feature_shap_utterances.csv")
    same = values[values["key"] == "test/dia0_utt2"]
    np.testing.assert_allclose(own["value"], same["value"], rtol=1e-3, atol=1e-3)


def test_features_wait_for_the_package_shap(
    run: RunFolder, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: Callable[[str], object] = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "shap" else found(name))
    command = ["explain", f"run={run.path}", "keys=[test/dia0_utt2]", *EXPLAIN]
    assert "mmemo[shap]" in cli(*command, "feature_shap=true", expect=1).stderr
    assert "left out: feature_shap: expected the package shap" in cli(*command).stdout
    assert not list(run.path.rglob("feature_shap.json"))
    assert "left out" not in cli(*command, "feature_shap=false").stdout


def test_what_needs_a_gradient_alone_is_refused(run: RunFolder, cli: Cli) -> None:
    command = ["explain", f"run={run.path}", "keys=[test/dia0_utt2]", *EXPLAIN]
    told = cli(*command, "methods=[integrated_gradients]", expect=1).stderr
    assert "no Integrated Gradients of audio: a classical classifier has no gradient" in told
    assert "occlusion, lime and kernel_shap need no gradient" in told


@pytest.mark.slow
def test_words_are_explained_by_what_needs_no_gradient(
    cli: Cli, classical: list[str], tmp_path: Path
) -> None:
    forest = ["classifier=random_forest", "classifier.model.n_estimators=20"]
    forest += ["classifier.grid.model__min_samples_leaf=[1]"]
    forest += ["classifier.grid.model__max_features=[sqrt]"]
    cli("train", *classical, "features=tfidf", *forest, "text_encoder.max_terms=64")
    run = only_run(tmp_path)
    command = ["explain", f"run={run.path}", "text=Sentence 3 of joy.", *EXPLAIN]
    cli(*command, "methods=[occlusion,lime,kernel_shap]", "kernel_shap.num_samples=100")
    (path,) = run.path.rglob("explanation.json")
    explanation = Explanation.load(path.parent)
    assert list(explanation.attributions) == ["occlusion", "lime", "kernel_shap"]
    words = explanation.attributions["kernel_shap"].words
    assert words is not None and np.abs(words).max() > 0
    assert explanation.shapley is not None
    # Words alone: they have all of what the utterance says.
    assert words.sum() == pytest.approx(explanation.shapley.values["text"], abs=1e-3)
    values = pd.read_csv(next(run.path.rglob("feature_shap_utterances.csv")))
    told = set(values["feature"])
    assert "joy" in told
    assert not any(name.startswith("unused_") for name in told)


REFUSED = {
    "loss=weighted": "loss: expected cross_entropy for a classical classifier",
    "sampling=balanced": "sampling: expected natural for a classical classifier",
    "augmentation=gain": "augmentation: expected none for a classical classifier",
    "classifier/tuning=inner_folds": "classifier.tuning.num_folds: expected at most the 1 groups",
    "classifier.tuning.metric=uarr": "classifier.tuning: expected",
    "trainer=ddp_cpu": "trainer: expected one process",
    "+classifier.grid.model__c=[1]": "classifier.grid.model__c: expected a parameter",
    "audio_encoder=logmel_cnn": "audio_encoder: expected frozen features",
}


@pytest.mark.parametrize("option", REFUSED)
def test_what_cannot_be_is_refused(cli: Cli, classical: list[str], option: str) -> None:
    printed = cli("train", *classical, "features=mfcc", "classifier=logistic", option, expect=1)
    assert (
        REFUSED[option].replace("classifier.tuning: expected", "expected one of") in printed.stderr
    )


def test_a_missing_package_is_named(
    cli: Cli, classical: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: Callable[[str], object] = extras.find_spec
    absent = {"lightgbm", "shap"}
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in absent else found(name))
    options = ["features=mfcc", "classifier=lightgbm"]
    assert "mmemo[lightgbm]" in cli("train", *classical, *options, expect=1).stderr
    options = ["features=mfcc", "classifier=svm", "classifier/feature_selection=shapley"]
    assert "mmemo[shap]" in cli("train", *classical, *options, expect=1).stderr


def test_features_that_were_selected_are_told(
    cli: Cli, classical: list[str], tmp_path: Path
) -> None:
    cli(
        *(
            "train",
            *classical,
            "features=mfcc",
            "classifier=logistic",
            "classifier.grid.model__C=[1.0]",
        ),
        *("classifier/feature_selection=shapley", "classifier.feature_selection.num_features=7"),
        "classifier.feature_selection.ranking.model.n_estimators=5",
    )
    table = pd.read_csv(only_run(tmp_path).features_file)
    assert len(table) == 120
    assert table["selected"].sum() == 7
    assert table["selected"][:7].all(), "sorted by what they count"
    assert set(table["feature"]) > {"mfcc0_mean", "mfcc19_sd", "mfcc3_delta_delta_sd"}


def test_a_pickle_in_place_of_the_checkpoint_is_not_run(
    run: RunFolder, cli: Cli, tmp_path: Path
) -> None:
    marker = tmp_path / "touched"
    checkpoint = run.path / str(run.read_info().checkpoint)
    torch.save({"state_dict": Pickled(marker), "epoch": 0}, checkpoint)
    run.write_info(digests={})
    clip = next((tmp_path / "tones").glob("output_repeated*/dia0_utt2.mp4"))
    told = cli("predict", f"run={run.path}", f"input={clip}", expect=1).stderr
    assert "expected the checkpoint of this run, could not load it" in told
    assert not marker.exists()


def test_an_estimator_that_conf_does_not_name_has_to_be_trusted(
    cli: Cli, classical: list[str], tmp_path: Path
) -> None:
    bayes = "classifier.model={_target_: sklearn.naive_bayes.GaussianNB}"
    cli("train", *classical, "features=mfcc", "classifier=classical", bayes)
    run = only_run(tmp_path)
    assert "sklearn.naive_bayes.GaussianNB" in cli("evaluate", f"run={run.path}", expect=1).stderr
    cli("evaluate", f"run={run.path}", "trust=[sklearn.naive_bayes]")


@pytest.mark.slow
def test_it_is_evaluated_on_another_corpus(run: RunFolder, cli: Cli, tmp_path: Path) -> None:
    rows = []
    for place, emotion in enumerate(["anger", "joy"] * 3):
        path = tmp_path / "sounds" / f"{place}.wav"
        path.parent.mkdir(exist_ok=True)
        write_sound(path, 310.0 + 7 * place)
        rows.append([f"sounds/{path.name}", f"Line {place}.", emotion, f"p{place}", "test"])
    columns = ["path", "transcript", "emotion", "speaker", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "own.csv", index=False)
    cli(
        *("evaluate", f"run={run.path}", "corpus=table", f"corpus.csv={tmp_path / 'own.csv'}"),
        *(f"cache_dir={tmp_path / 'cache'}", "preparer.num_workers=0"),
    )
    (folder,) = run.path.glob("on_table-*")
    table = pd.read_parquet(folder / "predictions.parquet")
    assert len(table) == 6
    np.testing.assert_allclose(table[["prob_anger", "prob_joy"]].sum(axis=1), 1)
