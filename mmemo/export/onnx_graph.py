"""A run's model as ``model.onnx``, held against the run's own, with its preprocessing beside it."""

from __future__ import annotations

import copy
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmemo.documents import write_document
from mmemo.errors import InputError
from mmemo.export.clips import Clip, batched, collate, graph_inputs
from mmemo.export.document import GraphCheck, GraphDocument, GraphTensor, SoundSteps, TextSteps
from mmemo.export.graph import (
    LOGITS,
    SAMPLES,
    TOKEN_IDS,
    ExportableModel,
    not_exportable,
)
from mmemo.models.classifier import EmotionClassifier
from mmemo.runs.rebuilt_run import RebuiltModel
from mmemo.values import check_real, check_whole
from mmemo.version import __version__

NUM_TIMINGS = 5
MODEL_FILE, DOCUMENT_FILE = "model.onnx", "preprocessing.json"
SIZES = {SAMPLES: "time", TOKEN_IDS: "tokens"}


class OnnxGraph:
    """Writes a run as an ONNX graph.

    Args:
        tolerance: Largest difference of a logit from the run's own.
        num_clips: Clips that it is compared on, of several lengths, alone and in batches.
        opset: Of the graph, 17 or more.

    Raises:
        InputError: If a number is out of its range.
    """

    name = "onnx"

    def __init__(self, tolerance: float = 1e-4, num_clips: int = 16, opset: int = 17) -> None:
        check_real("format.tolerance", tolerance, 0, above=True)
        check_whole("format.num_clips", num_clips, 2)
        check_whole("format.opset", opset, 17)
        self.tolerance = tolerance
        self.num_clips = num_clips
        self.opset = opset

    def write(
        self, model: RebuiltModel, clips: Sequence[Clip], kind: str, folder: Path
    ) -> list[str]:
        """Write graph, preprocessing and tokenizer.

        Args:
            model: The run's.
            clips: What it is compared on, from the shortest to the longest.
            kind: What those clips are, in words.
            folder: An empty folder.

        Returns:
            What is to be told.

        Raises:
            InputError: If an encoder has no form for a graph, or the graph answers otherwise.
        """
        classifier: Any = model.module.classifier
        own: EmotionClassifier = copy.deepcopy(classifier).cpu().float().eval()
        preprocessing = model.preprocessing
        reads_context = preprocessing.context_utterances + preprocessing.future_utterances > 0
        graph = ExportableModel(own, reads_context)
        path = folder / MODEL_FILE
        first = graph_inputs(clips[: max(2, len(clips) // 2)], model.encoders, graph.input_names)
        with exporting(model):
            write_graph(graph, first, self.opset, path, _is_fixed(model))
        # Without what a fusion of frames does not look at.
        names = [one.name for one in open_graph(path).get_inputs()]
        check = self._check(path, own, names, model, clips, kind)
        document = self._document(graph, model, {name: first[name] for name in names}, check)
        write_document(folder / DOCUMENT_FILE, document)
        if document.text is not None:
            shutil.copytree(model.folder.assets("text_encoder"), folder / document.text.tokenizer)
        return [
            f"the graph's logits differ from the run's by at most {check.max_difference:.1e} on "
            f"{check.num_clips} {kind}, alone and in batches",
            f"clips a second, {check.num_threads} threads: ONNX Runtime "
            f"{check.onnx_clips_per_s:.1f}, torch {check.torch_clips_per_s:.1f}",
        ]

    def _check(
        self,
        path: Path,
        own: EmotionClassifier,
        names: Sequence[str],
        model: RebuiltModel,
        clips: Sequence[Clip],
        kind: str,
    ) -> GraphCheck:
        session = open_graph(path)
        largest = 0.0
        for batch in batched(clips):
            inputs = graph_inputs(batch, model.encoders, names)
            with torch.inference_mode():
                expected = own(collate(batch, model.encoders))
            with exporting(model):
                found = torch.from_numpy(run_graph(session, inputs))
            difference = float((found - expected).abs().max())
            if not difference <= self.tolerance:
                raise _unlike(model, difference, self.tolerance, len(batch))
            largest = max(largest, difference)
        together = collate(clips, model.encoders)
        inputs = graph_inputs(clips, model.encoders, names)
        with torch.inference_mode():
            torch_s = _seconds(lambda: own(together))
        onnx_s = _seconds(lambda: run_graph(session, inputs))
        return GraphCheck(
            clips=kind,
            num_clips=len(clips),
            max_difference=largest,
            tolerance=self.tolerance,
            torch_clips_per_s=len(clips) / torch_s,
            onnx_clips_per_s=len(clips) / onnx_s,
            num_threads=torch.get_num_threads(),
        )

    def _document(
        self,
        graph: ExportableModel,
        model: RebuiltModel,
        inputs: dict[str, Tensor],
        check: GraphCheck,
    ) -> GraphDocument:
        metrics = model.folder.read_metrics()
        calibration, classes = metrics.calibration, metrics.protocol.classes
        axes = _dynamic_axes(graph.input_names, _is_fixed(model))
        return GraphDocument(
            mmemo_version=__version__,
            run=model.folder.path.name,
            leaky=metrics.protocol.leaky,
            opset=self.opset,
            classes=classes,
            inputs=tuple(
                GraphTensor(
                    name,
                    str(tensor.dtype).rpartition(".")[2],
                    tuple(axes[name].get(axis, size) for axis, size in enumerate(tensor.shape)),
                )
                for name, tensor in inputs.items()
            ),
            output=GraphTensor(LOGITS, "float32", ("batch", len(classes))),
            temperature=calibration.temperature.mean if calibration else None,
            sound=_sound_steps(model, graph),
            text=_text_steps(model),
            check=check,
        )


def write_graph(
    graph: ExportableModel,
    inputs: dict[str, Tensor],
    opset: int,
    path: Path,
    is_fixed: bool = False,
) -> None:
    """Trace a model into a graph.

    Args:
        graph: The model.
        inputs: What it is traced with, by name; of at least two clips.
        opset: Of the graph.
        path: Where to.
        is_fixed: Whether all sound is of the length of these.
    """
    was_fast = torch.backends.mha.get_fastpath_enabled()
    # Its fused layers have no form in a graph.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                tuple(inputs.values()),
                str(path),
                input_names=list(graph.input_names),
                output_names=[LOGITS],
                dynamic_axes=_dynamic_axes(graph.input_names, is_fixed),
                opset_version=opset,
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


def open_graph(path: Path) -> Any:  # noqa: ANN401
    """ONNX Runtime's session on the CPU, with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_graph(session: Any, inputs: dict[str, Tensor]) -> Any:  # noqa: ANN401
    """Logits (B, C) of a batch, as NumPy has them."""
    (logits,) = session.run([LOGITS], {name: tensor.numpy() for name, tensor in inputs.items()})
    return logits


@contextmanager
def exporting(model: RebuiltModel) -> Iterator[None]:
    """Trace, or run what was traced; what fails is told as the encoders' fault.

    Raises:
        InputError: For anything that is raised inside, with the encoders' names.
    """
    try:
        yield
    except InputError:
        raise
    # What an exporter raises is not told anywhere.
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        raise _not_exportable(model, f"{type(error).__name__}: {first}") from error


def _unlike(model: RebuiltModel, difference: float, tolerance: float, size: int) -> InputError:
    return _not_exportable(
        model,
        f"its graph's logits differ by {difference:.1e} in a batch of {size}, more than "
        f"format.tolerance={tolerance:g}",
    )


def _not_exportable(model: RebuiltModel, reason: str) -> InputError:
    protocol = model.folder.read_metrics().protocol
    names = {"audio": protocol.audio_encoder, "text": protocol.text_encoder}
    there = {kind: name for kind, name in names.items() if name != "none"}
    return not_exportable(" or ".join(there), " or ".join(there.values()), reason)


def _is_fixed(model: RebuiltModel) -> bool:
    audio = model.encoders.audio
    return audio is not None and audio.fixed_samples is not None


def _dynamic_axes(names: Sequence[str], is_fixed: bool) -> dict[str, dict[int, str]]:
    axes = {name: {0: "batch"} for name in (*names, LOGITS)}
    for name in names:
        if name in SIZES and not (name == SAMPLES and is_fixed):
            axes[name][1] = SIZES[name]
    return axes


def _sound_steps(model: RebuiltModel, graph: ExportableModel) -> SoundSteps | None:
    audio, steps = model.encoders.audio, model.preprocessing
    if audio is None:
        return None
    return SoundSteps(
        sample_rate=steps.sample_rate,
        prepared_duration_s=steps.prepared_duration_s,
        denoiser=steps.denoiser.name if steps.denoiser else None,
        denoiser_version=steps.denoiser.version if steps.denoiser else None,
        max_duration_s=steps.max_duration_s,
        min_samples=audio.min_samples,
        fixed_samples=audio.fixed_samples,
        is_standardised_inside=graph.standardises,
    )


def _text_steps(model: RebuiltModel) -> TextSteps | None:
    text, steps = model.encoders.text, model.preprocessing
    if text is None:
        return None
    return TextSteps(
        cleaning=_class_of(steps.text_cleaning) if steps.text_cleaning else None,
        tokenizer="text_encoder",
        tokenizer_class=_class_of(text),
        prompt=getattr(getattr(text, "prompt", None), "text", None),
        max_tokens=getattr(text, "max_tokens", None),
        pad_token_id=text.pad_token_id,
        context_utterances=steps.context_utterances,
        future_utterances=steps.future_utterances,
        speaker_names=steps.speaker_names,
    )


def _class_of(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _seconds(compute: Callable[[], object]) -> float:
    """Median time of some runs, after one that is not counted."""
    compute()
    times = []
    for _ in range(NUM_TIMINGS):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return sorted(times)[NUM_TIMINGS // 2]
