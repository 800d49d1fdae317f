import importlib
import subprocess
import sys
import types

import pytest
import torchaudio

from mmemo.audio.torchaudio_check import check_torchaudio
from mmemo.errors import InputError


def test_the_installed_pair_works() -> None:
    check_torchaudio()


@pytest.mark.skipif(
    torchaudio.__version__.startswith("2.8"),
    reason="2.8 needs it, and the torch that belongs to it loads it",
)
def test_the_compiled_part_is_not_needed() -> None:
    """As beside a torch for another CUDA: torchaudio refuses to be imported."""
    code = """
import sys
sys.modules["torchaudio._extension"] = None  # Importing it is an ImportError.
import torch
from mmemo.audio.torchaudio_check import check_torchaudio, load_torchaudio
check_torchaudio()
mel = load_torchaudio().transforms.MelSpectrogram(16_000, n_fft=400, n_mels=8)
print(tuple(mel(torch.zeros(1, 1600)).shape))
try:
    load_torchaudio().functional.forced_align(torch.zeros(1, 5, 3), torch.ones(1, 2).int())
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shape, error = done.stdout.splitlines()
    assert shape == "(1, 8, 9)"
    assert error.startswith("forced_align: expected torchaudio's compiled part")


def test_a_torchaudio_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def broken(name: str) -> types.ModuleType:
        if name == "torchaudio":
            raise OSError("libtorchaudio.so: undefined symbol: _ZN3c10\nmore of the linker's words")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    modules = {name: module for name, module in sys.modules.items() if "torchaudio" in name}
    try:
        with pytest.raises(
            InputError,
            match=rf"torchaudio {torchaudio.__version__.split('+')[0]}.*fails "
            r"\(OSError: libtorchaudio\.so: undefined symbol: _ZN3c10\); install two",
        ):
            check_torchaudio()
    finally:
        sys.modules.update(modules)


def test_a_torchaudio_that_gives_no_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(torchaudio.functional, "mask_along_axis_iid", fails)
    with pytest.raises(InputError, match="AttributeError: no such operator"):
        check_torchaudio()
