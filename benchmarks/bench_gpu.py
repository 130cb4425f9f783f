"""Everything that needs a GPU, in at most eight minutes: each figure as a share of a ceiling of the same run.

Groups run one after the other, each in a process of its own, and every row is written down as soon as it is known: a
script that was cut off goes on with what it lacks when it is called again. A group that has not enough time left is
left for the next call. The page, docs/benchmarks-gpu.md, is written anew after each group. What was measured on another
device stays in the page beside it; `--again` forgets this device's rows.

    python benchmarks/bench_gpu.py [--device cuda] [--penn PATH] [--seconds 480] [--only GROUP ...] [--again]
    python benchmarks/bench_gpu.py --tiny --device cpu          to see on any machine that all of it works
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import machine

HERE = Path(__file__).resolve().parent
GROUPS = ("ceilings", "backbone", "stem", "training", "attention", "extraction", "pose", "runs")
SIGNS = "measured", "share", "of", "goal", "verdict", "what else"
TOP = """# Benchmarks on a GPU

Written by `make bench-gpu`. A share is of a ceiling that the same run measured: a large bfloat16 product, a large copy
within the device's memory, or the rate at which the same processes read and cut frames with nothing done to them.
"""
TINY = "These are tiny sizes on {device}, to see that all of them work: no figure here counts.\n"


def kept(state: Path) -> list[dict[str, Any]]:
    """The rows so far, each with its group, device and date."""
    return [json.loads(line) for line in state.read_text(encoding="utf-8").splitlines()] if state.exists() else []


def name_of(device: str) -> str:
    """What the device is called."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return machine.describe()["processor"] if device == "cpu" else device


def page(records: list[dict[str, Any]]) -> str:
    """The page: a table for each device."""
    parts = [TOP]
    for device in dict.fromkeys(record["device"] for record in records):
        mine = [record for record in records if record["device"] == device]
        parts.append(f"## {device}\n")
        if mine[0]["tiny"]:
            parts.append(TINY.format(device="a processor"))
        parts.append("; ".join(f"{name}: {value}" for name, value in mine[-1]["machine"].items() if value) + ".\n")
        parts += ["| | " + " | ".join(SIGNS) + " |", "|---" * (len(SIGNS) + 1) + "|"]
        for record in mine:
            parts += [_line(row, tiny=record["tiny"]) for row in record["rows"]]
            if record["ended"]:
                parts.append(f"| {record['group']} | | | | | **{record['ended']}** | |")
        parts.append("")
    return "\n".join(parts)


def _line(row: dict[str, Any], *, tiny: bool) -> str:
    value, share, goal = row["value"], row["share"], row["goal"]
    figure = f"{value:,.0f} {row['unit']}" if value >= 100 else f"{value:.3g} {row['unit']}" if value else "–"
    verdict = "–" if tiny or goal is None or share is None else "met" if share >= goal else "**MISSED**"
    cells = (
        row["what"], figure, "–" if share is None else f"{share:.1%}", row["of"] or "–",
        "–" if goal is None else f"≥ {goal:.0%}", verdict, row["note"],
    )  # fmt: skip
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def measure(asked: argparse.Namespace, group: str, state: Path, left: float, ceilings: dict[str, float]) -> str:
    """Run a group in a process of its own; returns how it ended, "" where it finished."""
    command = [sys.executable, __file__, "--run", group, "--device", asked.device, "--state", str(state)]
    command += ["--seconds", f"{left:.0f}", "--work", str(asked.work), "--ceilings", json.dumps(ceilings)]
    command += ["--tiny"] * asked.tiny + (["--penn", str(asked.penn)] if asked.penn else [])
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left + 20)
    except subprocess.TimeoutExpired:
        return f"cut off after {left:.0f} s"
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1][:200]
    return ""


def run_group(asked: argparse.Namespace) -> None:
    """In a process of its own: measure one group, and write each row down."""
    import gpu_measurements as measurements
    import torch

    ceilings = json.loads(asked.ceilings)
    sizes = measurements.TINY if asked.tiny else measurements.FULL
    asked.work.mkdir(parents=True, exist_ok=True)
    run = measurements.Run(
        torch.device(asked.device), sizes, asked.work, ceilings["product"], ceilings["copy"], asked.penn,
        time.monotonic() + asked.seconds - 5,
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for row in measurements.GROUPS[asked.run][0](run):
        rows.append(row.document())
        asked.state.write_text(json.dumps(rows), encoding="utf-8")


def main(words: list[str] | None = None) -> None:
    """Measure what is not known yet of this device; print the page. Exit status 1 where a group failed, 5 without the
    device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="torch's name of it")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to see that all works, also without a GPU")
    parser.add_argument("--again", action="store_true", help="measure also what is known of this device")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--seconds", type=float, default=480, help="that all groups together may take")
    parser.add_argument("--penn", type=Path, help="Penn Action, in place of a drawn data set of 96 sequences")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "docs", help="where the page is kept")
    parser.add_argument("--work", type=Path, default=HERE.parent / ".bench-gpu", help="where drawn data and runs lie")
    parser.add_argument("--run", choices=GROUPS, help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ceilings", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.run:
        return run_group(asked)
    bench(asked)
    return None


def bench(asked: argparse.Namespace) -> None:
    """All groups that are asked for and not known yet."""
    import torch

    end = time.monotonic() + asked.seconds
    if asked.device.startswith("cuda") and not torch.cuda.is_available():
        print("needs a GPU that torch can use; `--tiny --device cpu` shows that all works", file=sys.stderr)
        raise SystemExit(5)
    device, state = name_of(asked.device), asked.folder / "benchmarks-gpu.jsonl"
    asked.folder.mkdir(parents=True, exist_ok=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    records = kept(state)
    if asked.again:
        records = [one for one in records if one["device"] != device or one["group"] not in asked.only]
    known = {one["group"] for one in records if (one["device"], one["tiny"], one["ended"]) == (device, asked.tiny, "")}
    needed = [group for group in GROUPS if group in asked.only and group not in known]
    if needed and "ceilings" not in known:
        needed = list(dict.fromkeys(["ceilings", *needed]))
    failed = []
    for group in needed:
        left = end - time.monotonic()
        if left < 10:
            print(f"{group}: no time left; call again", file=sys.stderr)
            continue
        record, began = asked.work / f"{group}.json", time.monotonic()
        record.unlink(missing_ok=True)
        print(f"{group} …", end="", file=sys.stderr, flush=True)
        ended = measure(asked, group, record, left, _ceilings(records, device, asked.tiny))
        rows = json.loads(record.read_text(encoding="utf-8")) if record.exists() else []
        print(f" {time.monotonic() - began:.0f} s, {len(rows)} rows {ended}", file=sys.stderr, flush=True)
        records = [one for one in records if (one["device"], one["group"]) != (device, group)]
        records.append(
            {"group": group, "device": device, "tiny": asked.tiny, "machine": machine.describe(), "rows": rows,
             "ended": ended}
        )  # fmt: skip
        records.sort(key=lambda one: (one["device"], GROUPS.index(one["group"])))
        state.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
        (asked.folder / "benchmarks-gpu.md").write_text(page(records), encoding="utf-8")
        failed += [group] if ended.startswith("failed") else []
    print(page(records))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _ceilings(records: list[dict[str, Any]], device: str, tiny: bool) -> dict[str, float]:
    """FLOP/s of the product and bytes/s of the copy, 1 where they are not measured yet."""
    rows = [
        row for one in records if (one["device"], one["tiny"], one["group"]) == (device, tiny, "ceilings")
        for row in one["rows"]
    ]  # fmt: skip
    product = next((row["value"] * 1e12 for row in rows if row["what"].endswith("bfloat16")), 1.0)
    copy = next((row["value"] * 1e9 for row in rows if row["what"].startswith("copy")), 1.0)
    return {"product": product, "copy": copy}


if __name__ == "__main__":
    main()
