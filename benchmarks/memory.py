"""Claim: the memory of `star extract` does not grow with the number of videos.

Draws N short H.264 clips, extracts them with the command, and meanwhile adds up the memory of the process and of its
decoding children (Linux's "Pss": shared pages count once). Prints it for each tenth of the run; the first tenth
still starts up.

    python benchmarks/memory.py [--clips 130]        clips per action, of eight actions: 1,040 videos
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from claims import claim, unable
from common import options

from star.pipeline.datasets.synthetic.dataset import draw

RECIPE = """
dataset: {{kind: drawn, root: {folder}/data}}
cache: {{root: {folder}/cache}}
backbone: {{weights: random, size: 32, crop: person, batch: 16}}
"""
EVERY = 0.2  # seconds


def needs_linux() -> None:
    """End here where the system does not say what memory processes share."""
    if not Path("/proc/self/smaps_rollup").is_file():
        unable("needs Linux's /proc/PID/smaps_rollup")


def tree(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    children: list[int] = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, thread.read_text().split())
    return [pid, *(inner for child in children for inner in tree(child))]


def megabytes(pids: list[int]) -> float:
    """Their memory together."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


def main() -> None:
    """Run the command, print the medians."""
    asked = options(__doc__, clips=130).parse_args()
    needs_linux()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = draw(folder / "data", clips_per_class=asked.clips, frames=(20, 24), size=(96, 80))
        recipe = folder / "star.yaml"
        recipe.write_text(RECIPE.format(folder=folder))
        command = [sys.executable, "-m", "star.cli", "extract", str(recipe), "-q"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        found = []
        while process.poll() is None:
            found.append((megabytes([process.pid]), megabytes(tree(process.pid)[1:])))
            time.sleep(EVERY)
        said = process.stdout.read().splitlines() if process.stdout else []
    parts = [found[len(found) * part // 10 : len(found) * (part + 1) // 10] for part in range(10)]
    print(f"{count} videos; {said[-1]}")
    for column, what in enumerate(("the process", "its decoding children")):
        middles = ", ".join(f"{median(pair[column] for pair in part):,.0f}" for part in parts if part)
        print(f"MB in each tenth of the run, {what}: {middles}")
    before, last = (median(sum(pair) for part in some for pair in part) for some in (parts[4:7], parts[7:]))
    claim(
        "memory of `star extract` and its children, last three tenths of a run",
        last,
        "MB",
        against="the three tenths before",
        other=before,
        ratio=last / before,
        goal=("<=", 1.05),
    )


if __name__ == "__main__":
    main()
