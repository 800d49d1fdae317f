import json
from pathlib import Path
from typing import Any

import pytest

from mmemo.audio.prepared import PreparedMeta, read_meta
from mmemo.documents import write_document
from mmemo.errors import InputError

META = PreparedMeta("mine", "0f", "its own", {"train": 2}, "dfn", "3", 16_000, 30.0)


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    """What the folder's ``meta.json`` holds."""
    write_document(tmp_path / "meta.json", META)
    return json.loads((tmp_path / "meta.json").read_text())


def test_what_a_corpus_was_made_from_is_read_back(content: dict[str, Any], tmp_path: Path) -> None:
    assert content["version"] == 1
    assert read_meta(tmp_path) == META


def test_one_from_before_has_no_version_and_has_sound(
    content: dict[str, Any], tmp_path: Path
) -> None:
    before = {name: content[name] for name in content if name not in ("version", "has_sound")}
    (tmp_path / "meta.json").write_text(json.dumps(before))
    assert read_meta(tmp_path) == META


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sample_rate": 0}, "sample_rate: .*greater than 0"),
        ({"num_repaired": 3}, "num_repaired: .*should be an object"),
        ({"version": 2}, "its version is 2, this mmemo reads 1"),
    ],
)
def test_what_cannot_be_is_told(
    content: dict[str, Any], tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    (tmp_path / "meta.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=f"expected what the corpus was prepared from; {problem}"):
        read_meta(tmp_path)
