import json
import multiprocessing
import random
import time
from pathlib import Path
from unittest import mock

import pytest

from mmemo.audio import clip_worker
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import PreparedCorpus
from mmemo.corpora.meld import MeldCorpus
from mmemo.errors import InputError
from tests.audio.conftest import contents, counting, pack
from tests.conftest import MeldMaker
from tests.forking import Forked, Forking


def prepare(root: Path, target: Path, workers: int) -> None:
    """What a killed process did."""
    Preparer(target, num_workers=workers).prepare(MeldCorpus(root).read(), None)


def prepare_with_forked_worker(root: Path, target: Path) -> None:
    """The same with a worker that spares the imports as well."""
    fork = multiprocessing.get_context("fork")
    with mock.patch.object(multiprocessing, "get_context", lambda method: fork):
        prepare(root, target, workers=1)


def kill_after(process: Forked, journal: Path, num_finished: int) -> None:
    """Kill a preparation as soon as its journal holds that many clips."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= num_finished:
            break
        time.sleep(0.002)
    process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_killed_at_five_random_points_gives_the_same_bytes(
    make_meld: MeldMaker, forking: Forking, tmp_path: Path, packed: bool
) -> None:
    root = make_meld(per_split=60, duration_s=1.5)
    if packed:
        pack(root)
    annotations = MeldCorpus(root).read()
    name = Preparer(tmp_path).corpus_id(annotations, None)
    whole = Preparer(tmp_path / "whole", num_workers=0).prepare(annotations, None)
    target = tmp_path / "killed"
    journal = target / name / "audio.jsonl"
    finished_before = 0
    for wanted in sorted(random.Random(0).sample(range(1, 160), 5)):
        process = forking.start(prepare_with_forked_worker, root, target, folder=tmp_path)
        kill_after(process, journal, wanted)
        finished = journal.read_bytes().count(b"\n")
        assert wanted <= finished < 180, "killed in the middle"
        assert not (target / name / "manifest.parquet").exists()
        assert finished >= finished_before
        finished_before = finished
    with (target / name / "audio.i16").open("ab") as audio:
        audio.write(b"\x01\x02\x03")
    with journal.open("a") as file:
        file.write('{"key": "torn')
    done = {json.loads(line)["key"] for line in journal.read_text().splitlines()[:-1]}
    decoded: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_worker, "decode", counting(decoded))
        continued = Preparer(target, num_workers=0).prepare(annotations, None)
    assert len(decoded) == 180 - len(done), "nothing done is redone"
    assert contents(continued.folder) == contents(whole.folder)
    assert continued.damaged() == []


@pytest.mark.slow
def test_workers_end_with_a_killed_parent(
    make_meld: MeldMaker, forking: Forking, tmp_path: Path
) -> None:
    root = make_meld(per_split=60, duration_s=1.5)
    process = forking.start(prepare, root, tmp_path / "p", 2, folder=tmp_path)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(path.read_bytes() for path in (tmp_path / "p").glob("*/audio.jsonl")):
            break
        time.sleep(0.01)
    processes = [p.name for p in Path("/proc").iterdir() if p.name.isdigit()]
    workers = [int(name) for name in processes if parent(name) == process.pid]
    assert workers
    process.kill()
    while time.monotonic() < deadline and any(running(worker) for worker in workers):
        time.sleep(0.05)
    assert not any(running(worker) for worker in workers)


def parent(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_at_once_prepare_once(make_meld: MeldMaker, forking: Forking, tmp_path: Path) -> None:
    root = make_meld(per_split=20)
    target = tmp_path / "p"
    both = [forking.start(prepare, root, target, 0, folder=tmp_path) for _ in range(2)]
    assert [process.ended(timeout_s=120) for process in both] == [0, 0]
    (journal,) = target.glob("*/audio.jsonl")
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 60


@pytest.mark.parametrize("name", ["manifest.parquet", "meta.json", "audio.jsonl"])
@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "other"])
def test_what_is_damaged_is_made_again_of_the_journal(
    make_meld: MeldMaker, tmp_path: Path, name: str, damage: str
) -> None:
    annotations = MeldCorpus(make_meld()).read()
    preparer = Preparer(tmp_path / "prepared", num_workers=0)
    folder = preparer.prepare(annotations, None).folder
    whole = contents(folder)
    file = folder / name
    data = bytearray(file.read_bytes())
    if damage == "flipped":
        data[data.index(b"Sentence") if b"Sentence" in data else data.index(b"0")] ^= 0x80
    changed = {"empty": b"", "half": bytes(data[: len(data) // 2]), "other": b"[1, 2]\n"}
    file.write_bytes(changed.get(damage, bytes(data)))
    if name == "audio.jsonl":
        (folder / "manifest.parquet").unlink()
    else:
        with pytest.raises(InputError, match=f"{name}: expected"):
            PreparedCorpus(folder)
    again = preparer.prepare(annotations, None)
    assert contents(again.folder) == whole
    assert not again.damaged()
