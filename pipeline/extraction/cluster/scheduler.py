"""Which worker of a cluster gets which unit next, and what becomes of units whose worker is lost. Knows no Dask.

A worker may die of a video (out of memory) or for reasons of its own (kill -9, a reboot). So a unit that was in its
hands is given out again, from then on alone, so that a further death is this unit's and no other's. After the second
death a unit is cut into parts, and so on down to one video, which is given up after its third.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ....errors import VideoError
from ...planning.work_units import Unit, split
from ..profile import WorkerCounts

AHEAD = 4  # units in a worker's hands: two being written, one in the network, one being decoded
PARTS = 8  # a unit that seems to kill workers is cut into so many
DEATHS = 3  # as many workers may a single video cost
SMALLEST = 32  # near the end units are halved so that no worker idles, but not below so many clips


@dataclass
class Cluster:
    """Where a run went: addresses of the scheduler and of its dashboard, and who worked, by worker."""

    address: str = ""
    dashboard: str = ""
    counts_by_worker: dict[str, WorkerCounts] = field(default_factory=dict)

    @property
    def counts(self) -> WorkerCounts:
        """All workers as one."""
        counts_by_worker = list(self.counts_by_worker.values())
        return WorkerCounts(
            children=sum(counts.children for counts in counts_by_worker),
            inference_threads=sum(counts.inference_threads for counts in counts_by_worker),
            writer_threads=sum(counts.writer_threads for counts in counts_by_worker),
            device=counts_by_worker[0].device,
            cores=sum(counts.cores for counts in counts_by_worker),
            feeders=len(counts_by_worker),
        )

    def document(self) -> Mapping[str, str | int]:
        """What `--json` says of it."""
        return {"scheduler": self.address, "dashboard": self.dashboard, "workers": len(self.counts_by_worker)}


@dataclass(eq=False)
class Job:
    """A unit on its way.

    deaths: workers lost with it; error: in what way, the last time. shown: clips that the progress bar counted already.
    begun: whether it is in the network.
    """

    unit: Unit
    deaths: int = 0
    shown: int = 0
    begun: bool = False
    error: type[VideoError] = VideoError


@dataclass
class UnitScheduler:
    """Work, and the workers' hands.

    fresh: not given out yet. suspects: to be given out alone. hands: worker -> its jobs, oldest first.
    """

    fresh: deque[Job]
    suspects: deque[Job] = field(default_factory=deque)
    assigned: dict[str, list[Job]] = field(default_factory=dict)

    @classmethod
    def of(cls, units: Iterable[Unit]) -> UnitScheduler:
        """A scheduler with all units pending."""
        return cls(deque(Job(unit) for unit in units))

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.fresh or self.suspects or any(self.assigned.values()))

    def next(self, worker: str) -> Job | None:
        """The next job for a worker; None where it has enough, or must be empty-handed first."""
        assigned = self.assigned[worker]
        if any(job.deaths for job in assigned):
            return None
        # those with the least in hand get no more before they take a suspect
        free = [other for other, jobs in self.assigned.items() if not any(job.deaths for job in jobs)]
        if worker in sorted(free, key=lambda other: len(self.assigned[other]))[: len(self.suspects)]:
            return None if assigned else self._give(worker, self.suspects.popleft())
        left = len(self.fresh) + sum(map(len, self.assigned.values()))
        share = max(1, min(AHEAD, -(-left // len(self.assigned))))  # fewer near the end: none waits behind another's
        if not self.fresh or len(assigned) >= share:
            return None
        job = self.fresh.popleft()
        if len(self.fresh) + 1 < len(self.assigned) and len(job.unit.clips) >= 2 * SMALLEST:
            first, *others = split(job.unit, 2)
            self.fresh.extendleft(Job(unit) for unit in reversed(others))
            job = Job(first)
        return self._give(worker, job)

    def _give(self, worker: str, job: Job) -> Job:
        self.assigned[worker].append(job)
        job.begun = False
        return job

    def holder(self, job: Job) -> str | None:
        """Who has a job in hand; None where it was taken away in the meantime."""
        return next((worker for worker, jobs in self.assigned.items() if job in jobs), None)

    def done(self, job: Job) -> None:
        """A job is finished."""
        worker = self.holder(job)
        if worker is not None:
            self.assigned[worker].remove(job)

    def back(self, job: Job) -> None:
        """A job is taken from its worker through no fault of its own, to be given out next."""
        self.done(job)
        (self.suspects if job.deaths else self.fresh).appendleft(job)

    def leave(self, worker: str) -> list[Job]:
        """A worker went away in peace, or is of no use; its jobs are given out again. Returns them."""
        jobs = self.assigned.pop(worker)
        for job in reversed(jobs):
            (self.suspects if job.deaths else self.fresh).appendleft(job)
        return jobs

    def lost(self, worker: str) -> list[Job]:
        """A worker died or stood still with its jobs in hand. Returns those that are given up: one video each."""
        return [job for job in self.assigned.pop(worker) if self.blame(job)]

    def blame(self, job: Job) -> bool:
        """One more death for a job, which waits for another worker, in parts if need be; True if it is given up."""
        self.done(job)
        job.deaths += 1
        if len(job.unit.videos) == 1 and job.deaths >= DEATHS:
            return True
        parts = split(job.unit, PARTS) if job.deaths > 1 else []
        self.suspects.extend([Job(part, deaths=1) for part in parts] if len(parts) > 1 else [job])
        return False
