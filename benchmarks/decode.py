"""Claim: reader `auto` gives exactly the frames of a sequential decode, no slower than decord on one core.

For every video of a folder: milliseconds to open it and take the 16 centre frames of the test view, for star's `auto`,
decord's get_batch with one thread and with its default (all cores), and PyAV decoding in sequence with one thread;
interleaved, medians. CPU ms are summed over all threads: what counts where every core has a video of its own to
decode, and what other work on the machine disturbs less. "exact" compares auto with the sequential decode bit for bit.

    python benchmarks/decode.py [FOLDER] [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import decord
import numpy as np

from star.cache.errors import VideoError
from star.stages.decode import Decode, open_video

SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
Frames = dict[int, np.ndarray]


def by_auto(path: Path, indices: list[int]) -> Frames:
    with open_video(path) as video:
        return dict(video.frames(indices))


def by_decord(path: Path, indices: list[int]) -> Frames:
    pictures = decord.VideoReader(str(path), num_threads=1).get_batch(indices).asnumpy()
    return dict(zip(indices, pictures, strict=True))


def by_decord_on_all_cores(path: Path, indices: list[int]) -> Frames:
    pictures = decord.VideoReader(str(path)).get_batch(indices).asnumpy()
    return dict(zip(indices, pictures, strict=True))


def in_sequence(path: Path, indices: list[int]) -> Frames:
    """A plain loop that stops after the last wanted frame."""
    wanted, frames = set(indices), {}
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for index, frame in enumerate(container.decode(video=0)):
            if index in wanted:
                frames[index] = frame.to_ndarray(format="rgb24", threads=1)
            if len(frames) == len(wanted):
                break
    return frames


WAYS: dict[str, Callable[[Path, list[int]], Frames]] = {
    "auto": by_auto,
    "decord": by_decord,
    "decord, all cores": by_decord_on_all_cores,
    "PyAV in sequence": in_sequence,
}


def measure(path: Path, rounds: int) -> tuple[int, dict[str, tuple[float, float]], bool]:
    """Frames in the video, median milliseconds by way (elapsed, CPU), whether auto is exact."""
    with open_video(path) as video:
        count = video.frame_count
    indices = sorted(set(Decode().choose(path.name, 0, count)[0].tolist()))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            start, busy = time.perf_counter(), time.process_time()
            way(path, indices)
            times[name].append(((time.perf_counter() - start) * 1e3, (time.process_time() - busy) * 1e3))
    found, expected = by_auto(path, indices), in_sequence(path, indices)
    exact = list(found) == indices and all(np.array_equal(found[index], expected[index]) for index in indices)
    return count, {name: _medians(values) for name, values in times.items()}, exact


def _medians(values: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(value for value, _ in values), statistics.median(value for _, value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=SAMPLES)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    decord.logging.set_level(decord.logging.QUIET)
    heads = ["file", "frames", *(f"{name}, ms (CPU ms)" for name in WAYS), "decord / auto, ms (CPU ms)", "exact"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for path in sorted(path for path in options.folder.iterdir() if path.is_file()):
        try:
            count, times, exact = measure(path, options.rounds)
        except VideoError as error:
            print(f"| {path.name} | {error.kind} |" + " |" * (len(heads) - 2))
            continue
        cells = [f"{elapsed:.0f} ({busy:.0f})" for elapsed, busy in times.values()]
        ratio = f"{times['decord'][0] / times['auto'][0]:.2f} ({times['decord'][1] / times['auto'][1]:.2f})"
        print("| " + " | ".join([path.name, str(count), *cells, ratio, "yes" if exact else "NO"]) + " |")


if __name__ == "__main__":
    main()
