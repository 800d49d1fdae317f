from __future__ import annotations

from pathlib import Path

import pytest

from tests.comparison.compared_runs import BAD, GOOD, table
from tests.comparison.run_folders import write_run


@pytest.fixture
def two_groups(tmp_path: Path) -> Path:
    """64 is better on validation, 32 on test."""
    for seed, (good, bad) in enumerate(zip(GOOD, BAD, strict=True), start=1):
        for dim, test, val in ((32, good, bad), (64, bad, good)):
            write_run(
                tmp_path / f"{dim}-{seed}",
                table(test),
                table(val, "val"),
                seed,
                settings={"fusion.bottleneck_dim": dim},
            )
    return tmp_path
