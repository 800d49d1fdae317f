import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from mmemo.documents import read_document, write_document
from mmemo.errors import InputError
from mmemo.evaluation.metrics import metrics_table
from mmemo.runs.run_folder import RunFolder
from tests.comparison.run_folders import predictions, write_run


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    VERSION: ClassVar[int] = 3

    rule: Literal["validation", "test"]
    classes: tuple[str, ...]
    intervals: dict[str, Interval | None]
    num_units: int = 0


SCORES = Scores("test", ("joy", "Ärger"), {"joy": Interval(0.25, 1.0), "Ärger": None}, 7)
WRITTEN = {
    "version": 3,
    "rule": "test",
    "classes": ["joy", "Ärger"],
    "intervals": {"joy": {"low": 0.25, "high": 1.0}, "Ärger": None},
    "num_units": 7,
}


def read(path: Path) -> Scores:
    return read_document(path, Scores, "the scores", "make them again")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    write_document(file, SCORES)
    assert json.loads(file.read_text(encoding="utf-8")) == WRITTEN
    assert next(iter(json.loads(file.read_text(encoding="utf-8")))) == "version"
    assert read(file) == SCORES


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"version": 2}, "its version is 2, this mmemo reads 3"),
        ({"version": "3"}, "its version is '3', this mmemo reads 3"),
        ({"version": None}, "it has no version, this mmemo reads 3"),
        ({"rule": "luck"}, "rule: Input should be 'validation' or 'test'"),
        ({"classes": "joy"}, "classes: Input should be a valid array"),
        ({"num_units": 7.5}, "num_units: Input should be a valid integer"),
        ({"num_units": "7"}, "num_units: Input should be a valid integer"),
        ({"intervals": {"joy": {"low": True, "high": 1}}}, "joy.low: Input should be a valid num"),
        ({"intervals": {"joy": {"low": 0}}}, "intervals.joy.high: "),
        ({"num_units": float("nan")}, "NaN is not a number of JSON"),
    ],
)
def test_another_content_is_told_by_its_place(
    tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(WRITTEN | changes), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: expected the scores; ")
    assert problem in message
    assert message.endswith("; make them again")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'"\x00"'])
def test_what_is_no_document_is_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "scores.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match="scores.json: expected the scores; .*; make them again"):
        read(file)
    file.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        read(file)


def test_a_number_that_json_lacks_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_document(file, Scores("test", (), {"joy": Interval(0.0, float("nan"))}))
    assert not file.exists()


@dataclass(frozen=True)
class LaterScores(Scores):
    VERSION: ClassVar[int] = 4
    READ_VERSIONS: ClassVar[tuple[int, ...]] = (3,)

    num_runs: int | None = None


def test_an_earlier_version_that_a_kind_reads_is_read(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    write_document(file, SCORES)
    found = read_document(file, LaterScores, "the scores", "make them again")
    assert found == LaterScores(**vars(SCORES), num_runs=None)
    write_document(file, found)
    assert json.loads(file.read_text(encoding="utf-8"))["version"] == 4
    with pytest.raises(InputError, match="its version is 4, this mmemo reads 3"):
        read(file)
    file.write_text(file.read_text(encoding="utf-8").replace('"version": 4', '"version": 2'))
    with pytest.raises(InputError, match="its version is 2, this mmemo reads 4"):
        read_document(file, LaterScores, "the scores", "make them again")


def test_metrics_of_the_first_version_are_read_without_what_they_lack(tmp_path: Path) -> None:
    write_run(tmp_path / "run", predictions("test", "ajn", "ajj"))
    run = RunFolder(tmp_path / "run")
    scores = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    by_class = {name: {**scores, "support": 1, "auroc": None} for name in ("anger", "joy")}
    always = {"class": "joy", "accuracy": 0.5, "macro_f1": 0.4, "weighted_f1": 0.4}
    first = {
        "num_utterances": 3,
        "accuracy": 0.5,
        "macro": scores,
        "weighted": scores,
        "per_class": by_class,
        "auroc_macro": None,
        "ece": 0.1,
        "majority_baseline": always,
    }
    content = json.loads(run.metrics_file.read_text())
    content |= {"version": 1, "splits": {"test": first}}
    run.metrics_file.write_text(json.dumps(content))
    found = run.read_metrics().splits["test"]
    assert (found.uar, found.mcc, found.single_scores) == (None, None, {})
    table = metrics_table({"test": found}, "official").set_index("row")
    assert "uar" not in table.index
    assert table.loc["accuracy", "score"] == 0.5
