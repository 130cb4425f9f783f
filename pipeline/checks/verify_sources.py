"""`star verify --sources`: read all bytes of the videos again, whatever size, time and inode say of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ..planning.plan import Plan, remember
from ..planning.source_changes import Digests, digests
from ..utils.hardware import cores
from ..utils.progress import Progress


def learn_sources(planned: Plan, quiet: bool) -> tuple[int, dict[str, str]]:
    """Read every video and annotation that is there, and remember what their bytes are now.

    Returns how many videos were read, and of those that are not what was remembered: id -> the file. A plan that is
    made afterwards has their clips as stale. Videos that an index stands for (a pickle's) are not read. Raises
    StorageError.
    """
    sources = planned.sources
    there = [video for video in planned.manifest.videos if sources.known[video.id].present and not video.digest]
    found: dict[str, str] = {}
    with (
        Progress("sources", len(there), "videos", quiet=quiet) as bar,
        ThreadPoolExecutor(cores()) as pool,  # hashing lets go of the interpreter
    ):
        for video, fresh in zip(there, pool.map(lambda one: digests(one, Digests()), there), strict=True):
            before = sources.known[video.id].digests
            if before.video not in ("", fresh.video):
                found[video.id] = str(video.media)
            elif before.annotation not in ("", fresh.annotation):
                found[video.id] = str(video.annotation)
            sources.learn(video.id, fresh._replace(layout=before.layout))
            bar.advance()
    remember(planned)
    return len(there), found
