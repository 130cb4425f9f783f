"""Claim: reader `auto` gives exactly the frames of a sequential decode for less processor time than the decode alone.

For every video of FOLDER, or without it for three that are made as those of well-known data sets are, and for `--films`
small ones of all kinds (films.py): CPU milliseconds of taking the 16 centre frames of the test view as RGB ("frames"),
and of also cutting them to 112 px ("cut"), against a decode of everything that converts nothing: by PyAV on one thread
("all", the same libraries without starting a program) and by `ffmpeg -threads 1 -i FILE -f null -`, its start and the
sound included, where an ffmpeg is installed or named (Debian: apt install ffmpeg; anywhere: pip install imageio-ffmpeg,
which brings one).
"plain" is the shortest loop with PyAV that gives the same pictures and stops after the last.

A child process does the decoding; the ways take turns, file by file; medians of its process time, all threads counted.
Every file is first compared bit for bit with a sequential decode. Goals against ffmpeg: at most 0.75 on files with
B-pictures, never more than 1.05.

    python benchmarks/decode.py [FOLDER] [--films 200] [--rounds 9] [--ffmpeg PATH]
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from claims import claim, skipped
from common import options
from films import films, typical

from star.errors import VideoError
from star.stages.cropping import Crop, crop_frame
from star.stages.decode import DecodeStage, open_video

WAYS = ("all", "plain", "frames", "cut")


@dataclass(frozen=True)
class Result:
    """Of one file: which reader, frames, whether exact, whether it has B-pictures, CPU ms by way."""

    name: str
    reader: str
    count: int
    exact: bool
    has_b: bool
    ms: dict[str, float]

    def ratio(self, way: str, base: str = "all") -> float:
        """One way's time as a share of another's; NaN where that was not measured."""
        return self.ms[way] / self.ms[base] if self.ms.get(base) else float("nan")


def sequential(path: Path) -> Iterable[av.VideoFrame]:
    """Every frame, by PyAV alone, one thread."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        yield from container.decode(video=0)


def take(path: Path, *, cutting: bool) -> dict[int, np.ndarray]:
    """The centre frames by star."""
    with open_video(path, selector=DecodeStage().frame_selector(path.name, [0])) as video:
        indices = DecodeStage().sample(path.name, 0, video.frame_count)[0].tolist()
        region = Crop("frame").region(np.zeros((1, 1, 1, 3)), video.frame_size, path.name, 0) if cutting else None
        frames = video.frames(indices)
        return {index: frame if region is None else crop_frame(frame, region, 112) for index, frame in frames}


def plain(path: Path) -> dict[int, np.ndarray]:
    """The centre frames by PyAV; of a file that does not say how many frames it has, everything."""
    with av.open(str(path)) as container:
        count = container.streams.video[0].frames
    wanted = set(DecodeStage().sample(path.name, 0, count)[0].tolist()) if count else set()
    frames: dict[int, np.ndarray] = {}
    for index, frame in enumerate(sequential(path)):
        if index in wanted:
            frames[index] = frame.to_ndarray(format="rgb24", threads=1)
        if wanted and len(frames) == len(wanted):
            break
    return frames


def drain(path: Path) -> None:
    for _frame in sequential(path):
        pass


def check(path: Path) -> tuple[str, int, bool, bool]:
    """Reader, frames, whether all of `auto`'s frames, of four views and one by one, are those of a plain decode."""
    with open_video(path) as video:
        every = list(sequential(path))
        reader, count = type(video).__name__.removesuffix("Video").lower(), video.frame_count
        exact = count == len(every)
        views = [DecodeStage().sample(path.name, view, count)[0].tolist() for view in range(4)]
        for chosen in [*views, [0, count - 1], *([index] for index in range(0, count, 1 + count // 8))]:
            found = dict(video.frames(chosen))
            exact = exact and list(found) == sorted(set(chosen))
            exact = exact and all(np.array_equal(found[i], every[i].to_ndarray(format="rgb24")) for i in found)
    return reader, count, exact, any(frame.pict_type == av.video.frame.PictureType.B for frame in every)


def measure(path: Path, rounds: int, ffmpeg: str | None) -> Result | str:
    """Everything about one file; runs in the child. A line where star refuses the file."""
    try:
        reader, count, exact, has_b = check(path)
    except VideoError as error:
        return f"{path.name}: {error.kind}"
    ways: dict[str, Callable[[], object]] = {
        "all": lambda: drain(path),
        "plain": lambda: plain(path),
        "frames": lambda: take(path, cutting=False),
        "cut": lambda: take(path, cutting=True),
    }
    times: dict[str, list[float]] = {name: [] for name in (*ways, "ffmpeg")}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(1e3 * (time.process_time() - start))
        if ffmpeg:
            times["ffmpeg"].append(program(ffmpeg, path))
    return Result(path.name, reader, count, exact, has_b, {n: statistics.median(v) for n, v in times.items() if v})


def program(ffmpeg: str, path: Path) -> float:
    """CPU milliseconds of an ffmpeg process that decodes a file to nowhere."""
    command = [ffmpeg, "-v", "quiet", "-nostdin", "-threads", "1", "-i", str(path), "-f", "null", "-"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _pid, _status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return 1e3 * (usage.ru_utime + usage.ru_stime)


def show(results: list[Result | str]) -> None:
    """One line per file."""
    heads = ["file", "reader", "frames", "B", "ms: all, plain, frames, cut, ffmpeg", "frames / all", "cut / all"]
    print("| " + " | ".join([*heads, "frames / ffmpeg", "cut / ffmpeg", "exact"]) + " |\n|" + "---|" * 10)
    for one in results:
        if isinstance(one, str):
            print(f"| {one} |")
            continue
        times = ", ".join(f"{one.ms[way]:.1f}" for way in (*WAYS, "ffmpeg") if way in one.ms)
        ratios = [f"{one.ratio(way, base):.2f}" for base in ("all", "ffmpeg") for way in ("frames", "cut")]
        cells = [one.name, one.reader, str(one.count), "yes" if one.has_b else "no", times, *ratios]
        print("| " + " | ".join([*cells, "yes" if one.exact else "NO"]) + " |")


def summary(results: list[Result]) -> None:
    """The encoded films by kind: how many, how many exact, median and worst ratio."""
    kinds: dict[tuple[str, str, str], list[Result]] = {}
    for one in results:
        length = "1 to 16" if one.count <= 16 else "17 to 60" if one.count <= 60 else "100 to 600"
        codec = "H.264" if "264" in one.name else "MPEG-4"
        kinds.setdefault((codec, "B" if one.has_b else "no B", length), []).append(one)
    heads = ["films", "frames", "files", "exact", "fast reader", "frames / all: sum, worst", "cut / all: sum, worst"]
    print("\n| " + " | ".join([*heads, "frames / ffmpeg: sum, worst"]) + " |\n|" + "---|" * 8)
    for (codec, kind, length), group in sorted(kinds.items()):
        cells = [f"{codec}, {kind}", length, str(len(group)), str(sum(one.exact for one in group))]
        cells.append(str(sum(one.reader != "sequential" for one in group)))
        for way, base in (("frames", "all"), ("cut", "all"), ("frames", "ffmpeg")):
            total = sum(one.ms[way] for one in group) / (sum(one.ms.get(base, 0) for one in group) or float("nan"))
            cells.append(f"{total:.2f}, {max(one.ratio(way, base) for one in group):.2f}")
        print("| " + " | ".join(cells) + " |")


def compare(videos: list[Result], encoded: list[Result], ffmpeg: str | None) -> None:
    """The claims: of each video, and of the encoded films the worst."""
    every, exact = len(videos) + len(encoded), sum(one.exact for one in [*videos, *encoded])
    what, unit = "all frames are those of a sequential decode, bit for bit", f"of {every} files"
    claim(what, exact, unit, goal=(">=", every))
    for one in videos:
        against_pyav(f"{one.name}: 16 frames as RGB", one)
    with_b = [one for one in encoded if one.has_b]
    for what, some in (("films with B-pictures", with_b), ("films", encoded)):
        if some:
            worst = max(some, key=lambda one: one.ratio("frames"))
            against_pyav(f"16 frames as RGB, the worst of {len(some)} small {what}", worst)
    if not ffmpeg:
        skipped("processor time against `ffmpeg -threads 1`", "no ffmpeg found; pip install imageio-ffmpeg brings one")
        return
    for one in videos:
        for way, done in (("frames", "as RGB"), ("cut", "shrunk to 112 px")):
            against_ffmpeg(f"{one.name}: 16 frames {done}", one, way, 0.75 if one.has_b else 1.05)
    for what, some, most in (("films with B-pictures", with_b, 0.75), ("films", encoded, 1.05)):
        if some:
            worst = max(some, key=lambda one: one.ratio("frames", "ffmpeg"))
            what = f"16 frames as RGB, the worst of {len(some)} small {what}"
            against_ffmpeg(what, worst, "frames", most)


def against_pyav(what: str, one: Result) -> None:
    mine, other, against = one.ms["frames"], one.ms["all"], "PyAV, everything decoded, nothing converted"
    claim(what, mine, "CPU ms", against=against, other=other, ratio=mine / other)


def against_ffmpeg(what: str, one: Result, way: str, most: float) -> None:
    claim(
        what,
        one.ms[way],
        "CPU ms",
        against="ffmpeg -threads 1, everything to nowhere",
        other=one.ms["ffmpeg"],
        ratio=one.ratio(way, "ffmpeg"),
        goal=("<=", most),
        why="Pictures that others refer to must be decoded, and they are most of the work; shrinking 16 frames comes "
        "on top, and in small or short films the conversion and the reading of headers weigh most.",
    )


def found_ffmpeg() -> str | None:
    """The ffmpeg on the path, or the one that imageio-ffmpeg brings."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return shutil.which("ffmpeg") or get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return shutil.which("ffmpeg")


def main() -> None:
    parser = options(__doc__, films=200, rounds=9)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--ffmpeg", default=found_ffmpeg())
    parser.add_argument("--each", action="store_true", help="a line for every encoded film, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, multiprocessing.get_context("spawn").Pool(1) as child:
        made = Path(name)
        videos = sorted(asked.folder.iterdir()) if asked.folder else typical(made)
        shown = child.starmap(measure, [(path, asked.rounds, asked.ffmpeg) for path in videos if path.is_file()])
        show(shown)
        paths = [film.write(made) for film in films(asked.films)]
        found = child.starmap(measure, [(path, asked.rounds, asked.ffmpeg) for path in paths])
    if asked.each:
        show(found)
    summary([one for one in found if isinstance(one, Result)])
    print("\n".join(one for one in found if isinstance(one, str)))
    compare(*([one for one in some if isinstance(one, Result)] for some in (shown, found)), asked.ffmpeg)


if __name__ == "__main__":
    main()
