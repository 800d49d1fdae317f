import errno
from pathlib import Path

import pytest

from mmemo.errors import InputError
from mmemo.folders import check_writable, write_whole, written_whole
from mmemo.runs.input_errors import input_error


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_whole(path, "old")
    with pytest.raises(KeyboardInterrupt), written_whole(path) as place:
        assert place.parent == path.parent
        assert place.suffix == ".csv"
        place.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    write_whole(path, "néw")
    assert path.read_bytes() == "néw".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    write_whole(path, "old")

    def write_bytes(place: Path, data: bytes) -> int:
        with place.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(InputError, match=r"run.json: expected to write it, could not \(No space"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path)

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("mmemo.folders.tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=r"could not \(Read-only file system\); make it writable"):
        check_writable(tmp_path)


def test_errors_of_a_disk_are_the_users() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/runs/a/curves.png")
    problem = input_error(full)
    assert str(problem).startswith("/runs/a/curves.png: expected to read or write it, could not")
    assert input_error(OSError(errno.ENOENT, "No such file", "/a")) is None
