"""A job for joblib's workers that itself starts a process; light to import in each of them."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mmemo.sweep.cell import _start_processes_as_ever


def distance_in_another_process(value: int) -> int:
    _start_processes_as_ever()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(abs, value).result()
