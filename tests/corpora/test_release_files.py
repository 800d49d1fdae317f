from pathlib import Path

import pytest
from pydantic import TypeAdapter

from mmemo.corpora.release_files import read_json, read_lines, text_files
from mmemo.errors import InputError

NUMBERS = TypeAdapter(dict[str, int])


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"one\r\ntwo\r\n", ["one", "two"]),
        ("\ufeffcafé\nthé".encode(), ["café", "thé"]),
        ("café – “so”".encode("cp1252"), ["café – “so”"]),
        # A line separator inside of a line is none.
        ("a\u2028b\n".encode(), ["a\u2028b"]),
        (b"", [""]),
    ],
)
def test_lines_of_old_and_new_files(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    assert read_lines(path) == lines


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    with pytest.raises(InputError, match=r"words\.txt: .*could not read it .*; fetch it again"):
        read_lines(path, "fetch it again")
    path.write_bytes(b"o\0n\0e\0")
    with pytest.raises(InputError, match=r"expected a text file, found a NUL byte; unpack"):
        read_lines(path)


def test_hidden_files_of_another_system_are_left_out(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "._a.txt", "c.wav"):
        (tmp_path / name).touch()
    assert [path.name for path in text_files(tmp_path)] == ["a.txt", "b.txt"]
    assert text_files(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": "one"}', r"numbers\.json: expected numbers by name; a: Input should be a valid"),
        ('{"a": 1', r"numbers\.json: expected numbers by name; it is no JSON: Expecting"),
        ("[" * 100_000, r"expected numbers by name; it is no JSON"),
    ],
)
def test_json_that_is_something_else(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "numbers.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_json(path, NUMBERS, "numbers by name")
    path.write_text('{"a": 1}')
    assert read_json(path, NUMBERS, "numbers by name") == {"a": 1}
