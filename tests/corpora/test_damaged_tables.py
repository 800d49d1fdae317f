"""CSVs that are damaged, or hold what no column should."""

import csv
import gzip
import io
import random
import wave
import zipfile
from pathlib import Path

import pytest

from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.table import TableCorpus
from mmemo.errors import InputError
from tests.conftest import MeldMaker, meld_row, write_csv

COLUMNS = ("path", "transcript", "emotion", "split", "speaker", "dialogue", "order", "sentiment")
SPLITS = ("train", "train", "val", "test")
HOSTILE = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e300",
    "-1",
    str(2**63),
    str(2**64),
    "9" * 5000,
    "\u0663",
    "²",
    "../../../etc/passwd",
    "/dev/zero",
    ".",
    "x" * 5000,
    "w" * 3_000_000,
    "a\0b",
    "\ud800",
    "\u202e\x1b[31m",
    "http://127.0.0.1/a.wav",
    "concat:a|b",
    "pipe:0",
    "<script>alert(1)</script>",
    "'\"`,;\t",
    "a\nb",
    "=cmd()",
    "${oc.env:HOME}",
    "null",
    "\ufeff",
)


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(16_000)
        output.writeframes(random.Random(0).randbytes(1600))
    return file.getvalue()


def rows() -> list[dict[str, str]]:
    return [
        {
            "path": f"{index}.wav",
            "transcript": f"Sentence {index}.",
            "emotion": ("joy", "anger")[index % 2],
            "split": split,
            "speaker": "Ada",
            "dialogue": "d1",
            "order": str(index),
            "sentiment": "positive",
        }
        for index, split in enumerate(SPLITS)
    ]


def as_csv(table: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue().encode("utf-8", "surrogatepass")


def mutated(random_: random.Random) -> bytes:
    """A cell or two of what none should be, or bytes flipped, or the end cut off."""
    table = rows()
    for _ in range(random_.randrange(1, 3)):
        table[random_.randrange(len(table))][random_.choice(COLUMNS)] = random_.choice(HOSTILE)
    data = bytearray(as_csv(table))
    kind = random_.randrange(3)
    if kind == 1:
        for _ in range(random_.randrange(1, 6)):
            data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    if kind == 2:
        del data[random_.randrange(len(data)) :]
    return bytes(data)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for index in range(len(SPLITS)):
        (folder / f"{index}.wav").write_bytes(sound())
    return folder


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_table_is_read_or_refused(clips: Path, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(mutated(random.Random(seed)))
    try:
        annotations = TableCorpus(path, root=clips).read()
        prepared = Preparer(tmp_path / "p", num_workers=0).prepare(annotations, None)
    except InputError as error:
        assert len(str(error)) < 1500
        return
    manifest = prepared.manifest.set_index("key")
    for utterance in annotations.utterances:
        assert len(utterance.transcript) <= 10_000
        row = manifest.loc[utterance.key]
        # A clip that is there is kept, whatever stands in the other cells.
        clip = Path(utterance.media_path)
        assert (row["status"] == "kept") == (clip.suffix == ".wav" and clip.is_file())


@pytest.mark.parametrize("address", ["http://h/a.wav", "HTTPS://h/a", "file:a.wav", "concat:a|b"])
def test_an_address_is_no_path(tmp_path: Path, address: str) -> None:
    table = rows()
    table[2]["path"] = address
    (tmp_path / "table.csv").write_bytes(as_csv(table))
    with pytest.raises(InputError, match=r"table\.csv, row 4: expected the path of a file in path"):
        TableCorpus(tmp_path / "table.csv").read()


def test_a_transcript_is_never_cut_without_a_word(tmp_path: Path, clips: Path) -> None:
    table = rows()
    table[1]["transcript"] = "before\0after"
    (tmp_path / "table.csv").write_bytes(as_csv(table))
    with pytest.raises(InputError, match=r"table\.csv: .*found a NUL byte in line 3"):
        TableCorpus(tmp_path / "table.csv").read()
    table[1]["transcript"] = "w" * 3_000_000
    (tmp_path / "table.csv").write_bytes(as_csv(table))
    (skip,) = TableCorpus(tmp_path / "table.csv", root=clips).read().skips
    assert (skip.key, skip.reason, skip.detail) == (
        "1.wav",
        "transcript too long",
        "3000000 characters",
    )


@pytest.mark.parametrize("order", [str(2**63), "9" * 5000, "-1", "nan", "1e300", "²"])
def test_a_place_is_a_number_that_can_be_stored(tmp_path: Path, order: str) -> None:
    table = rows()
    table[0]["order"] = order
    (tmp_path / "table.csv").write_bytes(as_csv(table))
    with pytest.raises(InputError, match=r"row 2: expected a whole number in order"):
        TableCorpus(tmp_path / "table.csv").read()


def test_meld_ids_are_numbers_that_can_be_stored(make_meld: MeldMaker) -> None:
    root = make_meld(clips=False)
    row = meld_row(0, 0, "joy")
    for column, value in (("Dialogue_ID", str(2**63)), ("Utterance_ID", "9" * 5000)):
        write_csv(root / "dev_sent_emo.csv", [row | {column: value}])
        with pytest.raises(InputError, match=f"row 2: expected a whole number in {column}"):
            MeldCorpus(root).read()
    hostile = {"Season": str(2**63), "Episode": "9" * 5000, "StartTime": "nan", "EndTime": "1e300"}
    write_csv(root / "dev_sent_emo.csv", [row | hostile])
    (found,) = [u for u in MeldCorpus(root).read().utterances if u.split == "val"]
    assert (found.season, found.episode, found.start_s, found.end_s) == (None, None, None, None)
    write_csv(root / "dev_sent_emo.csv", [row, row | {"Utterance": "w" * 10_001}])
    assert [s.reason for s in MeldCorpus(root).read().skips] == ["transcript too long"]


def test_a_packed_table_is_read_and_a_false_one_refused(tmp_path: Path) -> None:
    whole = as_csv(rows())
    (tmp_path / "table.csv.gz").write_bytes(gzip.compress(whole))
    with zipfile.ZipFile(tmp_path / "table.zip", "w") as archive:
        archive.writestr("table.csv", whole)
    for name in ("table.csv.gz", "table.zip"):
        assert len(TableCorpus(tmp_path / name).read().utterances) == len(SPLITS)
        packed = (tmp_path / name).read_bytes()
        for false in (whole, b"", packed[: len(packed) // 2], packed[:-9] + bytes(9)):
            (tmp_path / name).write_bytes(false)
            with pytest.raises(InputError, match=f"{name}: expected a CSV with a header"):
                TableCorpus(tmp_path / name).read()


def test_cells_that_the_header_does_not_name_are_told(tmp_path: Path) -> None:
    # Without quotation marks the transcript would be cut at its comma.
    text = "path,emotion,split,transcript\na.wav,joy,train,Hello, you\nb.wav,joy,val,Hello, you\n"
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(InputError, match=r"table\.csv: expected a CSV with a header"):
        TableCorpus(tmp_path / "table.csv").read()
