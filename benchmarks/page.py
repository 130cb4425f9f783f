"""The page of all claims: from what `bench.py` has kept of every benchmark, as Markdown."""

from __future__ import annotations

import operator
from typing import Any

COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
SIGNS = {"<": "<", "<=": "≤", ">": ">", ">=": "≥"}
HEADS = ("claim", "star", "compared with", "its figure", "ratio", "goal", "verdict", "machine", "command")
QUICK = "**These are tiny sizes, to see that all of them work: no figure here counts.**\n\n"
TOP = """# Benchmarks

{note}Written by `make bench`. Every row is a claim that a script in `benchmarks/` makes of itself: its docstring says
what is compared and how, its command runs it alone. Peers work on the same files in the same run and take turns with
star. A ratio is meant as its claim means it: how many times as fast star is, or, where the goal is "≤" or "<", star's
share of the peer's time or memory. video_features is no package that can be installed, and needs a torchvision that
could still read videos: a plain script does what its `r21d` does, with star's network.
"""


def render(kept: dict[str, dict[str, Any]], areas: dict[str, str], *, quick: bool = False) -> str:
    """The page. kept: benchmark -> its result, see `bench.measure`; areas: benchmark -> area, in the page's order."""
    results = [kept[name] for name in areas if name in kept]
    runs: list[dict[str, str]] = []
    for result in results:
        if result["machine"] not in runs:
            runs.append(result["machine"])
    parts = [TOP.format(note=QUICK if quick else ""), "## Machines\n", *map(_machine, range(len(runs)), runs)]
    for area in dict.fromkeys(areas.values()):
        found = [result for result in results if areas[result["benchmark"]] == area]
        rows = [row for result in found for row in _rows(result, _letter(runs.index(result["machine"])))]
        if rows:
            parts += [f"## {area.capitalize()}\n", _line(HEADS), "|" + "---|" * len(HEADS), *map(_line, rows), ""]
    claims = [claim for result in results for claim in result["claims"]]
    return "\n".join([*parts, "## What misses its goal, and why\n", *_reasons(claims), ""])


def verdict(claim: dict[str, Any]) -> str:
    """`met`, `MISSED`, a reason why it was skipped, or a dash where there is no goal."""
    if "skipped" in claim:
        return f"skipped: {claim['skipped']}"
    if not claim["goal"]:
        return "–"
    how, limit = claim["goal"]
    return "met" if COMPARE[how](_judged(claim), limit) else "MISSED"


def _judged(claim: dict[str, Any]) -> float:
    """The figure that a goal is about."""
    return claim["star"] if claim["ratio"] is None else claim["ratio"]


def _rows(result: dict[str, Any], letter: str) -> list[tuple[str, ...]]:
    """The cells of each claim of a benchmark; a row of its own says that it failed or was skipped."""
    ends = letter, f"`{result['command']}`"
    rows = [(*_cells(claim), *ends) for claim in result["claims"]]
    if result["ended"]:
        rows.append((f"{result['benchmark']}.py", *["–"] * 5, result["ended"], *ends))
    return rows


def _cells(claim: dict[str, Any]) -> tuple[str, ...]:
    if "skipped" in claim:
        return (claim["what"], *["–"] * 5, verdict(claim))
    ratio = "–" if claim["ratio"] is None else figure(claim["ratio"])
    other = "–" if claim["other"] is None else f"{figure(claim['other'])} {claim['unit']}"
    said = f"**{verdict(claim)}**" if verdict(claim) == "MISSED" else verdict(claim)
    mine = f"{figure(claim['star'])} {claim['unit']}"
    return claim["what"], mine, claim["against"] or "–", other, ratio, _goal(claim), said


def _goal(claim: dict[str, Any]) -> str:
    return f"{SIGNS[claim['goal'][0]]} {figure(claim['goal'][1])}" if claim["goal"] else "–"


def figure(number: float) -> str:
    """Three digits that count, and never fewer than the whole number has."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) >= 0.001 or not number else f"{number:.1e}"


def _reasons(claims: list[dict[str, Any]]) -> list[str]:
    """What was missed, under what stands in the way of it."""
    missed: dict[str, list[str]] = {}
    for claim in claims:
        if verdict(claim) == "MISSED":
            against = f", against {claim['against']}" if claim["against"] else ""
            text = f"  - {claim['what']}{against}: {figure(_judged(claim))}, where {_goal(claim)} is the goal"
            missed.setdefault(claim["why"] or "It is not known yet.", []).append(text)
    return [line for why, lines in missed.items() for line in (f"- {why}", *lines)] or ["Nothing."]


def _machine(number: int, run: dict[str, str]) -> str:
    return f"**{_letter(number)}**: " + "; ".join(f"{name}: {value}" for name, value in run.items()) + ".\n"


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
