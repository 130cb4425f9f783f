"""Where the time of an extraction went, and which resource was short.

One thread feeds all others: it waits for frames, for a free network, or for a finished unit to be written. Whatever it
waited for longest was the limit, since everything else had to wait for that too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from ..utils.text import clock, counted

BUSY = 0.9  # a processor that worked so much of the time has nothing left to give
FINISH = ("heatmaps", "tokens", "write")
LONG_S = 10.0  # a shorter run is mostly start


@contextmanager
def spent(seconds: Counter[str], what: str) -> Generator[None, None, None]:
    """Count the time that the block takes to `what`."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[what] += time.perf_counter() - began  # type: ignore[assignment]


@dataclass(frozen=True)
class WorkerCounts:
    """Who worked: decoding children, threads that run networks, threads that finish.

    device: of the networks. cores: that this process may use, 0 where that says nothing.
    feeders: how many processes fed networks, each as this module's first lines say.
    """

    children: int
    inference_threads: int
    writer_threads: int
    device: str
    cores: int
    feeders: int = 1


@dataclass(frozen=True)
class Profile:
    """Seconds of a run by what they went to (`Engine` counts them), its wall time, and the processor's time."""

    seconds: Mapping[str, float]
    wall: float
    processor: float
    counts: WorkerCounts

    def share(self, what: str) -> float:
        """What the feeding thread waited for, as a share of the run."""
        return self.seconds.get(what, 0.0) / max(self.wall * self.counts.feeders, 1e-9)

    @property
    def busy(self) -> float:
        """How much of all cores was used, 0 to 1."""
        return self.processor / max(self.wall * self.counts.cores, 1e-9)

    @property
    def limit(self) -> str:
        """What was short: "decode", "network", "write", or "unknown" where the run was too short to tell."""
        waits = {"decode": "waiting", "network": "networks full", "write": "writers full"}
        longest = max(waits, key=lambda name: self.share(waits[name]))
        return longest if self.wall >= LONG_S else "unknown"

    def line(self) -> str:
        """The limit in words, and what would help."""
        waited, full = self.share("waiting"), self.share("networks full")
        said = {
            "decode": f"decoding was the limit: the network waited for frames {waited:.0%} of the time",
            "network": f"the network was the limit: frames waited for it {full:.0%} of the time",
            "write": f"writing was the limit: all else waited for it {self.share('writers full'):.0%} of the time",
        }
        if self.limit == "unknown":
            return "the run was too short to tell what its limit is"
        counts = self.counts
        gpu = "" if counts.device != "cpu" else " or a GPU"
        remedy = "a GPU" if gpu else "a second GPU (--device cuda:0,cuda:1)"
        if self.busy >= BUSY and (gpu or self.limit != "network"):
            remedy = f"all {counted(counts.cores, 'core')} were busy, more cores{gpu}"
        elif self.limit == "decode":
            remedy = f"more cores (--workers, now {counts.children})"
        elif self.limit == "write":
            remedy = "a faster disk for cache.root"
        return f"{said[self.limit]}; {remedy} would help"

    def rows(self) -> list[tuple[str, ...]]:
        """A table for a person: what, how many worked at it, and how busy they were."""
        counts, second = self.counts, self.seconds
        parts = [
            ("decode", ("decode",), counted(counts.children, "process"), counts.children),
            (
                "networks",
                ("pose", "backbone"),
                f"{counted(counts.inference_threads, 'thread')} on {counts.device}",
                counts.inference_threads,
            ),
            ("finish", FINISH, counted(counts.writer_threads, "thread"), counts.writer_threads),
        ]
        rows: list[tuple[str, ...]] = [("", "by", "busy", "of which")]
        for name, stages, who, count in parts:
            each = {stage: second.get(stage, 0.0) for stage in stages}
            share = sum(each.values()) / max(self.wall * count, 1e-9)
            detail = ", ".join(f"{stage} {clock(time)}" for stage, time in each.items()) if len(each) > 1 else ""
            rows.append((name, who, f"{share:.0%}", detail))
        return rows

    def document(self) -> dict[str, object]:
        """The same for `--json`."""
        waits, work = ("waiting", "networks full", "writers full"), ("decode", "pose", "backbone", *FINISH)
        seconds = {name.replace(" ", "_"): round(self.seconds.get(name, 0.0), 3) for name in (*work, *waits)}
        counts = {
            "device": self.counts.device,
            "children": self.counts.children,
            "lanes": self.counts.inference_threads,
        }
        shown = {"cores_busy": round(self.busy, 3), "limit": self.limit, "said": self.line()}
        return {"seconds": seconds, **shown, **counts, "finishers": self.counts.writer_threads}
