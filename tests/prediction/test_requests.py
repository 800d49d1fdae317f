from pathlib import Path

import pytest

from mmemo.prediction.requests import Request, read_requests


def asked(folder: Path, *rows: str) -> tuple[Request, ...]:
    table = folder / "asked.csv"
    table.write_text(
        "".join(f"{row}\n" for row in ("transcript,dialogue,order,path", *rows)), encoding="utf-8"
    )
    return read_requests(table, None, num_before=9).rows


def test_rows_of_a_dialogue_stand_as_they_tell(tmp_path: Path) -> None:
    rows = asked(tmp_path, "c,d,12.0,", "a,d,10,", "b,d,11,", "y,e,,", "z,e,,", "alone,,first,")
    assert [row.order for row in rows[:5]] == [12, 10, 11, 0, 1]
    before = [" ".join(text for _, text in row.before) for row in rows]
    assert before == ["a b", "", "a", "", "y", ""]
    assert not any(row.reason for row in rows)


@pytest.mark.parametrize("order", ["15.5", "", "-1", "x", "nan", "²"])
def test_a_row_without_a_place_is_told_and_is_before_no_other(tmp_path: Path, order: str) -> None:
    rows = asked(tmp_path, f"b,d,{order},", "a,d,10,", "c,d,20,", "alone,e,,")
    assert [row.reason for row in rows] == ["no place in its dialogue", "", "", ""]
    assert f"expected a whole number in order, got '{order}'" in rows[0].detail
    assert [row.before for row in rows] == [(), (), (("", "a"),), ()]
    assert [row.order for row in rows[1:]] == [10, 20, 0]
