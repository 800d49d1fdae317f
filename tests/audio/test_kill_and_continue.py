import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmemo.audio import clip_worker
from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus
from tests.audio.conftest import contents, counting, pack
from tests.conftest import MeldMaker

PREPARE = """
import sys
from pathlib import Path
from mmemo.audio.preparation import Preparer
from mmemo.corpora.meld import MeldCorpus

if __name__ == "__main__":
    annotations = MeldCorpus(sys.argv[1]).read()
    Preparer(sys.argv[2], num_workers=int(sys.argv[3])).prepare(annotations, None)
"""


def start_preparing(
    script: Path, root: Path, target: Path, workers: int
) -> subprocess.Popen[bytes]:
    script.write_text(PREPARE)
    return subprocess.Popen(
        [sys.executable, str(script), str(root), str(target), str(workers)],
        stderr=subprocess.DEVNULL,
    )


def kill_after(process: subprocess.Popen[bytes], journal: Path, num_finished: int) -> None:
    """Kill a preparation as soon as its journal holds that many clips."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= num_finished:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("packed", [False, True])
def test_killed_at_five_random_points_gives_the_same_bytes(
    make_meld: MeldMaker, tmp_path: Path, packed: bool
) -> None:
    root = make_meld(per_split=60, duration_s=1.5)
    if packed:
        pack(root)
    annotations = MeldCorpus(root).read()
    name = Preparer(tmp_path).corpus_id(annotations, None)
    whole = Preparer(tmp_path / "whole", num_workers=0).prepare(annotations, None)
    script, target = tmp_path / "prepare.py", tmp_path / "killed"
    journal = target / name / "audio.jsonl"
    finished_before = 0
    for wanted in sorted(random.Random(0).sample(range(1, 160), 5)):
        kill_after(start_preparing(script, root, target, workers=1), journal, wanted)
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


def test_workers_end_with_a_killed_parent(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld(per_split=60, duration_s=1.5)
    process = start_preparing(tmp_path / "prepare.py", root, tmp_path / "p", workers=2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(path.read_bytes() for path in (tmp_path / "p").glob("*/audio.jsonl")):
            break
        time.sleep(0.01)
    processes = [p.name for p in Path("/proc").iterdir() if p.name.isdigit()]
    workers = [int(name) for name in processes if parent(name) == process.pid]
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
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


def test_two_at_once_prepare_once(make_meld: MeldMaker, tmp_path: Path) -> None:
    root = make_meld(per_split=20)
    script, target = tmp_path / "prepare.py", tmp_path / "p"
    both = [start_preparing(script, root, target, workers=0) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    (journal,) = target.glob("*/audio.jsonl")
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 60
