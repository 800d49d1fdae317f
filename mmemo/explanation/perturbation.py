"""What a model says of one utterance where parts of it are replaced by a baseline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mmemo.data.batch import AudioInput, TextInput
from mmemo.explanation.baselines import Baselines
from mmemo.explanation.frames import frame_samples
from mmemo.explanation.inputs import UtteranceInput
from mmemo.explanation.passes import ExplanationError, PassCounter, with_smaller_batches
from mmemo.explanation.selection import get_output
from mmemo.models.classifier import EmotionClassifier
from mmemo.models.protocols import Features

Masks = NDArray[np.bool_]


def freeze_classifier(classifier: nn.Module) -> None:
    """Turn off all that is random and the gradients of all parameters, in place.

    Only the input's gradients are wanted: without the others a pass costs a third less.
    """
    classifier.eval().requires_grad_(False)


class PerturbedUtterance:
    """F of an utterance's class, as a function of its sound and of its tokens' embeddings.

    A modality that is not replaced is encoded once.

    Args:
        classifier: Made ready by ``freeze_classifier``.
        inputs: The utterance, on the classifier's device.
        baselines: What stands in for it, on the same device.
        target: Index of the class; None for the one that the model predicts.
        output: Name of F, see ``get_output``.
        progress: Called with the number of passes just done.

    Raises:
        ExplanationError: If the model's answer to the utterance is not finite.
    """

    def __init__(
        self,
        classifier: EmotionClassifier,
        inputs: UtteranceInput,
        baselines: Baselines,
        target: int | None,
        output: str,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.classifier = classifier
        self.inputs = inputs
        self.baselines = baselines
        self.passes = PassCounter(progress)
        self._output = get_output(output)
        self.waveform = inputs.waveform
        self.embeddings: Tensor | None = None
        if classifier.text_encoder is not None and inputs.text is not None:
            with torch.no_grad():
                self.embeddings = classifier.text_encoder.embed(inputs.text.input_ids)
        self._features, self.no_gradient = self._look()
        with torch.no_grad():
            self.logits = classifier.classify(self._features)[0].float()
        if not self.logits.isfinite().all():
            raise ExplanationError(
                f"{inputs.key}: expected a finite answer, got the logits {self.logits.tolist()}; "
                "look at the run's training and at this utterance's sound"
            )
        self.target = self.predicted if target is None else target

    def _look(self) -> tuple[dict[str, Features], dict[str, str]]:
        """Features of the utterance; by modality, why there is no gradient for its input."""
        tensors = {"audio": self.waveform, "text": self.embeddings}
        with_gradient = {
            name: tensor.detach().clone().requires_grad_()
            for name, tensor in tensors.items()
            if tensor is not None
        }
        with torch.enable_grad():
            features = self._encode(with_gradient.get("audio"), with_gradient.get("text"))
        self.passes.count(forward=1)
        encoders = {"audio": self.classifier.audio_encoder, "text": self.classifier.text_encoder}
        reasons = {
            name: f"what {type(encoders[name]).__name__} computes of its input cannot be "
            "differentiated"
            for name, encoded in features.items()
            if not encoded.pooled.requires_grad
        }
        if not self.classifier.has_gradient:
            reasons |= dict.fromkeys(features, "a classical classifier has no gradient")
        return {name: _rows(encoded, 1) for name, encoded in features.items()}, reasons

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that the utterance has, in the order of the model's fusion."""
        return tuple(self._features)

    @property
    def predicted(self) -> int:
        """Index of the most probable class."""
        return int(self.logits.argmax())

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Of the classes (C,)."""
        return np.asarray(self.logits.double().softmax(dim=0).cpu())

    @property
    def undisturbed_output(self) -> float:
        """F of the utterance as it is."""
        return float(self._output(self.logits[None], self.target))

    @cached_property
    def baseline_outputs(self) -> tuple[float, ...]:
        """F where nothing is said: all modalities at their baselines, for each draw of those."""
        return self.replaced_outputs(set(self.modalities))

    def replaced_outputs(self, replaced: set[str]) -> tuple[float, ...]:
        """F where modalities are at their baselines, for each draw if sound is among them."""
        baselines = self.baselines
        waveforms = baselines.waveforms if "audio" in replaced else None
        embeddings = baselines.embeddings if "text" in replaced else None
        draws = [None] if waveforms is None else list(waveforms[:, None])
        with torch.no_grad():
            values = tuple(float(self.output(draw, embeddings)) for draw in draws)
        where = f"with {' and '.join(sorted(replaced))} replaced"
        self._check_finite(bool(np.isfinite(values).all()), where)
        return values

    def output(self, waveform: Tensor | None, embeddings: Tensor | None) -> Tensor:
        """F (N,) where the modalities that are given replace the utterance's; differentiable.

        Args:
            waveform: (N, T) in the encoder's scale, T the real samples; None for the sound as it
                is.
            embeddings: (N, L, D); None for the text as it is.
        """
        return self._output(self.replaced_logits(waveform, embeddings), self.target)

    def replaced_logits(self, waveform: Tensor | None, embeddings: Tensor | None) -> Tensor:
        """Logits (N, C), float32, as ``output``."""
        replaced = self._encode(waveform, embeddings)
        size = max((len(encoded.pooled) for encoded in replaced.values()), default=1)
        features = {
            name: replaced.get(name) or _rows(encoded, size)
            for name, encoded in self._features.items()
        }
        logits = self.classifier.classify(features).float()
        self.passes.count(forward=size)
        return logits

    def masked_probabilities(
        self, frames: Masks | None, words: Masks | None, batch_size: int = 16
    ) -> NDArray[np.float64]:
        """The class' probability (N,) where frames or words are at their first baseline.

        Args:
            frames: (N, F), True for frames of 20 ms that are kept; None for the sound as it is.
            words: (N, W), the same of words; None for the text as it is.
            batch_size: Rows that are computed at a time.

        Raises:
            ExplanationError: If memory does not suffice for one at a time.
        """
        masks = [mask for mask in (frames, words) if mask is not None]

        def compute(size: int) -> list[Tensor]:
            rows = [slice(start, start + size) for start in range(0, len(masks[0]), size)]
            with torch.no_grad():
                return [
                    self.replaced_logits(
                        None if frames is None else self.masked_waveform(_mask(frames[part])),
                        None if words is None else self.masked_embeddings(_mask(words[part])),
                    )
                    for part in rows
                ]

        logits, _ = with_smaller_batches(compute, batch_size, self.inputs.key)
        probabilities = torch.cat(logits).double().softmax(dim=1)[:, self.target]
        found = np.asarray(probabilities.cpu())
        self._check_finite(bool(np.isfinite(found).all()), "with parts of it replaced")
        return found

    def _check_finite(self, is_finite: bool, where: str) -> None:
        if not is_finite:
            raise ExplanationError(
                f"{self.inputs.key}: expected a finite answer {where}, got one that is not; choose "
                "another waveform_baseline or text_baseline"
            )

    def masked_embeddings(self, kept: Tensor) -> Tensor:
        """Embeddings (N, L, D) with only words kept that are True in (N, W).

        A token of several words is kept where all of them are.

        Raises:
            ValueError: If there is no text.
        """
        embeddings, baseline = self.embeddings, self.baselines.embeddings
        if embeddings is None or baseline is None:
            raise ValueError(f"{self.inputs.key}: expected a text, got none")
        token_words = self.inputs.token_words
        num_missing = (~kept).to(token_words.device).float() @ token_words.float().T
        is_kept = num_missing == 0
        return torch.where(is_kept[:, :, None], embeddings, baseline)

    def masked_waveform(self, kept: Tensor) -> Tensor:
        """Samples (N, T) with only frames of 20 ms kept that are True in (N, F).

        Raises:
            ValueError: If there is no sound.
        """
        waveform, baselines = self.waveform, self.baselines.waveforms
        if waveform is None or baselines is None:
            raise ValueError(f"{self.inputs.key}: expected sound, got none")
        is_kept = kept.to(waveform.device)
        is_kept = is_kept.repeat_interleave(frame_samples(self.inputs.sample_rate), dim=1)
        return torch.where(is_kept[:, : waveform.shape[1]], waveform, baselines[:1])

    def _encode(self, waveform: Tensor | None, embeddings: Tensor | None) -> dict[str, Features]:
        features: dict[str, Features] = {}
        audio_encoder, text_encoder = self.classifier.audio_encoder, self.classifier.text_encoder
        if waveform is not None and audio_encoder is not None and self.inputs.audio is not None:
            features["audio"] = audio_encoder(_padded(waveform, self.inputs.audio))
        if embeddings is not None and text_encoder is not None and self.inputs.text is not None:
            text = _repeated(self.inputs.text, len(embeddings))
            features["text"] = text_encoder(text, embeddings)
        return features


def _mask(kept: Masks) -> Tensor:
    return torch.from_numpy(kept)


def _padded(waveform: Tensor, inputs: AudioInput) -> AudioInput:
    """Real samples (N, T) with the padding that the utterance was given."""
    padding = inputs.waveform[:, waveform.shape[1] :].expand(len(waveform), -1)
    whole = torch.cat([waveform, padding], dim=1)
    return AudioInput(whole, inputs.mask.expand(len(waveform), -1))


def _repeated(text: TextInput, num_rows: int) -> TextInput:
    """A text of one row, in several."""
    own = None if text.own is None else text.own.expand(num_rows, -1)
    return TextInput(text.input_ids.expand(num_rows, -1), text.mask.expand(num_rows, -1), own)


def _rows(encoded: Features, num_rows: int) -> Features:
    """Features of one row, without their gradients, in several."""
    return Features(
        encoded.frames.detach().expand(num_rows, -1, -1),
        encoded.mask.expand(num_rows, -1),
        encoded.pooled.detach().expand(num_rows, -1),
    )
