"""Claims: a time line is faster than one `star predict` per window; its memory does not grow with the film; the delay
of a live source stays what a window costs.

Draws clips, trains a small network on estimated joints, and joins clips to a film. Then: windows per second of
`star predict --window 2 --every 0.5`, of one command over as many films cut to these windows, and of one command for
each of a few of them; memory (Linux's "Pss") of the command and its children over a film of --minutes, after 10 minutes
of film and in the end; the delay of answers to a film that is fed to standard input in real time.

    python benchmarks/timeline.py [--minutes 60] [--seconds 60] [--alone 4] [--live 30]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import av
import numpy as np
from claims import claim
from common import options, run
from memory import megabytes, needs_linux, tree

from star.pipeline.datasets.synthetic.dataset import draw

RECIPE = """
dataset: {{kind: drawn, root: {folder}/data}}
cache: {{root: {folder}/cache}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 112, crop: person, batch: 8}}
train: {{epochs: 1, batch: 8, tensorboard: false}}
model: {{width: 64, heads: 2, encoder_layers: 1, decoder_layers: 1}}
"""
RATE, WINDOW, EVERY = 20, 2.0, 0.5
STAR = [sys.executable, "-m", "star.cli"]


def pictures(folder: Path) -> list[np.ndarray]:
    """The pictures of some drawn clips, YUV 4:2:0, of one size."""
    found = []
    for film in sorted((folder / "data" / "videos").glob("*_000.mp4")):
        with av.open(str(film)) as container:
            found += [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    return found


def write(path: Path, shown: Iterable[np.ndarray], **coding: str) -> Path:
    """A film of these pictures."""
    with av.open(str(path), "w") as container:
        stream = None
        for number, picture in enumerate(shown):
            if stream is None:
                stream = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", **coding})
                stream.width, stream.height = picture.shape[1], picture.shape[0] * 2 // 3
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        assert stream is not None
        container.mux(stream.encode())
    return path


def trained(folder: Path) -> Path:
    """A run, from clips that are drawn for it."""
    draw(folder / "data", clips_per_class=2, frames=(40, 48), size=(160, 120))
    recipe = folder / "star.yaml"
    recipe.write_text(RECIPE.format(folder=folder))
    run([*STAR, "extract", str(recipe), "-q"])
    run([*STAR, "train", str(recipe), "--run", str(folder / "run"), "-q"])
    return folder / "run"


def windows_per_second(folder: Path, network: Path, shown: list[np.ndarray], seconds: int, alone: int) -> None:
    """Time a time line, and the same windows as films of their own."""
    film = write(folder / "film.mp4", islice(cycle(shown), seconds * RATE))
    count = int((seconds - WINDOW) / EVERY) + 1
    starts = [round(number * EVERY * RATE) for number in range(count)]
    whole = list(islice(cycle(shown), seconds * RATE))
    cuts = [
        str(write(folder / f"cut{first}.mp4", whole[first : first + round(WINDOW * RATE)], qp="0")) for first in starts
    ]
    ending = ["--run", str(network), "-q"]
    line = run([*STAR, "predict", str(film), *ending, "--window", str(WINDOW), "--every", str(EVERY), "-o",
                str(folder / "out.csv")]).wall  # fmt: skip
    together = run([*STAR, "predict", *cuts, *ending]).wall
    each = median(run([*STAR, "predict", cut, *ending]).wall for cut in cuts[:alone])
    print(f"{count} windows of a film of {seconds} s: {count / line:.2f}/s as a time line, {count / together:.2f}/s as "
          f"films of their own in one command, {1 / each:.2f}/s in a command each")  # fmt: skip
    for other, rate in (("one command over films cut to the windows", count / together),
                        ("one `star predict` per window", 1 / each)):  # fmt: skip
        claim(
            "windows per second of a time line, overlapping by three quarters", count / line, "windows/s",
            against=other, other=rate, ratio=count / line / rate, goal=(">", 1.0),
        )  # fmt: skip


def memory_over_a_film(folder: Path, network: Path, shown: list[np.ndarray], minutes: int) -> None:
    """Watch the memory of a command over a long film."""
    film, out = write(folder / "long.mp4", islice(cycle(shown), minutes * 60 * RATE)), folder / "long.csv"
    command = [*STAR, "predict", str(film), "--run", str(network), "-q", "--window", "10", "-o", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    seen: list[tuple[float, float]] = []  # minutes of film that are answered, MB
    while process.poll() is None:
        rows = out.read_text().splitlines() if out.exists() else []
        done = float(rows[-1].split(",")[2]) / 60 if len(rows) > 1 else 0.0
        seen.append((done, megabytes(tree(process.pid))))
        time.sleep(0.5)
    early, late = minutes / 6, minutes * 5 / 6  # of an hour: 10 and 50 minutes
    firsts = [size for done, size in seen if early * 0.6 <= done <= early * 1.4]
    lasts = [size for done, size in seen[:-1] if done >= late]
    if not firsts or not lasts:
        print(f"memory: {minutes} minutes go by too fast to be watched; --minutes 12 or more", file=sys.stderr)
        return
    before, last = median(firsts), median(lasts)
    print(f"a film of {minutes} minutes: {before:,.0f} MB after {early:g} minutes of it, {last:,.0f} MB in the end")
    claim(
        f"memory of a time line in the last sixth of a film of {minutes} minutes", last, "MB",
        against=f"after {early:g} minutes of it", other=before, ratio=last / before, goal=("<=", 1.05),
    )  # fmt: skip


def in_real_time(shown: list[np.ndarray], seconds: int, out: object) -> None:
    """Send pictures as a camera would."""
    with av.open(out, "w", format="mpegts") as container:  # type: ignore[call-overload]
        coding = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE)}
        stream = container.add_stream("libx264", rate=RATE, options=coding)
        stream.width, stream.height, stream.pix_fmt = shown[0].shape[1], shown[0].shape[0] * 2 // 3, "yuv420p"
        began = time.monotonic()
        for number, picture in enumerate(islice(cycle(shown), seconds * RATE)):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            out.flush()  # type: ignore[attr-defined]


def delay_of_live(network: Path, shown: list[np.ndarray], seconds: int) -> None:
    """Feed the command, and read what it says of its delay."""
    command = [*STAR, "predict", "-", "--run", str(network), "--window", "1", "--every", "0.5", "--json"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False)
    assert process.stdin is not None and process.stdout is not None
    feeder = os.fork()
    if not feeder:
        in_real_time(shown, seconds, process.stdin)
        os._exit(0)
    process.stdin.close()
    *_, last = documents(process.stdout)
    os.waitpid(feeder, 0)
    process.wait()
    summary = last["summary"]
    delay = summary["delay"]
    dropped = f"{summary['dropped']} of {summary['frames']} frames dropped"
    print(f"live, {seconds} s: {summary['answers']} answers, {dropped}, "
          f"delay {delay['median']:.2f} s in the median, {delay['most']:.2f} s at most")  # fmt: skip
    claim("delay of a live source, from a window's last picture to its answer", delay["median"], "s", goal=("<", 2.0))
    claim("the longest such delay", delay["most"], "s")


def documents(lines: Iterable[bytes]) -> Iterator[dict]:
    """JSON lines."""
    return (json.loads(line) for line in lines)


def main() -> None:
    """Measure, print, tell."""
    asked = options(__doc__, minutes=60, seconds=60, alone=4, live=30).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = trained(folder)
        shown = pictures(folder)
        windows_per_second(folder, network, shown, asked.seconds, asked.alone)
        delay_of_live(network, shown, asked.live)
        needs_linux()
        memory_over_a_film(folder, network, shown, asked.minutes)


if __name__ == "__main__":
    main()
