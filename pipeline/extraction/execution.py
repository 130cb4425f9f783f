"""Where an extraction runs: devices, decoding processes, a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from ..utils.hardware import best_device, cores
from .inference_threads import thread_shares
from .profile import WorkerCounts
from .writer_threads import writer_threads


@dataclass(frozen=True)
class ExecutionConfig:
    """Where an extraction runs: torch's device (several, with commas, for several GPUs), decoding children, Dask.

    lease: seconds without a sign of life after which a Dask worker counts as lost.
    """

    device: str = "auto"
    workers: int = 0
    scheduler: str | None = None
    lease: float = 600.0

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices by name; "auto" is the first GPU, or the CPU where there is none."""
        if self.device != "auto" or self.scheduler:  # each worker knows best
            return tuple(self.device.split(","))
        return (best_device(),)

    @property
    def children(self) -> int:
        """How many processes decode: one core is left to the network and the writer, unless told otherwise."""
        return self.workers or max(1, cores() - 1)

    @property
    def counts(self) -> WorkerCounts:
        """Who works where, in this process."""
        device = self.devices[0]
        return WorkerCounts(self.children, thread_shares(device)[0], writer_threads(cores()), device, cores())
