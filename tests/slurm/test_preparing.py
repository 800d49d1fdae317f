"""A corpus that is prepared by two jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmemo.audio.preparation import open_prepared
from tests.slurm.conftest import ON_CPUS, SOUND, Cluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_two_jobs_prepare_what_one_process_does(cluster: Cluster, tmp_path: Path) -> None:
    corpus = ["corpus=demo", *SOUND]
    jobs = cluster.mmemo(
        *("prepare", "-m", *corpus, *ON_CPUS, "shard=0,1", "shards=2"), "cache_dir=shards"
    )
    said, problems = jobs.communicate(timeout=200)
    assert jobs.returncode == 0, problems
    assert "sacct" not in problems + said
    alone = cluster.mmemo("prepare", *corpus, "cache_dir=alone")
    said, problems = alone.communicate(timeout=100)
    assert alone.returncode == 0, problems
    by_jobs, by_one = (
        [open_prepared(path.parent) for path in (tmp_path / name).rglob("manifest.parquet")]
        for name in ("shards", "alone")
    )
    assert len(by_jobs) == len(by_one) == 1
    assert len(by_jobs[0].kept) == len(by_one[0].kept) > 50
    for key in ("key", "num_samples", "status"):
        assert list(by_jobs[0].kept[key]) == list(by_one[0].kept[key])
