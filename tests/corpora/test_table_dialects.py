"""One table, however it is written, is read to the same rows."""

import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from mmemo.corpora.table import TableCorpus
from mmemo.corpora.text_table import read_table
from mmemo.errors import InputError

HEADER = ("path", "transcript", "emotion", "split", "speaker")
ROWS = (
    ("a/0.wav", 'She said: "Well; I, you know…"', "joy", "train", "Zoë"),
    ("a/1.wav", "Über alles,\nund 20 € mehr.", "anger", "dev", "Jürgen"),
    ("a/2.wav", "", "neutral", "Test", ""),
)
EXPECTED = [
    ("a/0.wav", 'She said: "Well; I, you know…"', "joy", "train", "Zoë"),
    ("a/1.wav", "Über alles, und 20 € mehr.", "anger", "val", "Jürgen"),
    ("a/2.wav", "", "neutral", "test", ""),
]

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with BOM",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "cp1252",
}


def found(path: Path, **options: object) -> list[tuple[str, ...]]:
    utterances = TableCorpus(path, **options).read().utterances
    return [(u.key, u.transcript, u.emotion, u.split, u.speaker) for u in utterances]


def as_csv(separator: str, newline: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=newline)
    writer.writerows([HEADER, *ROWS])
    return text.getvalue()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_dialect_of_csv_is_read_to_the_same_rows(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    encoding: str,
    separator: str,
    newline: str,
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(as_csv(separator, newline).encode(encoding))
    assert found(path) == EXPECTED
    said = f"labels.csv: {SEPARATORS[separator]}, {ENCODINGS[encoding]}, 3 rows; path, transcript"
    assert said in capsys.readouterr().err


def write_other(path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=HEADER)
    records = frame.to_dict("records")
    match path.suffix:
        case ".jsonl":
            # None and an absent key are empty cells.
            records[2]["transcript"] = None
            del records[2]["speaker"]
            lines = [json.dumps(r, ensure_ascii=False) for r in records]
            path.write_text("\n".join(lines), "utf-8")
        case ".json":
            path.write_text(json.dumps(records, indent=1), "utf-8")
        case ".parquet":
            frame.assign(emotion=frame["emotion"].astype("category")).to_parquet(path)
        case ".xlsx":
            frame.to_excel(path, index=False)
        case ".gz":
            path.write_bytes(gzip.compress(as_csv(";", "\r\n").encode("utf-16")))


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("labels.jsonl", "JSON lines, UTF-8"),
        ("labels.json", "JSON, UTF-8"),
        ("labels.parquet", "Parquet"),
        ("labels.xlsx", "Excel, the sheet Sheet1"),
        ("labels.csv.gz", "semicolon, UTF-16"),
    ],
)
def test_other_formats_are_read_to_the_same_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, dialect: str
) -> None:
    if name.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    write_other(tmp_path / name)
    assert found(tmp_path / name) == EXPECTED
    assert f"{name}: {dialect}, 3 rows; " in capsys.readouterr().err


def test_numbers_and_truths_are_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": ["a", "b"], "n": [1, None], "x": [0.5, 2.0], "ok": [True, False]})
    frame.to_parquet(tmp_path / "t.parquet")
    cells = read_table("t", tmp_path / "t.parquet").cells
    assert cells.to_numpy().tolist() == [["a", "1", "0.5", "true"], ["b", "", "2", "false"]]
    (tmp_path / "t.jsonl").write_text('{"n": 3, "of": ["a", 1]}\n{"n": null, "of": true}\n')
    cells = read_table("t", tmp_path / "t.jsonl").cells
    assert cells.to_numpy().tolist() == [["3", '["a", 1]'], ["", "true"]]


def test_what_excel_says_of_its_separator_is_heard(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\npath;emotion;split\na,b.wav;joy;later\n")
    with pytest.raises(InputError, match=r"in split, found 'later' \(1 rows\)"):
        TableCorpus(tmp_path / "t.csv").read()
    assert read_table("t", tmp_path / "t.csv").cells["path"].tolist() == ["a,b.wav"]
    assert read_table("t", tmp_path / "t.csv").first_row == 3


def test_the_separator_and_the_encoding_can_be_told(tmp_path: Path) -> None:
    text = "path#transcript#emotion#split\na.wav#日本語#joy#train\n"
    (tmp_path / "t.csv").write_bytes(text.encode("shift_jis"))
    options = {"separator": "#", "encoding": "shift_jis"}
    assert found(tmp_path / "t.csv", **options) == [("a.wav", "日本語", "joy", "train", "")]
    with pytest.raises(InputError, match="there is no encoding 'klingon'"):
        found(tmp_path / "t.csv", encoding="klingon")


def test_a_tab_separated_file_need_not_know_of_quotation_marks(tmp_path: Path) -> None:
    text = 'path\ttranscript\temotion\tsplit\na\t"Hi" she said\tjoy\ttrain\nb\t"No\tanger\tval\n'
    (tmp_path / "t.tsv").write_text(text)
    assert [row[1] for row in found(tmp_path / "t.tsv")] == ['"Hi" she said', '"No']


@pytest.mark.parametrize("second", ["Well", "Well, yes"])
def test_a_quotation_mark_that_is_not_closed_makes_no_long_transcript(
    tmp_path: Path, second: str
) -> None:
    rows = ['a.wav,"Hi,joy,train', f'b.wav,"{second}",anger,val', "c.wav,So,joy,test"]
    (tmp_path / "t.csv").write_text("\n".join(["path,transcript,emotion,split", *rows]))
    with pytest.raises(InputError, match=r"row that ends in line 3 has a quotation mark too few"):
        TableCorpus(tmp_path / "t.csv").read()


def test_a_line_break_belongs_into_a_transcript_alone(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('path,emotion,split\na.wav,"joy\nful",train\n')
    with pytest.raises(InputError, match=r"row 2: expected one line in emotion, got several"):
        TableCorpus(tmp_path / "t.csv").read()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "path;emotion\nü;joy\né;x\n".encode() + b"\xe9\n",
            r"line 4 is no UTF-8, of which the rest",
        ),
        (b"path;emotion\n\xe9\x81;joy\n", "neither UTF-8 nor cp1252: .*; save it as UTF-8"),
        (b"\xd0\xcf\x11\xe0 old", r"Excel's old format; save it as \.xlsx"),
        (b"PK\x03\x04 cut", "expected a CSV with a header, JSON lines, Parquet or Excel, could"),
        (b"PAR1 cut", "expected a CSV with a header, JSON lines, Parquet or Excel, could not read"),
        (b'{"path": "a"}\n{"path": \n', r"line 2 is no JSON"),
        (b'[{"path": "a"}, 3]', r"row 2 is no object with a value for each column"),
        (b"", "expected a CSV with a header"),
    ],
)
def test_what_is_no_table_is_told(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        TableCorpus(tmp_path / "t.csv").read()


def test_excel_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openpyxl")
    write_other(tmp_path / "t.xlsx")

    def refuse(*args: object, **kwargs: object) -> None:
        raise ImportError("openpyxl")

    monkeypatch.setattr(pd, "ExcelFile", refuse)
    with pytest.raises(InputError, match=r'pip install "mmemo\[excel\]"'):
        TableCorpus(tmp_path / "t.xlsx").read()
