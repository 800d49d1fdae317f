"""Numbers that a user sets."""

import math
from collections.abc import Callable

import pytest

from mmemo.audio.preparation import Preparer
from mmemo.corpora.annotations import Annotations
from mmemo.corpora.clips import ClipFiles
from mmemo.corpora.oversampled_split import OversampledBeforeSplit
from mmemo.corpora.splits import GroupDisjointSplit
from mmemo.corpora.spoken_demo import SpokenDemoCorpus
from mmemo.corpora.table import TableCorpus
from mmemo.corpora.utterance import LabelSet
from mmemo.data.datamodule import check_loading
from mmemo.errors import InputError
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.logmel_encoder import LogMelEncoder
from mmemo.values import check_real, check_seed, check_whole


@pytest.mark.parametrize("value", [1.0, 1.5, "1", None, True, math.nan, math.inf])
def test_what_is_no_whole_number(value: object) -> None:
    with pytest.raises(InputError, match=f"data.batch_size: expected a whole number, got {value}"):
        check_whole("data.batch_size", value, 1)


def test_ranges_hold_their_ends() -> None:
    check_whole("n", 1, 1, 3)
    check_whole("n", 3, 1, 3)
    check_seed("seed", 2**32 - 1)
    check_real("x", 0, 0)
    check_real("x", 1e-9, 0, above=True, below=1)
    for check, message in (
        (lambda: check_whole("n", 0, 1), "n: expected at least 1, got 0"),
        (lambda: check_whole("n", 4, 1, 3), "n: expected at most 3, got 4"),
        (lambda: check_seed("seed", -1), "seed: expected at least 0, got -1"),
        (lambda: check_seed("seed", 2**32), "seed: expected at most 4294967295"),
        (lambda: check_real("x", 0, 0, above=True), "x: expected more than 0, got 0"),
        (lambda: check_real("x", 1, 0, below=1), "x: expected at least 0 and below 1, got 1"),
        (lambda: check_real("x", -0.1, 0), "x: expected at least 0, got -0.1"),
    ):
        with pytest.raises(InputError, match=message):
            check()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1", None])
def test_what_is_no_finite_number(value: object) -> None:
    with pytest.raises(InputError, match=f"x: expected at least 0, got {value}"):
        check_real("x", value, 0)


LOADING = {
    "batch_size": 8,
    "eval_batch_size": 8,
    "max_duration_s": 8.0,
    "num_workers": 0,
    "bucket_batches": 0,
    "min_duration_s": 0.0,
    "seed": 0,
}


def classifier(**settings: float) -> EmotionClassifier:
    return EmotionClassifier(LogMelEncoder(), None, lambda dims: None, 2, **settings)


def folds(**settings: int) -> GroupDisjointSplit:
    given = {"num_test_folds": 5, "num_val_folds": 5, "test_fold": 0, "seed": 0, **settings}
    return GroupDisjointSplit("speaker_disjoint", ["speaker"], **given)


@pytest.mark.parametrize(
    ("build", "setting"),
    [
        (lambda: check_loading(**LOADING | {"batch_size": 1.5}), "data.batch_size"),
        (lambda: check_loading(**LOADING | {"eval_batch_size": 0}), "data.eval_batch_size"),
        (lambda: check_loading(**LOADING | {"max_duration_s": math.nan}), "data.max_duration_s"),
        (lambda: check_loading(**LOADING | {"max_duration_s": 0}), "data.max_duration_s"),
        (lambda: check_loading(**LOADING | {"max_duration_s": -1}), "data.max_duration_s"),
        (lambda: check_loading(**LOADING | {"num_workers": -1}), "data.num_workers"),
        (lambda: check_loading(**LOADING | {"bucket_batches": -1}), "data.bucket_batches"),
        (lambda: check_loading(**LOADING | {"min_duration_s": math.nan}), "min_duration_s"),
        (lambda: check_loading(**LOADING | {"seed": -1}), "seed"),
        (lambda: Preparer("p", max_duration_s=math.nan), "preparer.max_duration_s"),
        (lambda: Preparer("p", max_duration_s=math.inf), "preparer.max_duration_s"),
        (lambda: Preparer("p", sample_rate=0), "preparer.sample_rate"),
        (lambda: Preparer("p", num_workers=1.5), "preparer.num_workers"),
        (lambda: classifier(hidden_dim=0), "classifier.hidden_dim"),
        (lambda: classifier(dropout=1.0), "classifier.dropout"),
        (lambda: classifier(dropout=math.nan), "classifier.dropout"),
        (lambda: folds(seed=-1), "split.seed"),
        (lambda: folds(num_test_folds=2.5), "split.num_test_folds"),
        (lambda: OversampledBeforeSplit(["train"], 0.1, 0.1, -1), "split.seed"),
        (lambda: OversampledBeforeSplit(["train"], math.nan, 0.1, 0), "split.test_share"),
        (lambda: SpokenDemoCorpus("d", seed=-1), "corpus.seed"),
        (lambda: SpokenDemoCorpus("d", num_utterances=40.5), "corpus.num_utterances"),
        (lambda: TableCorpus("c.csv", seed=-1), "corpus.seed"),
    ],
)
def test_a_value_is_refused_where_it_is_used(build: Callable[[], object], setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting}.*: expected "):
        build()


@pytest.mark.parametrize("colour", ["#12", "ff0000", "#gg0000", "blueish", "", 255, None])
def test_a_wrong_colour_is_found_before_training(colour: str) -> None:
    with pytest.raises(InputError, match=r"labels 'two': expected a colour .* for joy"):
        LabelSet("two", {"anger": "#000000", "joy": colour})
    assert len(LabelSet("two", {"anger": "crimson", "joy": "#0072B2"})) == 2


@pytest.mark.parametrize("name", ["a/b", "", "..", ".hidden", "a\0b", "a\nb", " a", "x" * 200])
def test_a_corpus_name_makes_a_folder(name: str) -> None:
    with pytest.raises(InputError, match=r"corpus\.name: expected letters"):
        Annotations(name, (), ClipFiles())
    assert Annotations("Émotions 2.0_b", (), ClipFiles()).corpus
