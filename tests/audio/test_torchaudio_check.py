import importlib
import types

import pytest
import torchaudio

from mmemo.audio.torchaudio_check import check_torchaudio
from mmemo.errors import InputError


def test_the_installed_pair_works() -> None:
    check_torchaudio()


def test_a_torchaudio_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> types.ModuleType:
        if name == "torchaudio.functional":
            raise OSError("libtorchaudio.so: undefined symbol: _ZN3c10\nmore of the linker's words")
        return importlib.__import__(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(
        InputError,
        match=rf"torchaudio {torchaudio.__version__.split('+')[0]}.*fails "
        r"\(OSError: libtorchaudio\.so: undefined symbol: _ZN3c10\); install two builds",
    ):
        check_torchaudio()


def test_a_torchaudio_that_gives_no_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(torchaudio.functional, "resample", fails)
    with pytest.raises(InputError, match="AttributeError: no such operator"):
        check_torchaudio()
