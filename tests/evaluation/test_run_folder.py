"""The run folder: born whole, held from its birth, and sealed."""

import json
import threading
from pathlib import Path

import pytest

from mmemo.documents import OtherVersionError
from mmemo.errors import InputError
from mmemo.runs.run_files import RunInfo
from mmemo.runs.run_folder import ENDED, RunFolder, RunTakenError
from mmemo.sweep.cells import CellState, cell_state


def test_a_run_is_whole_from_its_birth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    replace = Path.replace

    def noted(path: Path, target: Path) -> Path:
        if target.name == RunFolder.INFO_NAME:
            # What a kill at this moment leaves.
            seen.append(target.read_text() if target.exists() else "")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noted)
    run = RunFolder.create(tmp_path)
    assert seen == [""]
    assert run.read_info().status == "running"


def test_nobody_clears_a_run_that_has_begun(tmp_path: Path) -> None:
    with RunFolder.begin(tmp_path) as run:
        assert cell_state(run) is CellState.RUNNING
        refused: list[str] = []

        def intrude() -> None:
            for act in (lambda: RunFolder(tmp_path).clear(keep=()), lambda: run.create(tmp_path)):
                try:
                    act()
                except RunTakenError as error:
                    refused.append(str(error))

        other = threading.Thread(target=intrude)
        other.start()
        other.join()
        assert len(refused) == 2
        assert all("another process trains in it" in said for said in refused)
    assert run.read_info().status == "finished"
    # Whoever wanted to begin it anew comes too late.
    with pytest.raises(RunTakenError, match="has ended it meanwhile; nothing was removed"):
        run.clear(keep=(), unless=ENDED)
    assert run.info_file.is_file()


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"status": "flying"}', "\x00"])
def test_a_damaged_cell_is_to_be_begun_anew(tmp_path: Path, content: str) -> None:
    run = RunFolder(tmp_path)
    assert cell_state(run) is CellState.WAITING
    run.info_file.write_text(content)
    assert cell_state(run) is CellState.DAMAGED
    run.clear(keep=())
    assert cell_state(run) is CellState.WAITING


def test_a_sealed_file_that_changes_is_noticed(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    folder, file = run.assets("text_encoder"), run.data_file
    with run.sealed(folder, file):
        folder.mkdir()
        (folder / "tokenizer.json").write_text("words")
        file.write_text("data")
        # A kill at this moment leaves files without a digest, not with a wrong one.
        assert run.read_info().digests == {}
    run.check_digest(folder)
    run.check_digest(file)
    (folder / "tokenizer.json").write_text("wordz")
    with pytest.raises(InputError, match=r"tokenizer.json: expected what .*its SHA-256 is another"):
        run.check_digest(folder)
    run.check_digest(file)
    file.unlink()
    with pytest.raises(InputError, match="data.json: expected what the run has written; it cannot"):
        run.check_digest(file)
    info = json.loads(run.info_file.read_text())
    assert set(info["digests"]) == {"text_encoder/tokenizer.json", "data.json"}


def test_what_has_no_version_is_read_and_another_version_is_left_alone(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.info_file.write_text(json.dumps({"status": "finished", "best_score": 0.5}))
    assert run.read_info() == RunInfo("finished", best_score=0.5)
    assert cell_state(run) is CellState.FINISHED
    run.write_info(fit_s=2.0)
    assert json.loads(run.info_file.read_text())["version"] == 1
    run.info_file.write_text(json.dumps({"version": 2, "state": "finished"}))
    with pytest.raises(OtherVersionError, match="its version is 2, this mmemo reads 1; restore"):
        run.read_info()
    # Not damaged: a sweep would begin it anew.
    with pytest.raises(OtherVersionError, match="run.json: expected what happened to the run"):
        cell_state(run)
