"""UTKinect as star reads it: joints of 20 untrimmed sequences as .npz, and a CSV of the 199 labelled spans.

    python examples/utkinect.py joints OUT      where joints/ holds joints_s01_e01.txt … and actionLabel.txt
    star init joints --root OUT > utkinect.yaml

A line of a sequence is a frame number and 20 joints x, y, z in metres. Frame numbers have gaps, some stand twice (the
first is taken), so a label's frames are looked up; a label without frames (one says NaN) is left out and said.
"""

import csv
import re
import sys
from pathlib import Path

import numpy as np

folder, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
frames: dict[str, np.ndarray] = {}
for path in sorted(folder.glob("joints_s*_e*.txt")):
    name = path.stem.removeprefix("joints_")
    rows = np.loadtxt(path, ndmin=2)
    numbers, first = np.unique(rows[:, 0].astype(int), return_index=True)
    frames[name] = numbers
    np.savez(out / f"{name}.npz", positions=rows[first, 1:].reshape(-1, 1, 20, 3), skeleton="kinect_v1", rate=30)

with (out / "spans.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(("video", "label", "start_frame", "end_frame", "subject"))
    for line in (folder / "actionLabel.txt").read_text().splitlines():
        if match := re.fullmatch(r"(s\d+)_e\d+", line.strip()):
            name, subject = match[0], match[1]
        elif match := re.fullmatch(r"(\w+):\s*(\S+)\s+(\S+)\s*", line):
            if not (match[2].isdigit() and match[3].isdigit()):
                print(f"{name}: {match[1]} has no frames ({match[2]} {match[3]}); left out", file=sys.stderr)
                continue
            within = np.flatnonzero((frames[name] >= int(match[2])) & (frames[name] <= int(match[3])))
            if len(within):
                table.writerow((f"{name}.npz", match[1], within[0], within[-1], subject))
