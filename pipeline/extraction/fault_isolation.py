"""Whose fault an error is in work on several clips: one clip's, whose video fails alone, or the machine's."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from ...errors import MachineError, StarError, VideoError, machine_fault, unexpected
from .models import ClipState


@contextmanager
def charged_to(state: ClipState, stage: str = "backbone") -> Generator[None, None, None]:
    """Errors that nobody foresaw, in work on one clip alone, are its video's; of several the first counts.

    Raises MachineError for what is the machine's whatever it works on, and every StarError that is not a video's.
    """
    try:
        yield
    except Exception as error:
        refuse_machine_fault(error)
        if state.error is None:
            found = error if isinstance(error, VideoError) else unexpected(state.clip.video.id, error)
            state.error, state.failed_in = found, stage


def isolate(
    states: Sequence[ClipState],
    stage: str,
    first: Exception,
    alone: Callable[[int], None],
    control: Callable[[], None],
) -> None:
    """After an error in a batch: do it again clip by clip, so that those alone fail that caused it.

    first: the batch's error. alone: computes the clip of that number. control: the same work on black pictures, done
    where no clip goes well: fails it too, the network or the machine is at fault. Raises MachineError then.
    """
    refuse_machine_fault(first)
    for number, state in enumerate(states):
        if state.error is None:
            with charged_to(state, stage):
                alone(number)
    if not all(state.error for state in states):
        return
    try:
        control()
    except Exception as error:
        refuse_machine_fault(error)
        said = " ".join(str(error).split())[:300]
        raise MachineError(
            f"{stage}: its network fails on this machine whatever it sees, black pictures too "
            f"({type(error).__name__}: {said}); see `star doctor`, or take another --device"
        ) from error


def refuse_machine_fault(error: Exception) -> None:
    """Raise what no video has caused: a StarError that is not a video's, or the MachineError that an error amounts to;
    returns for all others."""
    if isinstance(error, StarError) and not isinstance(error, VideoError):
        raise error
    fault = machine_fault(error)
    if fault is not None:
        raise fault from error
