from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.meld import MeldCorpus


@pytest.fixture(scope="session")
def prepared_for_all(
    tmp_path_factory: pytest.TempPathFactory, meld_maker: Callable[..., None]
) -> Path:
    """Ten tones of 0.3 s in every split, prepared; tests change what they read of it alone."""
    folder = tmp_path_factory.mktemp("prepared")
    meld_maker(folder / "meld", 10, 0.3, True)
    annotations = MeldCorpus(folder / "meld").read()
    return Preparer(folder / "p", num_workers=0).prepare(annotations, None).folder


@pytest.fixture
def prepared(prepared_for_all: Path) -> PreparedCorpus:
    return PreparedCorpus(prepared_for_all)
