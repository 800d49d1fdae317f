from pathlib import Path

import pytest

from mmemo import __version__
from mmemo.errors import InputError
from mmemo.runs.run_folder import RunFolder


def test_a_run_notes_how_it_ended(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    assert run.read_info().mmemo_version == __version__
    with run.working():
        assert run.read_info().status == "running"
    assert run.read_info().status == "finished"
    for error, status in ((ValueError("bad"), "failed"), (KeyboardInterrupt(), "interrupted")):
        with pytest.raises(type(error)), run.working():
            raise error
        assert run.read_info().status == status
    with run.working():
        pass
    assert run.read_info().error is None


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    RunFolder.create(tmp_path)
    with pytest.raises(
        InputError, match=f"already holds one; continue that one with mmemo train resume={tmp_path}"
    ):
        RunFolder.create(tmp_path)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    with (
        run.working(),
        pytest.raises(InputError, match="another process trains in it"),
        RunFolder(tmp_path).working(),
    ):
        pass


def test_what_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.json, that file is missing"):
        RunFolder.open(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        RunFolder.open(tmp_path / "nowhere")
