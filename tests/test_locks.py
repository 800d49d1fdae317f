"""What several runs need at the same time is made by one of them, and the others say so."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import nn

from mmemo.audio import clip_worker
from mmemo.audio.media import Sound, decode
from mmemo.audio.preparation import Preparer
from mmemo.audio.reading import Reading
from mmemo.corpora.meld import MeldCorpus
from mmemo.corpora.spoken_demo import SpokenDemoCorpus
from mmemo.models import feature_cache
from mmemo.models.feature_cache import FeatureCache
from tests.conftest import MeldMaker
from tests.forking import Forking

NOTES = "made.txt"
SLOW_S = 0.02
together: Barrier

Job = Callable[[Path], str]


def begin(barrier: Barrier) -> None:
    global together
    together = barrier


def note(folder: Path, what: str) -> None:
    """Add a line to what all processes have made."""
    with (folder / NOTES).open("a") as file:
        file.write(f"{what}\n")


@pytest.fixture(scope="module")
def two_processes(forking: Forking) -> Iterator[Executor]:
    """They stay for all tests."""
    context = forking.context
    with ProcessPoolExecutor(2, context, begin, (context.Barrier(2),)) as pool:
        yield pool


def at_once(pool: Executor, job: Job, folder: Path) -> tuple[list[str], str]:
    """What two processes return that begin at once, and what they said."""
    done = [pool.submit(saying, job, folder) for _ in range(2)]
    results = [d.result() for d in done]
    return [result for result, _ in results], "".join(said for _, said in results)


def saying(job: Job, folder: Path) -> tuple[str, str]:
    path = folder / f"{os.getpid()}.log"
    logging.basicConfig(filename=path, force=True)
    together.wait(60)
    return job(folder), path.read_text()


def prepare(folder: Path) -> str:
    def decode_and_note(
        source: str, content: bytes | None, limit_s: float, reading: Reading
    ) -> Sound:
        note(folder, Path(source).name)
        time.sleep(SLOW_S)
        return decode(source, content, limit_s, reading)

    annotations = MeldCorpus(folder / "meld").read()
    with mock.patch.object(clip_worker, "decode", decode_and_note):
        corpus = Preparer(folder / "p", num_workers=0).prepare(annotations, None)
    return f"{corpus.folder} {len(corpus.kept)}"


def make_demo(folder: Path) -> str:
    make = SpokenDemoCorpus._make

    def make_and_note(corpus: SpokenDemoCorpus) -> None:
        note(folder, "demo")
        make(corpus)

    with mock.patch.object(SpokenDemoCorpus, "_make", make_and_note):
        annotations = SpokenDemoCorpus(folder / "demo", num_utterances=30, num_workers=1).read()
    return annotations.digest()


def encode(folder: Path) -> str:
    """Features of four utterances by a frozen encoder, in two batches."""
    keys = ["a", "b", "c", "d"]

    def batches(missing: list[str]) -> Iterator[list[str]]:
        for start in (0, 2):
            time.sleep(5 * SLOW_S)
            yield missing[start : start + 2]

    def encode_and_note(batch: list[str]) -> Iterator[tuple[str, torch.Tensor]]:
        for key in batch:
            note(folder, key)
        return ((key, torch.tensor([[float(ord(key))]])) for key in batch)

    cache = FeatureCache(folder / "features")
    with mock.patch.object(feature_cache, "_digest", lambda model, made_of: "same"):
        found = cache._features(nn.Identity(), [], keys, batches, encode_and_note)  # type: ignore[arg-type]
    return str({key: value.item() for key, value in found.items()})


@pytest.mark.parametrize(
    ("job", "made", "waits_for"),
    [
        (make_demo, ["demo"], "making the corpus demo-n30-seed0-"),
        (encode, ["a", "b", "c", "d"], "encoding with the same frozen encoder"),
    ],
)
def test_two_that_need_it_at_once_make_it_once(
    two_processes: Executor, job: Job, made: list[str], waits_for: str, tmp_path: Path
) -> None:
    (one, other), said = at_once(two_processes, job, tmp_path)
    assert one == other
    assert (tmp_path / NOTES).read_text().split() == made
    assert said.count(f"waiting for another process, which is {waits_for}") == 1


def test_a_corpus_is_prepared_once(
    two_processes: Executor, make_meld: MeldMaker, tmp_path: Path
) -> None:
    root = make_meld("meld", per_split=3)
    assert root == tmp_path / "meld"
    (one, other), said = at_once(two_processes, prepare, tmp_path)
    assert one == other
    assert one.endswith(" 9")
    decoded = (tmp_path / NOTES).read_text().split()
    assert len(decoded) == 9
    assert said.count("which is preparing meld-") == 1
