"""Segments on real Dask workers."""

from __future__ import annotations

import os

import pytest

from star.cache.errors import MachineError
from star.pipeline.cluster import cluster, scatter


def test_a_scheduler_that_does_not_answer_is_one_line() -> None:
    """A wrong address ends with exit code 5, not with a stack of Dask's."""
    with (
        pytest.raises(MachineError, match=r"^--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        cluster("tcp://127.0.0.1:9", ("cpu",)),
    ):
        pass


def test_jobs_run_in_real_dask_worker_processes() -> None:
    """Every job comes back once, from processes that are not this one."""
    with cluster(None, ("cpu", "cpu")) as client:
        results = list(scatter(client, tag, range(7)))
    assert sorted(number for number, _ in results) == list(range(7))
    assert os.getpid() not in {pid for _, pid in results}


def tag(number: int) -> tuple[int, int]:
    """A job and the process that did it."""
    return number, os.getpid()
