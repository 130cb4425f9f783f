"""Claim: NTU's .skeleton files are read at 20 MB/s or more, and faster than line by line with float().

The plain reader is what public NTU code does: one readline() and one float() for each of the twelve numbers of a
joint. Both read the same file, written here as Kinect's were; rounds alternate, and the medians of processor seconds
are compared, since both only compute.

    python benchmarks/skeleton.py [--frames 100] [--bodies 2] [--rounds 7]
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from claims import claim
from common import options, turns

from star.pipeline.datasets.ntu.skeleton import read_skeleton


def write(path: Path, frames: int, bodies: int) -> None:
    random = np.random.default_rng(0)
    lines = [str(frames)]
    for _ in range(frames):
        lines.append(str(bodies))
        for body in range(bodies):
            lines += [f"7205759403793110{body} 0 1 1 0 0 0 -0.4360383 0.04230882 2", "25"]
            for joint in random.random((25, 11)):
                x, y, z, *rest = joint
                places = f"{300 * rest[0]:.4f} {200 * rest[1]:.4f} {1920 * rest[2]:.4f} {1080 * rest[3]:.4f}"
                turns = " ".join(f"{number:.8f}" for number in rest[4:])
                lines.append(f"{x:.7f} {y:.7f} {z:.6f} {places} {turns} 2")
    path.write_text("\r\n".join(lines) + "\r\n", encoding="ascii", newline="")


def plain(path: Path) -> np.ndarray:
    bodies: dict[str, dict[int, list[list[float]]]] = {}
    with path.open() as file:
        frames = int(file.readline())
        for frame in range(frames):
            for _ in range(int(file.readline())):
                name = file.readline().split()[0]
                joints = []
                for _ in range(int(file.readline())):
                    numbers = [float(number) for number in file.readline().split()]
                    joints.append([numbers[5], numbers[6], float(numbers[11] > 0)])
                bodies.setdefault(name, {})[frame] = joints
    found = np.zeros((frames, len(bodies), 25, 3), np.float32)
    for place, body in enumerate(bodies.values()):
        for frame, joints in body.items():
            found[frame, place] = joints
    return found


def main() -> None:
    asked = options(__doc__, frames=100, bodies=2, rounds=7).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "S001C001P001R001A050.skeleton"
        write(path, asked.frames, asked.bodies)
        ours, theirs = read_skeleton(path), plain(path)
        assert np.array_equal(np.sort(ours.sum((0, 2))), np.sort(theirs.sum((0, 2))))
        readers = {"line by line, float()": partial(plain, path), "star": partial(read_skeleton, path)}
        medians = turns(readers, asked.rounds, clock=time.process_time)
        size = path.stat().st_size / 1e6
    print(f"{size:.2f} MB, {asked.frames} frames, {asked.bodies} bodies")
    for name, median in medians.items():
        rate, ratio = size / median, median / medians["star"]
        print(f"{name:24} {1000 * median:8.1f} ms   {rate:6.1f} MB/s   ratio {ratio:.1f}")
    slow, fast = (size / median for median in medians.values())
    what, against = "NTU's .skeleton files, processor time", "line by line with float()"
    claim(what, fast, "MB/s", goal=(">=", 20))
    claim(what, fast, "MB/s", against=against, other=slow, ratio=fast / slow, goal=(">", 1))


if __name__ == "__main__":
    main()
