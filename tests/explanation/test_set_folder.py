from dataclasses import replace
from pathlib import Path

import pytest

from mmemo.errors import InputError
from mmemo.explanation.explanation import ARRAYS_FILE, RECORD_FILE, ExplainerSettings
from mmemo.explanation.set_folder import SETTINGS_FILE, SetFolder, SetSettings, safe_name

SETTINGS = SetSettings(
    "errors", (), "test", "true", 0, "a digest", "0.1.0", ExplainerSettings("log_odds")
)


def test_the_same_settings_lead_to_the_same_folder(tmp_path: Path) -> None:
    folder = SetFolder.of(tmp_path, None, SETTINGS)
    assert folder.path.name.startswith("errors-true-")
    assert SetFolder.of(tmp_path, None, replace(SETTINGS)) == folder
    assert SetFolder.of(tmp_path, None, replace(SETTINGS, seed=1)) != folder


def test_a_named_folder_takes_no_other_settings(tmp_path: Path) -> None:
    folder = SetFolder.of(tmp_path, "mine", SETTINGS)
    assert SetFolder.of(tmp_path, "mine", SETTINGS) == folder
    with pytest.raises(InputError, match="name=mine: .* choose another name"):
        SetFolder.of(tmp_path, "mine", replace(SETTINGS, seed=1))


def test_an_explanation_is_there_once_its_record_is(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path)
    folder.place("test/dia0_utt1").mkdir()
    assert folder.missing(["test/dia0_utt0", "test/dia0_utt1"]) == [
        "test/dia0_utt0",
        "test/dia0_utt1",
    ]
    for name in (ARRAYS_FILE, RECORD_FILE):
        assert len(folder.missing(["test/dia0_utt1"])) == 1
        (folder.place("test/dia0_utt1") / name).write_text("{}")
    assert folder.missing(["test/dia0_utt0", "test/dia0_utt1"]) == ["test/dia0_utt0"]


def test_other_seeds_lie_beside_and_not_inside(tmp_path: Path) -> None:
    folder = SetFolder.of(tmp_path, "set", SETTINGS)
    first, second = (folder.seed_folder(Path(place, "run"), "weights") for place in ("/a", "/b"))
    assert first != second
    assert folder.path not in first.path.parents
    assert folder.seed_folder(Path("/a/run"), "other weights") != first
    (folder.path / SETTINGS_FILE).unlink()
    changed = SetFolder.of(tmp_path, "set", replace(SETTINGS, seed=1))
    assert changed.seed_folder(Path("/a/run"), "weights") != first


def test_keys_become_names_of_folders() -> None:
    keys = ["test/dia0_utt3", "test/dia0_utt3#2", "test/dia0_utt3 2", "../x", "a/b/c", "a_b/c"]
    keys += ["a/b_c.wav", "a_b/c.wav", "a/b/c.wav", "a_b_c.wav", "A/b_c.wav", "a/é", "a/è"]
    keys += ["/".join(("a", end * 300)) for end in "xy"]
    names = [safe_name(key) for key in keys]
    assert names[0] == "test_dia0_utt3"
    assert len({name.lower() for name in names}) == len(keys)
    assert all("/" not in name and not name.startswith(".") for name in names)
    assert max(map(len, names)) < 128


def test_a_failure_stays_until_what_was_asked_for_is_there(tmp_path: Path) -> None:
    folder = SetFolder(tmp_path)
    assert folder.update_failures({"a": "1", "b": "2"}, {"b"}) == {"a": "1", "b": "2"}
    assert folder.update_failures({"c": "3"}, {"b"}) == {"a": "1", "c": "3"}
    (tmp_path / "failures.json").write_text("[")
    assert folder.update_failures({}, set()) == {}
