from pathlib import Path

import pytest

from mmemo.errors import InputError
from mmemo.explanation.explanation import RECORD_FILE
from mmemo.explanation.set_folder import SetFolder, safe_name

SETTINGS = {"selection": "errors", "target": "true", "seed": 0}


def test_the_same_settings_lead_to_the_same_folder(tmp_path: Path) -> None:
    folder = SetFolder.of(tmp_path, None, SETTINGS)
    assert folder.path.name.startswith("errors-true-")
    assert SetFolder.of(tmp_path, None, dict(reversed(SETTINGS.items()))) == folder
    assert SetFolder.of(tmp_path, None, {**SETTINGS, "seed": 1}) != folder


def test_a_named_folder_takes_no_other_settings(tmp_path: Path) -> None:
    folder = SetFolder.of(tmp_path, "mine", SETTINGS)
    assert SetFolder.of(tmp_path, "mine", SETTINGS) == folder
    with pytest.raises(InputError, match="name=mine: .* choose another name"):
        SetFolder.of(tmp_path, "mine", {**SETTINGS, "seed": 1})


def test_an_explanation_is_there_once_its_record_is(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path)
    folder.place("test/dia0_utt1").mkdir()
    assert folder.missing(["test/dia0_utt0", "test/dia0_utt1"]) == [
        "test/dia0_utt0",
        "test/dia0_utt1",
    ]
    (folder.place("test/dia0_utt1") / RECORD_FILE).write_text("{}")
    assert folder.missing(["test/dia0_utt0", "test/dia0_utt1"]) == ["test/dia0_utt0"]


def test_other_seeds_lie_beside_and_not_inside(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path / "set")
    first, second = (folder.seed_folder(Path(place, "run")) for place in ("/a", "/b"))
    assert first != second
    assert folder.path not in first.path.parents


def test_keys_become_names_of_folders() -> None:
    keys = ["test/dia0_utt3", "test/dia0_utt3#2", "test/dia0_utt3 2", "../x", "a/b/c", "a_b/c"]
    names = [safe_name(key) for key in keys]
    assert names[0] == "test_dia0_utt3"
    assert len(set(names)) == len(keys)
    assert all("/" not in name and not name.startswith(".") for name in names)
