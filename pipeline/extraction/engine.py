"""The stages of one recipe on one device: read, compute, write, each a part of its own.

The same code runs in this process and in every worker of a cluster. Frames arrive from child processes while the
networks compute in threads of their own; what comes after the networks is for any thread, see `writer_threads.py`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ...cache.store import Store
from ...stages.skeletons import Skeleton
from ..planning.stage_graph import Graph
from ..recipe.schema import Recipe
from .decode_pool import DecodePool, open_decode_pool
from .inference_threads import MOST, InferenceThreads
from .models import Models
from .unit_computer import UnitComputer
from .unit_reader import UnitReader
from .unit_writer import UnitWriter


class Engine:
    """The parts that take units of work from videos to segments, and what they share; close it at the end.

    nodes: the recipe's stages and their keys. device: torch's name of it. pool: the processes that decode, which it
    closes with itself. skeleton: the data set's. threads: at most, on a CPU, that run networks. Raises RecipeError
    where joints cannot be converted.
    """

    def __init__(
        self,
        recipe: Recipe,
        nodes: Graph,
        device: str,
        pool: DecodePool,
        skeleton: Skeleton | None = None,
        threads: int = MOST,
    ) -> None:
        self.recipe, self.graph, self.pool = recipe, nodes, pool
        store = Store(recipe.cache.root)
        self.models = Models(recipe, nodes, device)
        self.reader = UnitReader(recipe, nodes, store, self.models, skeleton)
        self.threads = InferenceThreads(device, threads)
        self.computer = UnitComputer(recipe, nodes, self.reader, self.models, pool, self.threads)
        self.writer = UnitWriter(recipe, nodes, store, self.models, self.reader, self.computer)

    def close(self) -> None:
        """End the threads of the networks and the decoding processes."""
        self.threads.close()
        self.pool.close()


@contextmanager
def open_engine(
    recipe: Recipe, nodes: Graph, device: str, processes: int, skeleton: Skeleton | None = None
) -> Generator[Engine, None, None]:
    """An engine with decoding processes of its own, all closed at the end of the block."""
    pool = open_decode_pool(recipe, processes, device)
    try:
        engine = Engine(recipe, nodes, device, pool, skeleton)
    except BaseException:
        pool.close()
        raise
    try:
        yield engine
    finally:
        engine.close()
