"""Segments on real Dask workers."""

from __future__ import annotations

import pytest

from star.cache.errors import MachineError
from star.pipeline.cluster import cluster


def test_a_scheduler_that_does_not_answer_is_one_line() -> None:
    """A wrong address ends with exit code 5, not with a stack of Dask's."""
    with (
        pytest.raises(MachineError, match=r"^--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        cluster("tcp://127.0.0.1:9", ("cpu",)),
    ):
        pass
