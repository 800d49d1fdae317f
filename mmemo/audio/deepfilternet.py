"""DeepFilterNet by ONNX Runtime: features, network, filter, synthesis.

Sources: Schröter et al. 2022, "DeepFilterNet: A Low Complexity Speech Enhancement Framework for
Full-Band Audio based on Deep Filtering" (features, deep filtering); the same 2022,
"DeepFilterNet2: Towards Real-Time Speech Enhancement on Embedded Devices for Full-Band Audio"; the
same 2023, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement" (DeepFilterNet3).
The settings are those of the two shipped models, which are the same.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmemo.errors import InputError

Floats = NDArray[np.float32]
Complexes = NDArray[np.complex64]

SAMPLE_RATE = 48_000
FFT_SAMPLES = 960
HOP_SAMPLES = 480
NUM_BINS = FFT_SAMPLES // 2 + 1
ERB_BAND_BINS = (2,) * 13 + (5, 5, 7, 7, 8, 10, 12, 13, 15, 18, 20, 24, 28, 31, 37, 42, 50, 56, 67)
"""Bins of each band, equally wide on the scale of equivalent rectangular bandwidths."""

NUM_FILTERED_BINS = 96
"""The lowest ones, up to 4.8 kHz, are filtered; the others have the gain of their band."""

FILTER_ORDER = 5
LOOKAHEAD_FRAMES = 2
"""Of the network and of the filter: 20 ms behind the present frame."""

DECAY = 0.99
"""Of the running means that features are normalised with: a window of about a second."""

BAND_MEAN_DB = np.linspace(-60, -90, len(ERB_BAND_BINS), dtype=np.float32)
BIN_MAGNITUDE = np.linspace(1e-3, 1e-4, NUM_FILTERED_BINS, dtype=np.float32)
"""What the running means begin with, from the lowest band and bin to the highest."""

REVISION = 1
"""Raised when what stands around the network changes its output."""

GRAPH_SUFFIX = ".onnx"


class DeepFilterNet:
    """A DeepFilterNet of version 2 or 3 at 48 kHz, on one thread of the CPU.

    The result depends on the waveform and the version alone: the same samples give the same bits,
    whatever was denoised before or is being denoised beside.

    Args:
        name: What a prepared corpus calls it.
        model_file: An ONNX graph, or a ``.tar.gz`` of graphs of which each reads what those
            before it give. Together they go from ``feat_erb`` (1, 1, F, 32) and ``feat_spec``
            (1, 2, F, 96) to the gains ``m`` (1, 1, F, 32) and the filters ``coefs``
            (1, F, 96, 10).
        package: The installed package that carries it; None for a file of the user's.
        sha256: What the file's digest has to be; None for any.
        filters_masked: Whether the filter is given what the gains have left (DeepFilterNet2) or
            the noisy spectrum (DeepFilterNet3).
        assets_dir: Folder of a run with its copy of a user's file, which stands in for the file.
    """

    sample_rate = SAMPLE_RATE

    def __init__(
        self,
        name: str,
        model_file: str,
        package: str | None,
        sha256: str | None,
        filters_masked: bool,
        assets_dir: str | Path | None = None,
    ) -> None:
        if assets_dir is not None and package is None:
            model_file = str(Path(assets_dir) / Path(model_file).name)
        self.name = name
        self.model_file = model_file if package else str(Path(model_file).expanduser().absolute())
        self.package = package
        self.sha256 = sha256
        self.filters_masked = filters_masked
        self._digest: str | None = None
        self._graphs: list[Any] | None = None

    @property
    def version(self) -> str:
        """Changes with the weights, the way they are used, and what stands around them."""
        if self._digest is None:
            self._read()
        order = "" if self.filters_masked else "n"
        return f"{REVISION}{order}-{self._digest}"

    def check(self) -> None:
        """Load the model.

        Raises:
            InputError: If its file is missing, damaged, another one or no such model.
        """
        self._load()

    def save_assets(self, folder: Path) -> None:
        """Keep the user's file with a run; one that a package carries is there anyway."""
        if self.package is None:
            folder.mkdir(parents=True, exist_ok=True)
            content = self._read()
            (folder / Path(self.model_file).name).write_bytes(content)

    def __call__(self, waveform: Floats) -> Floats:
        """Enhance (T,) float32 at 48 kHz; same length, no delay."""
        if len(waveform) == 0:
            return waveform
        spectrum = stft(waveform)
        gains, filters = self._predict(band_features(spectrum), bin_features(spectrum))
        masked = spectrum * np.repeat(gains, ERB_BAND_BINS, axis=1)
        noisy = masked if self.filters_masked else spectrum
        masked[:, :NUM_FILTERED_BINS] = deep_filter(noisy[:, :NUM_FILTERED_BINS], filters)
        return istft(masked, len(waveform))

    def _predict(self, bands: Floats, bins: Floats) -> tuple[Floats, Complexes]:
        """Gains (F, 32) and filters (F, 96, 5) from features (F, 32) and (F, 96, 2)."""
        values = {
            "feat_erb": _ahead(bands)[None, None],
            "feat_spec": np.ascontiguousarray(_ahead(bins).transpose(2, 0, 1)[None]),
        }
        for graph in self._load():
            inputs = {given.name: values[given.name] for given in graph.get_inputs()}
            names = [result.name for result in graph.get_outputs()]
            values |= zip(names, graph.run(names, inputs), strict=True)
        coefficients = np.ascontiguousarray(values["coefs"][0], dtype=np.float32)
        return values["m"][0, 0], coefficients.view(np.complex64)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the loaded network out: each process loads its own, once."""
        return {**self.__dict__, "_graphs": None}

    def _read(self) -> bytes:
        path = Path(self.model_file)
        try:
            place = path if self.package is None else files(self.package) / self.model_file
            content = place.read_bytes()
        except (OSError, ModuleNotFoundError) as error:
            raise InputError(
                f"denoiser.model_file: expected the model of {self.name} at {path}"
                + (f" in the package {self.package}" if self.package else "")
                + f", could not read it ({error}); "
                + ("install mmemo again" if self.package else "correct the path")
                + ", or train without denoising: denoiser=off"
            ) from error
        sha256 = hashlib.sha256(content).hexdigest()
        if self.sha256 not in (None, sha256):
            raise InputError(
                f"denoiser.model_file: expected the model of {self.name} with sha256 "
                f"{self.sha256}, {place} has {sha256}: it is damaged or another one; install it "
                "again, or give a model of your own its own denoiser.sha256"
            )
        self._digest = sha256[:8]
        return content

    def _load(self) -> list[Any]:
        if self._graphs is None:
            content = self._read()
            try:
                self._graphs = [_session(graph) for graph in _graphs(content, self.model_file)]
                features = np.zeros((1, NUM_FILTERED_BINS, 2), np.float32)
                self._predict(np.zeros((1, len(ERB_BAND_BINS)), np.float32), features)
            # ONNX Runtime's errors have no type in common but this.
            except Exception as error:
                self._graphs = None
                raise InputError(
                    f"denoiser.model_file: expected ONNX graphs of a DeepFilterNet in "
                    f"{self.model_file}, they do not load ({type(error).__name__}: "
                    f"{next(iter(str(error).splitlines()), '')}); correct the path"
                ) from error
        return self._graphs


def stft(waveform: Floats) -> Complexes:
    """Spectrum (F, 481) of a waveform (T,), F = T // 480 + 2.

    Frames of 960 samples overlap by half; the first one begins 480 samples before the waveform.
    """
    num_frames = len(waveform) // HOP_SAMPLES + 2
    padded = np.zeros((num_frames + 1) * HOP_SAMPLES, np.float32)
    padded[HOP_SAMPLES : HOP_SAMPLES + len(waveform)] = waveform
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)[::HOP_SAMPLES]
    from scipy import fft

    spectrum: Complexes = fft.rfft(frames * vorbis_window(), axis=1)
    return spectrum / np.float32(FFT_SAMPLES)


def istft(spectrum: Complexes, num_samples: int) -> Floats:
    """Waveform (T,) of a spectrum as ``stft`` gives it, of ``num_samples`` samples."""
    from scipy import fft

    frames = fft.irfft(spectrum, FFT_SAMPLES, axis=1) * (vorbis_window() * np.float32(FFT_SAMPLES))
    halves = frames.reshape(len(frames), 2, HOP_SAMPLES)
    waveform: Floats = (halves[1:, 0] + halves[:-1, 1]).reshape(-1)
    return waveform[:num_samples]


def vorbis_window() -> Floats:
    """(960,) whose square and its copy half a window later add to 1 (Vorbis I, section 1.3.2)."""
    position = (np.arange(FFT_SAMPLES) + 0.5) / FFT_SAMPLES
    return np.sin(np.pi / 2 * np.sin(np.pi * position) ** 2).astype(np.float32)


def band_features(spectrum: Complexes) -> Floats:
    """Level of each band (F, 32) above its running mean, in units of 40 dB."""
    power = spectrum.real**2 + spectrum.imag**2
    starts = np.concatenate([[0], np.cumsum(ERB_BAND_BINS)[:-1]])
    means = np.add.reduceat(power, starts, axis=1) / np.array(ERB_BAND_BINS, np.float32)
    levels_db = 10 * np.log10(means + np.float32(1e-10))
    return ((levels_db - _running_mean(levels_db, BAND_MEAN_DB)) / 40).astype(np.float32)


def bin_features(spectrum: Complexes) -> Floats:
    """Real and imaginary part (F, 96, 2) of the lowest bins over the root of their running mean."""
    bins = spectrum[:, :NUM_FILTERED_BINS]
    scaled = bins / np.sqrt(_running_mean(np.abs(bins), BIN_MAGNITUDE))
    return np.ascontiguousarray(scaled, np.complex64).view(np.float32).reshape(*bins.shape, 2)


def _running_mean(values: Floats, first: Floats) -> NDArray[np.float64]:
    """Exponential mean over the frames (F, D) up to each one, begun with (D,)."""
    from scipy.signal import lfilter

    state = DECAY * first.astype(np.float64)[None]
    mean: NDArray[np.float64]
    mean, _ = lfilter([1 - DECAY], [1.0, -DECAY], values.astype(np.float64), axis=0, zi=state)
    return mean


def _ahead(features: Floats) -> Floats:
    """Features (F, …), each frame's taken from two frames later, zeros at the end."""
    shifted = np.zeros_like(features)
    shifted[:-LOOKAHEAD_FRAMES] = features[LOOKAHEAD_FRAMES:]
    return shifted


def deep_filter(spectrum: Complexes, filters: Complexes) -> Complexes:
    """Filter each bin over the frames around each frame.

    Args:
        spectrum: (F, D).
        filters: (F, D, 5), from two frames before to two frames behind.
    """
    before = FILTER_ORDER - 1 - LOOKAHEAD_FRAMES
    padded = np.pad(spectrum, ((before, LOOKAHEAD_FRAMES), (0, 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FILTER_ORDER, axis=0)
    filtered: Complexes = np.einsum("fdn,fdn->fd", frames, filters)
    return filtered


def _graphs(content: bytes, name: str) -> list[bytes]:
    """The graphs of a model file, each behind those that it reads from."""
    if name.endswith(GRAPH_SUFFIX):
        return [content]
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [m for m in archive.getmembers() if m.name.endswith(GRAPH_SUFFIX)]
        # The encoder goes first, whatever the order in the archive.
        members.sort(key=lambda member: not Path(member.name).stem.startswith("enc"))
        opened = [archive.extractfile(member) for member in members]
        return [file.read() for file in opened if file is not None]


def _session(graph: bytes) -> Any:  # noqa: ANN401
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Clips have other lengths: what is planned for one does not fit the next.
    options.enable_mem_pattern = False
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
