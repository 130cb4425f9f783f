"""Claim: Dask costs less than 10 %: the same extraction in one process, and on two local Dask workers.

Both get the same cores and the same number of decoding children: in one process two threads of the network and two
children, on the cluster two workers with one thread and one child each. They take turns as commands of their own on the
same drawn clips with random mc3_18 weights. Starting is measured apart, by a run over few clips, and taken off: what is
compared is seconds per further clip. The processor's time is compared too, since it does not suffer from what else
this machine does.

    python benchmarks/cluster_overhead.py [--clips 48] [--rounds 3] [--size 112]      clips of each of eight actions
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import common
from claims import claim

from star.pipeline.datasets.synthetic.dataset import draw

RECIPE = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}, segment: 32}}
backbone: {{weights: random, crop: person, size: {size}}}
"""
WAYS = {"in one process": "cpu", "two Dask workers": "cpu,cpu"}


def run(recipe: Path, device: str, shard: str) -> tuple[float, float, int]:
    """Seconds of wall time and of the processor for a share of the clips, and how many those were."""
    words = ["extract", str(recipe), "--device", device, "--workers", "2", "--shard", shard, "--json", "-q"]
    said, wall, processor = common.run([sys.executable, "-m", "star", *words])
    return wall, processor, json.loads(said)["clips"]


def further(folder: Path, device: str, size: int) -> tuple[float, float, float]:
    """Seconds of wall time and of the processor per further clip, and seconds of starting."""
    found = []
    for shard in ("1/8", "1/1"):
        recipe, cache = folder / "star.yaml", folder / f"cache-{time.monotonic_ns()}"
        recipe.write_text(RECIPE.format(root=folder / "data", cache=cache, size=size))
        found.append(run(recipe, device, shard))
    (few_s, few_cpu, few), (all_s, all_cpu, count) = found
    each, processor = (all_s - few_s) / (count - few), (all_cpu - few_cpu) / (count - few)
    return each, processor, few_s - few * each


def main() -> None:
    """Take turns, then print clips/s, the ratio of every round's neighbours, and what starting took."""
    asked = common.options(__doc__, clips=48, rounds=3, size=112).parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name) / "data", clips_per_class=asked.clips)
        for turn in range(asked.rounds):
            for way in list(WAYS)[:: 1 if turn % 2 == 0 else -1]:
                found[way].append(further(Path(name), WAYS[way], asked.size))
    base = found["in one process"]
    print(f"{8 * asked.clips} clips, {asked.rounds} rounds")
    for way, rounds in found.items():
        wall, processor, start = (median(values) for values in zip(*rounds, strict=True))
        ratios = [median(one[k] / other[k] for one, other in zip(rounds, base, strict=True)) for k in (0, 1)]
        print(
            f"{way:18} {1 / wall:6.2f} clips/s  {ratios[0]:5.2f} x the time   {processor * 1000:6.0f} ms of the "
            f"processor a clip  {ratios[1]:5.2f} x   {start:5.1f} s to start"
        )
    compare(base, found["two Dask workers"])


def compare(base: list[tuple[float, float, float]], dask: list[tuple[float, float, float]]) -> None:
    """(wall, processor, start) of every round of both ways -> the claims."""
    for k, (what, goal) in enumerate((("time", ("<", 1.1)), ("time of the processor", None))):
        mine, other = (median(row[k] for row in rows) * 1000 for rows in (dask, base))
        ratio = median(one[k] / two[k] for one, two in zip(dask, base, strict=True))
        what = f"two Dask workers, {what} of a further clip"
        claim(what, mine, "ms", against="the same in one process", other=other, ratio=ratio, goal=goal)


if __name__ == "__main__":
    main()
