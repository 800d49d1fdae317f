"""torchaudio beside whatever torch is installed, and whether it works."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType

from mmemo.errors import InputError

PACKAGE = "torchaudio"
COMPILED_PART = "torchaudio._extension"


def load_torchaudio() -> ModuleType:
    """The package, without its compiled part where that does not load.

    torchaudio's last release is 2.11. Its compiled part loads beside later torches of the same
    CUDA version alone (its wheel has 13.0, torch 2.15's 13.2, a torch for the CPU none); what
    mmemo uses of it, spectrograms and masks, is Python over torch.

    Raises:
        ImportError: If it is not installed, or does not load in any way.
    """
    try:
        return importlib.import_module(PACKAGE)
    # What the dynamic linker, a missing operator or torchaudio's own check of CUDA raises.
    except (ImportError, OSError, RuntimeError, AttributeError):
        if find_spec(PACKAGE) is None:
            raise
    for name in [n for n in sys.modules if n.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    stand_in = ModuleType(COMPILED_PART)
    stand_in.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False, _IS_ALIGN_AVAILABLE=False, fail_if_no_align=_without
    )
    sys.modules[COMPILED_PART] = stand_in
    return importlib.import_module(PACKAGE)


def _without(function: Callable[..., object]) -> Callable[..., object]:
    """What stands in place of a function of the compiled part."""

    def fail(*arguments: object, **options: object) -> object:
        raise RuntimeError(
            f"{function.__name__}: expected torchaudio's compiled part, it does not load beside "
            f"torch {version('torch')}; install builds of both for the same CUDA version"
        )

    return fail


def check_torchaudio() -> None:
    """Try on a moment of sound what mmemo uses of torchaudio.

    Raises:
        InputError: If torchaudio does not load or does not answer.
    """
    try:
        torch = importlib.import_module("torch")
        torchaudio = load_torchaudio()
        mel = torchaudio.transforms.MelSpectrogram(16_000, n_fft=400, n_mels=8)
        spectrogram = mel(torch.zeros(1, 1600))
        torchaudio.functional.mask_along_axis_iid(spectrogram[:, None], 2, 0.0, axis=3)
        torchaudio.compliance.kaldi.fbank(torch.zeros(1, 1600), num_mel_bins=8)
    # Whatever a broken pair raises.
    except Exception as error:
        installed = version("torch")
        raise InputError(
            f"expected a torchaudio that works beside torch {installed}, got torchaudio "
            f"{version(PACKAGE)}, which fails ({type(error).__name__}: "
            f"{next(iter(str(error).splitlines()), '')}); install two that are known to work: "
            "pip install torch==2.14.1 torchaudio==2.11.0"
        ) from error
