"""A classical classifier over frozen features: an estimator of scikit-learn's kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from mmemo.errors import InputError
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.estimator_settings import check_settings
from mmemo.models.fusion import Fusion
from mmemo.models.precision import FixedBuffers
from mmemo.models.protocols import AudioEncoder, EncodedModality, FeatureDims, TextEncoder
from mmemo.models.tuning import LabelledVectors, Score, TriedSetting, Tuning, best_of

Probabilities = NDArray[np.float64]

_Prepared = tuple[list[tuple[str, Any]], NDArray[np.float64]]
"""Fitted steps before a model, and what they make of the rows that they were fitted on."""

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Stands for 0, whose logarithm no loss and no temperature can take."""

NUM_REMEMBERED = 16
"""Training rows whose answers tell whether a model that is fitted again is the same."""

TOLERANCE = 1e-4
"""By which those answers may differ on another machine."""


class Concatenation(Fusion):
    """The pooled vectors of all modalities side by side, for a head that takes no others.

    Args:
        input_dims: Sizes of each modality's features, by its name.
        head: Over them.
    """

    def __init__(self, input_dims: Mapping[str, FeatureDims], head: nn.Module) -> None:
        super().__init__(input_dims, modality_dropout=0.0)
        self.output_dim = sum(dims.pooled for dims in input_dims.values())
        self._heads = [head]

    def fuse(self, features: Mapping[str, EncodedModality], present: Tensor) -> Tensor:
        """Pooled vectors (B, D_m) to (B, D)."""
        return torch.cat([features[name].pooled for name in self.modalities], dim=1)

    def build_head(self, layers: object) -> nn.Module:
        """The one head."""
        return self._heads.pop()


class EstimatorHead(FixedBuffers):
    """A pipeline of scaling, feature selection and a model; fitted, and fitted again when loaded.

    What is saved of it is no model but the training vectors, their targets and which setting of
    the grid was chosen: tensors, which are read without running anything. The pipeline is fitted
    on them again when it is first asked; a few of the answers are kept to find that another
    version of its library fits another model.

    An estimator with ``predict_proba`` answers by it; of another, the softmax of its decision
    function (for two classes, of 0 and that) stands for probabilities, whose largest is its
    answer.

    Args:
        num_features: D.
        num_classes: C.
        model: The estimator, not fitted.
        grid: By name of the pipeline's parameter (``model__C``) the values that are tried.
        scaling: A transformer before it; None for none.
        scaled_columns: Of the vectors those that it is for.
        feature_selection: A transformer behind that; None for none.

    Raises:
        InputError: If the grid names no parameter, or a setting's text is no name.
    """

    train_vectors: Tensor
    train_targets: Tensor
    chosen: Tensor
    remembered: Tensor

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        model: Any,  # noqa: ANN401
        grid: Mapping[str, Sequence[Any]],
        scaling: Any = None,  # noqa: ANN401
        scaled_columns: Sequence[int] = (),
        feature_selection: Any = None,  # noqa: ANN401
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_classes = num_classes
        self.model = model
        self.scaling = scaling if len(scaled_columns) else None
        self.scaled_columns = list(scaled_columns)
        self.feature_selection = feature_selection
        self.settings: list[dict[str, Any]] = list(ParameterGrid(dict(grid)))
        parameters = [name for name in self.pipeline({}).get_params() if "__" in name]
        check_settings(model, grid, parameters)
        self._fitted: Pipeline | None = None
        self.register_buffer("train_vectors", torch.zeros(0, num_features))
        self.register_buffer("train_targets", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("chosen", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("remembered", torch.zeros(0, num_classes))

    def pipeline(self, settings: Mapping[str, Any]) -> Pipeline:
        """The pipeline with those settings, not fitted."""
        steps = []
        if self.scaling is not None:
            columns = [("scaled", clone(self.scaling), self.scaled_columns)]
            steps.append(("scaling", ColumnTransformer(columns, remainder="passthrough")))
        if self.feature_selection is not None:
            steps.append(("selection", clone(self.feature_selection, safe=False)))
        steps.append(("model", clone(self.model)))
        return Pipeline(steps).set_params(**settings)

    def fit(
        self, train: LabelledVectors, val: LabelledVectors, tuning: Tuning, score: Score
    ) -> list[TriedSetting]:
        """Choose a setting and fit it on all training rows.

        Args:
            train: Training rows.
            val: Validation rows.
            tuning: Says which of them are fitted on and scored.
            score: Of probabilities; the highest is best.

        Returns:
            What was tried; the chosen setting is the first with the highest mean.

        Raises:
            InputError: If a setting cannot be fitted.
        """
        by_fold = [
            self._scores(fitted, scored, score) for fitted, scored in tuning.folds(train, val)
        ]
        tried = [
            TriedSetting(settings, tuple(scores))
            for settings, *scores in zip(self.settings, *by_fold, strict=True)
        ]
        best = best_of(tried)
        self._fitted = self._fit(self.settings[best], train)
        self.train_vectors = torch.from_numpy(train.vectors.astype(np.float32))
        self.train_targets = torch.from_numpy(train.targets)
        self.chosen = torch.tensor([best])
        self.remembered = self._remembered(self._fitted)
        return tried

    def fitted(self) -> Pipeline:
        """The pipeline, fitted again where it was loaded.

        Raises:
            InputError: If nothing was fitted, or the answers on training rows are others now.
        """
        if self._fitted is None:
            pipeline = self._fit(self._chosen_settings(), self._train_rows())
            found = self._remembered(pipeline)
            if not torch.allclose(found, self.remembered.cpu(), rtol=0, atol=TOLERANCE):
                raise InputError(
                    "classifier: expected the same answers on training rows from the model that "
                    f"was fitted on them again, they differ by up to "
                    f"{float((found - self.remembered.cpu()).abs().max()):.2g}: another version of "
                    f"its library fits another model (here is scikit-learn {sklearn.__version__}); "
                    "install the version of the training, or train again"
                )
            self._fitted = pipeline
        return self._fitted

    def shuffle_targets(self, generator: torch.Generator) -> None:
        """Fit the chosen setting on the same rows with their classes in a random order."""
        order = torch.randperm(len(self.train_targets), generator=generator)
        self.train_targets = self.train_targets[order.to(self.train_targets.device)]
        self._fitted = self._fit(self._chosen_settings(), self._train_rows())
        self.remembered = self._remembered(self._fitted)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, D) to logarithms of probabilities (B, C)."""
        answers = self._answers(self.fitted(), vectors.detach().double().cpu().numpy())
        return torch.from_numpy(np.log(answers)).to(vectors)

    def _scores(self, rows: LabelledVectors, scored: LabelledVectors, score: Score) -> list[float]:
        """Of each setting, fitted on some rows, the score on others."""
        prepared: dict[str, _Prepared] = {}
        scores = []
        for settings in self.settings:
            fitted = self._fit(settings, rows, prepared)
            with self._explained(settings, rows):
                scores.append(score(self._answers(fitted, scored.vectors), scored.targets))
        return scores

    @contextmanager
    def _explained(self, settings: Mapping[str, Any], rows: LabelledVectors) -> Iterator[None]:
        """Let what an estimator raises tell its settings.

        Raises:
            InputError: In its place.
        """
        try:
            yield
        except InputError:
            raise
        # A regression has no classes, and no decision function.
        except (ValueError, TypeError, AttributeError) as error:
            told = ", ".join(f"{name}={value}" for name, value in settings.items()) or "no grid"
            raise InputError(
                f"classifier: expected settings that {type(self.model).__name__} can be fitted "
                f"with ({told}; {len(rows.targets)} rows), could not: {error}"
            ) from error

    def _fit(
        self,
        settings: Mapping[str, Any],
        rows: LabelledVectors,
        prepared: dict[str, _Prepared] | None = None,
    ) -> Pipeline:
        """The pipeline of a setting, fitted.

        Args:
            settings: Of the grid.
            rows: What it is fitted on.
            prepared: What was fitted before the model on the same rows, by its settings: a ranking
                of features costs more than most models.
        """
        known = {} if prepared is None else prepared
        *before, (name, model) = self.pipeline(settings).steps
        others = repr([item for item in settings.items() if not item[0].startswith("model__")])
        with self._explained(settings, rows):
            if others not in known:
                vectors = rows.vectors
                for _, step in before:
                    vectors = step.fit_transform(vectors, rows.targets)
                known[others] = (before, vectors)
            before, vectors = known[others]
            model.fit(vectors, rows.targets)
        return Pipeline([*before, (name, model)])

    def _answers(self, pipeline: Pipeline, vectors: NDArray[np.float64]) -> Probabilities:
        """Probabilities (N, C) of vectors (N, D), none of them 0."""
        if hasattr(pipeline, "predict_proba"):
            found = pipeline.predict_proba(vectors)
        else:
            decided = pipeline.decision_function(vectors)
            if decided.ndim == 1:
                decided = np.stack([np.zeros_like(decided), decided], axis=1)
            found = softmax(decided, axis=1)
        # Of classes without a training row no estimator knows.
        answers = np.zeros((len(vectors), self.num_classes))
        answers[:, pipeline.classes_] = found
        answers = np.maximum(answers, LEAST_PROBABILITY)
        normed: Probabilities = answers / answers.sum(axis=1, keepdims=True)
        return normed

    def _remembered(self, pipeline: Pipeline) -> Tensor:
        vectors = self.train_vectors[:NUM_REMEMBERED].cpu().double().numpy()
        return torch.from_numpy(self._answers(pipeline, vectors)).float()

    def _train_rows(self) -> LabelledVectors:
        vectors = self.train_vectors.cpu().double().numpy()
        targets = self.train_targets.cpu().numpy().astype(np.int64)
        is_whole = (
            vectors.ndim == 2
            and vectors.shape[1] == self.num_features
            and targets.shape == (len(vectors),)
            and len(targets) > 0
            and targets.min() >= 0
            and targets.max() < self.num_classes
        )
        if not is_whole:
            raise InputError(
                f"classifier: expected training vectors (N, {self.num_features}) and targets "
                f"(N,) below {self.num_classes}, got {vectors.shape} and {targets.shape}; train "
                "again"
            )
        return LabelledVectors(vectors, targets, np.zeros_like(targets))

    def _chosen_settings(self) -> Mapping[str, Any]:
        place = int(self.chosen[0]) if self.chosen.numel() == 1 else -1
        if not 0 <= place < len(self.settings):
            raise InputError(
                f"classifier: expected the number of one of {len(self.settings)} settings of "
                f"classifier.grid, got {self.chosen.tolist()}; restore the run's config"
            )
        return self.settings[place]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:  # noqa: ANN401
        """Take rows however many there are; the pipeline is fitted when it is asked."""
        for name in ("train_vectors", "train_targets", "remembered"):
            given = state_dict.get(prefix + name)
            if isinstance(given, Tensor):
                setattr(self, name, torch.empty_like(given, device=getattr(self, name).device))
        self._fitted = None
        super()._load_from_state_dict(state_dict, prefix, *others)


class ClassicalClassifier(EmotionClassifier):
    """An estimator over the pooled features of frozen encoders, side by side.

    It is fitted once (``head.fit``) and not trained by steps.

    Args:
        audio_encoder: Sound to features, or None.
        text_encoder: Text to features, or None.
        fusion: Not for it: vectors are put side by side.
        num_classes: C.
        model: An estimator of scikit-learn's kind, not fitted.
        tuning: Says on which rows the grid's settings are fitted and scored.
        grid: By name of the pipeline's parameter (``model__C``) the values that are tried; empty
            to take the model as it is.
        scaling: A transformer before the model, fitted on the rows that the model is; None for
            none. Features of unit norm already (``unit_norm`` of an encoder) are left as they
            are.
        feature_selection: A transformer behind that; None for all features.

    Raises:
        InputError: If there is no encoder, one is not frozen, or the grid names no parameter.
    """

    has_gradient = False

    def __init__(
        self,
        audio_encoder: AudioEncoder | None,
        text_encoder: TextEncoder | None,
        fusion: object,
        num_classes: int,
        model: Any,  # noqa: ANN401
        tuning: Tuning,
        grid: Mapping[str, Sequence[Any]] | None = None,
        scaling: Any = None,  # noqa: ANN401
        feature_selection: Any = None,  # noqa: ANN401
    ) -> None:
        encoders = {"audio_encoder": audio_encoder, "text_encoder": text_encoder}
        scaled_columns: list[int] = []
        start = 0
        for option, encoder in encoders.items():
            if encoder is None:
                continue
            if not encoder.frozen:
                raise InputError(
                    f"{option}: expected frozen features for a classical classifier, got "
                    f"{type(encoder).__name__}, which is trained; choose features=…, or set "
                    f"{option}.trainable=none for a pretrained one"
                )
            if not getattr(encoder, "unit_norm", False):
                scaled_columns += range(start, start + encoder.output_dim)
            start += encoder.output_dim
        head = EstimatorHead(
            start, num_classes, model, grid or {}, scaling, scaled_columns, feature_selection
        )
        super().__init__(
            audio_encoder, text_encoder, lambda dims: Concatenation(dims, head), num_classes
        )
        self.tuning = tuning

    @property
    def estimator(self) -> EstimatorHead:
        """What is fitted."""
        return cast(EstimatorHead, self.head)
