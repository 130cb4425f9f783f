"""What a benchmark found, for `bench.py`: one line of JSON for each claim.

Run alone, a benchmark prints its own table and nothing of this. A goal is about the ratio where there is one, else
about star's own figure. A benchmark that cannot run on this machine at all calls `unable`; one that lacks a program or
a package for one of its comparisons calls `skipped` and goes on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

FILE = "STAR_CLAIMS"  # the environment variable with the name of the file
Goal = tuple[str, float]  # one of < <= > >=, and a number
LACKS = 5  # exit status: the machine lacks something; star's own commands have the same


def claim(
    what: str,
    star: float,
    unit: str,
    *,
    against: str = "",
    other: float | None = None,
    ratio: float | None = None,
    goal: Goal | None = None,
    why: str = "",
) -> None:
    """Tell the collector what was measured.

    what: the claim in words. star, other: the figures of star and of what it is compared with, in `unit`. against: the
    name of that. ratio: as the claim means it, several times as fast or a share of the time. goal: one of < <= > >=,
    and a number. why: what stands in the way, as far as it is known; shown only where the goal is missed.
    """
    if min(star, other or 0) < 0:  # a difference of two measurements
        return skipped(what, "less than the noise; larger sizes tell")
    numbers = {"star": float(star), "other": None if other is None else float(other)}
    found = {"ratio": None if ratio is None else float(ratio), "goal": goal}
    return _tell({"what": what, **numbers, "unit": unit, "against": against, **found, "why": why})


def faster(what: str, rates: Mapping[str, float], unit: str, mine: str, goals: Mapping[str, Goal | None]) -> None:
    """A claim against each of some others: how many times their rate star's is.

    rates: way -> rate, on the same clips. mine: star's way. goals: the others' ways, and the goal where there is one.
    """
    for other, goal in goals.items():
        claim(
            what,
            rates[mine],
            unit,
            against=f"{other} on the same clips",
            other=rates[other],
            ratio=rates[mine] / rates[other],
            goal=goal,
        )


def skipped(what: str, reason: str) -> None:
    """Tell the collector that a claim could not be looked at."""
    _tell({"what": what, "skipped": reason})


def unable(reason: str) -> NoReturn:
    """End here: this machine cannot run the benchmark."""
    print(reason, file=sys.stderr)
    raise SystemExit(LACKS)


def _tell(document: dict[str, object]) -> None:
    if os.environ.get(FILE):
        with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")
