"""Every benchmark, one after the other, and one table of what they claim: `make bench`.

Each is a process of its own. Its claims (claims.py) are kept in FOLDER/benchmarks.jsonl, one line a benchmark, and
FOLDER/benchmarks.md is written anew after each. A benchmark that fails is a row that says so; so is one that this
machine cannot run. With --only, the others' lines stay as they are, also those of another machine. About 20 minutes on
two cores.

    python benchmarks/bench.py [--only NAME ...] [--quick] [--folder docs] [--penn PATH] [--videos PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import claims
import machine
import page

HERE = Path(__file__).resolve().parent


class Bench(NamedTuple):
    """A benchmark: the area it belongs to, and its options; quick ones only show that it works."""

    area: str
    full: str
    quick: str


BENCHES = {
    "decode": Bench("decode", "--films 40 --rounds 5", "--films 2 --rounds 1"),
    "jpeg": Bench("decode", "--rounds 5 --pictures 6", "--rounds 1 --pictures 1"),
    "backbone": Bench("backbone", "--batch 8 --repeat 3", "--batch 1 --repeat 1 --size 48"),
    "backbone_engines": Bench("backbone", "--batch 4 --repeat 3", "--batch 1 --repeat 1"),
    "joint_map": Bench("backbone", "--repeat 15", "--repeat 1 --frames 4"),
    "pose": Bench("pose", "--crops 16 --rounds 3", "--crops 2 --rounds 1"),
    "pose_parts": Bench("pose", "--rounds 5", "--rounds 1"),
    "skeleton": Bench("pose", "--rounds 15", "--frames 10 --rounds 1"),
    "extract_penn": Bench("extraction", "--sequences 480 --rounds 1", "--sequences 4 --rounds 1"),
    "extract": Bench("extraction", "--clips 6 --rounds 2", "--clips 1 --rounds 1"),
    "kept_frames": Bench("extraction", "--clips 3 --rounds 2", "--clips 1 --rounds 1 --size 32"),
    "map_read": Bench("cache reading", "--clips 256 --rounds 7", "--clips 64 --rounds 1"),
    "feature_read": Bench("cache reading", "--clips 512 --rounds 5", "--clips 64 --rounds 1"),
    "plan": Bench("planning", "--videos 1 10000 100000", "--videos 1 100 200"),
    "index": Bench("planning", "--rows 10000 100000", "--rows 100 200"),
    "pickle_index": Bench("planning", "--sequences 114480", "--sequences 200"),
    "attention": Bench("training", "--batch 2 --repeat 3", "--batch 1 --repeat 1 --width 64"),
    "train_step": Bench("training", "--batch 4 --rounds 4", "--batch 1 --rounds 1 --width 64 --clips 8"),
    "finetune_step": Bench("training", "--batch 2 --rounds 3", "--batch 1 --rounds 1 --size 32 --width 64"),
    "train_gpu": Bench("training", "--steps 40", "--steps 2 --batches 4 --compile no --clips 16"),
    "process_settings": Bench("extraction", "--rounds 3", "--rounds 1 --batch 1 --videos 100"),
    "checksums": Bench("training", "--clips 256 --rounds 5", "--clips 16 --rounds 1 --width 64"),
    "growth": Bench("growth", "--most 10000", "--most 1000"),
    "memory": Bench("growth", "--clips 60", "--clips 2"),
    "worst_memory": Bench("growth", "--clips 200 2000", "--clips 8 16 --count 2"),
    "timeline": Bench("time line", "--minutes 60", "--minutes 1 --seconds 4 --alone 1 --live 8"),
    "cluster_overhead": Bench("cluster", "--clips 24 --rounds 2", "--clips 2 --rounds 1 --size 32"),
}
# Most processors have no units for bfloat16: what computes is measured as the processor is, and as it would be without.
KINDS = {
    "AVX512_CORE": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
ON_EVERY_KIND = ("backbone", "backbone_engines", "train_step", "process_settings")
BENCHES |= {f"{name}@{kind}": BENCHES[name] for kind in KINDS for name in ON_EVERY_KIND}
AREAS = {name: bench.area for name, bench in BENCHES.items()}
INPUTS = {"penn": "extract_penn", "videos": "decode"}  # option -> the benchmark that takes the path


def measure(
    script: Path, words: list[str], where: dict[str, str], *, path: Path | None = None, kind: str = ""
) -> dict[str, Any]:
    """Run one benchmark: its name, command, machine, seconds, claims, and "" or how it ended without finishing.

    kind: one of KINDS, to which the processor is held.
    """
    limits = KINDS.get(kind, {})
    name = f"{script.stem}@{kind}" if kind else script.stem
    settings = [f"{key}={value}" for key, value in limits.items()]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "claims"
        command = [sys.executable, str(script), *([str(path)] if path else []), *words]
        environment = {**os.environ, **limits, claims.FILE: str(file)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        found = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {
        "benchmark": name,
        "command": " ".join([*settings, f"python benchmarks/{script.name}", *(["PATH"] if path else []), *words]),
        "machine": {**where, "processor": f"{where['processor']}; held to {kind}"} if kind else where,
        "seconds": round(time.perf_counter() - began, 1),
        "claims": [json.loads(line) for line in found],
        "ended": _ended(done.returncode, done.stderr),
    }


def _ended(status: int, said: str) -> str:
    """ "" or `skipped: …` or `failed: …`, with the last line of a benchmark's errors and without the folders in it."""
    if not status:
        return ""
    last = (said.strip().splitlines() or [f"exit status {status}"])[-1]
    how = "skipped" if status == claims.LACKS or "No module named" in last else "failed"
    return f"{how}: " + re.sub(r"(?<![\w.])/(?:[^\s/'\":,]+/)+", "…/", last)


def keep(folder: Path, result: dict[str, Any], *, quick: bool) -> str:
    """Put a benchmark's line in place of its last, write the page anew, return it."""
    kept = {one["benchmark"]: one for one in _kept(folder)} | {result["benchmark"]: result}
    (folder / "benchmarks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept.values()), encoding="utf-8")
    text = page.render(kept, AREAS | {name: "others" for name in kept if name not in AREAS}, quick=quick)
    (folder / "benchmarks.md").write_text(text, encoding="utf-8")
    return text


def _kept(folder: Path) -> list[dict[str, Any]]:
    path = folder / "benchmarks.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def bench(names: list[str], asked: argparse.Namespace, folder: Path) -> str:
    """Run benchmarks, say which one is running and what became of it, and return the page."""
    where, text = machine.describe(), ""
    paths = {INPUTS[option]: getattr(asked, option) for option in INPUTS}
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name}", end="", file=sys.stderr, flush=True)
        words = (BENCHES[name].quick if asked.quick else BENCHES[name].full).split()
        script, _, kind = name.partition("@")
        result = measure(HERE / f"{script}.py", words, where, path=paths.get(script), kind=kind)
        text = keep(folder, result, quick=asked.quick)
        count = len(result["claims"])
        print(f"  {result['seconds']:.0f} s, {count} claims  {result['ended']}", file=sys.stderr, flush=True)
    return text


def main(words: list[str] | None = None) -> None:
    """Print the page, which says what was met and what was missed; exit status 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(BENCHES), metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all works; keeps no page")
    parser.add_argument("--folder", type=Path, help="where the page and what it is made of are kept (docs)")
    parser.add_argument("--penn", type=Path, help="Penn Action, for extract_penn, in place of a drawn one")
    parser.add_argument("--videos", type=Path, help="a folder of videos, for decode, in place of encoded ones")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as passing:
        folder = asked.folder or (Path(passing) if asked.quick else HERE.parent / "docs")
        if not asked.only:
            (folder / "benchmarks.jsonl").unlink(missing_ok=True)
        print(bench(asked.only or list(BENCHES), asked, folder))
        failed = [one["benchmark"] for one in _kept(folder) if one["ended"].startswith("failed")]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
