"""Whether the installed torchaudio works beside the installed torch."""

from __future__ import annotations

import importlib
from importlib.metadata import version

from mmemo.errors import InputError


def check_torchaudio() -> None:
    """Try on a moment of sound what mmemo uses of torchaudio.

    Their versions need not be equal: torchaudio's last release is 2.11, and works beside later
    torches of the same CUDA major version. The packages do not say which do.

    Raises:
        InputError: If torchaudio does not load or does not answer.
    """
    try:
        torch = importlib.import_module("torch")
        functional = importlib.import_module("torchaudio.functional")
        transforms = importlib.import_module("torchaudio.transforms")
        kaldi = importlib.import_module("torchaudio.compliance.kaldi")
        waveform = torch.zeros(1, 1600)
        functional.resample(waveform, 48_000, 16_000, resampling_method="sinc_interp_kaiser")
        mel = transforms.MelSpectrogram(16_000, n_fft=400, n_mels=8)(waveform)
        functional.mask_along_axis_iid(mel[:, None], 2, 0.0, axis=3)
        kaldi.fbank(waveform, num_mel_bins=8)
    # Whatever a broken pair raises: OSError, ImportError, RuntimeError, AttributeError.
    except Exception as error:
        installed = version("torch")
        raise InputError(
            f"expected a torchaudio that works beside torch {installed}, got torchaudio "
            f"{version('torchaudio')}, which fails ({type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')}); install two builds for the same CUDA "
            "version, or for none: pip install --force-reinstall torch torchaudio"
        ) from error
