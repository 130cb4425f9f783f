"""What goes wrong around a real `star extract`: kill -9, two at once, disks full, read-only or gone, a killed child.

Whatever happens, the next run ends with exactly what an undisturbed run would have left, bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from star.pipeline.checks.verify import verify
from star.pipeline.planning.plan import plan, select
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.dataset import Features

Disk = Callable[[int], Path]
CLIPS, STAGES = 24, 5


def recipe_for(extracted: Path, folder: Path, cache: Path, segment: int) -> Path:
    """The session's recipe with a cache of its own and small segments, so that there is much to interrupt."""
    path = folder / "star.yaml"
    text = extracted.read_text().replace(str(extracted.parent / "cache"), str(cache))
    path.write_text(text.replace("segment: 6", f"segment: {segment}"))
    return path


def start(recipe: Path, *words: str) -> subprocess.Popen[str]:
    """A real `star extract`, in a process group of its own."""
    command = [sys.executable, "-m", "star.cli", "extract", str(recipe), "--workers", "1", "--device", "cpu", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def finish(recipe: Path, *words: str) -> tuple[int, str]:
    """Run it to its end: exit code and stderr."""
    process = start(recipe, "-q", *words)
    _, said = process.communicate(timeout=300)
    return process.returncode, said


def contents(path: Path) -> dict[tuple[str, str, str, int], bytes]:
    """Every cached value of a recipe: (stage, array, video, view) -> bytes."""
    found = plan(recipes.load(path))
    return {
        (name, array, video, view): stage.stage_store.read([place], array).tobytes()
        for name, stage in found.stages.items()
        for (video, view), place in stage.places.items()
        for array in found.graph[name].stage.arrays
    }


def entries(cache: Path) -> int:
    """How many files there are, those being written included."""
    return sum(len(files) for _, _, files in os.walk(cache))


def group_is_gone(group: int, within: float) -> bool:
    """Whether no process of a group is left, some seconds later at the latest."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def kill_often(recipe: Path, cache: Path, kills: int, chance: random.Random) -> int:
    """Start, kill -9 after a random number of files and a random wait, again and again; returns the kills.

    Ends early where a run got through.
    """
    for done in range(kills):
        process = start(recipe, "-q")
        enough = entries(cache) + chance.randrange(1, 12)
        until = time.monotonic() + 120
        while process.poll() is None and entries(cache) < enough and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.communicate(timeout=60)
        assert group_is_gone(process.pid, within=60), "a decoding child outlived the run"
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0
            return done
    return kills


def survive(extracted: Path, folder: Path, kills: int, seed: int) -> int:
    """One cache that is killed up to `kills` times, finished and compared; returns how often it was killed."""
    folder.mkdir()
    cache = folder / "cache"
    recipe = recipe_for(extracted, folder, cache, segment=2)
    killed = kill_often(recipe, cache, kills, random.Random(seed))
    assert finish(recipe) == (0, "")
    assert contents(recipe) == contents(extracted)
    assert not list(cache.rglob("*.partial"))
    assert not verify(recipes.load(recipe)).problems
    return killed


def test_kill_9_loses_at_most_the_segment_in_hand(extracted: Path, tmp_path: Path) -> None:
    """Three kills; `make soak` does thirty."""
    assert survive(extracted, tmp_path / "killed", 3, seed=0) > 0


@pytest.mark.soak
def test_thirty_kills(extracted: Path, tmp_path: Path) -> None:
    """At random moments, the rename among them, over as many caches as it takes."""
    killed = turn = 0
    while killed < 30:
        killed += survive(extracted, tmp_path / str(turn), 30 - killed, seed=turn + 1)
        turn += 1


def test_two_extractions_of_one_cache_end_well(extracted: Path, tmp_path: Path) -> None:
    """Both exit with 0; whatever was computed twice is there once for training, and the bits are those of one run."""
    recipe = recipe_for(extracted, tmp_path, tmp_path / "cache", segment=4)
    both = [start(recipe, "-q"), start(recipe, "-q")]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert contents(recipe) == contents(extracted)
    planned = plan(recipes.load(recipe))
    chosen = select(planned, "train", ("backbone", "tokens"))
    assert len({video.id for video in chosen.videos}) == len(chosen.videos) == 16
    assert len(Features(chosen, ("joint_map",))) == 16
    assert not verify(recipes.load(recipe)).problems


def test_a_disk_that_fills_up(extracted: Path, tmp_path: Path, disk: Disk) -> None:
    """One line and exit code 5; what was whole stays, and with more room the same command goes on."""
    cache = disk(4) / "cache"
    recipe = recipe_for(extracted, tmp_path, cache, segment=2)
    words = ("--set", "cache.compression=lzf")  # only then nobody can know beforehand how much it will be
    code, said = finish(recipe, *words)
    assert code == 5, said
    assert said.count("\n") == 1
    assert said.endswith("the disk is full; free some space or set cache.root to another disk\n")
    planned = plan(recipes.load(recipe))
    cached = sum(len(stage.places) for stage in planned.stages.values())
    assert 0 < cached < CLIPS * STAGES
    subprocess.run(["mount", "-o", "remount,size=64m", str(cache.parent)], check=True)
    assert finish(recipe, *words) == (0, "")
    assert contents(recipe) == contents(extracted)


def test_a_disk_that_is_too_small_is_refused_at_once(extracted: Path, tmp_path: Path, disk: Disk) -> None:
    """Nothing is computed when it is known that it will not fit."""
    cache = disk(4) / "cache"
    recipe = recipe_for(extracted, tmp_path, cache, segment=2)
    code, said = finish(recipe)
    assert code == 5
    assert said.count("\n") == 1
    assert "free, of which 67.1 MB stay free, and " in said
    assert said.endswith("would be written; free space, choose another cache, or extract less\n")
    assert not list(cache.rglob("*.h5"))


def test_a_disk_that_is_read_only(extracted: Path, tmp_path: Path, disk: Disk) -> None:
    """Refused before a video is opened; status and the reading of what is there work."""
    folder = disk(64)
    shutil.copytree(extracted.parent / "cache", folder / "cache")
    recipe = recipe_for(extracted, tmp_path, folder / "cache", segment=6)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        assert finish(recipe) == (0, ""), "nothing was to be written"
        code, said = finish(recipe, "--set", "heatmaps.sigma=2")
        assert code == 5
        remedy = "the file system is read-only; mount it writable or set cache.root to another folder"
        assert said == f"star: {folder}/cache: {remedy}\n"
        assert contents(recipe) == contents(extracted)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)


def test_a_cache_that_vanishes(extracted: Path, tmp_path: Path) -> None:
    """Its folder is moved away while it is written to: one line, exit code 5; moved back, the same command goes on."""
    cache, away = tmp_path / "cache", tmp_path / "away"
    recipe = recipe_for(extracted, tmp_path, cache, segment=2)
    process = start(recipe, "-q")
    while process.poll() is None and entries(cache) < 6:
        time.sleep(0.001)
    cache.rename(away)
    cache.write_text("in the way, so that the folder is not made anew")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 5, said
    assert said.count("\n") == 1
    assert said.startswith(f"star: {cache}")
    cache.unlink()
    away.rename(cache)
    assert finish(recipe) == (0, "")
    assert contents(recipe) == contents(extracted)


def long_video(path: Path) -> None:
    """2,000 frames of MPEG-4: long enough to be caught being read."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 320, 240
        for number in range(2000):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), number % 256, np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def reader_of(path: Path, process: subprocess.Popen[str]) -> int:
    """Waits for a child of a run to have a file open; its process number."""
    while process.poll() is None:
        for thread in Path(f"/proc/{process.pid}/task").glob("*/children"):
            try:
                for child in thread.read_text().split():
                    if any(fd.resolve() == path for fd in Path(f"/proc/{child}/fd").iterdir()):
                        return int(child)
            except OSError:
                continue
        time.sleep(0.001)
    raise AssertionError("it ended without reading the video")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_decoder_that_the_system_kills_is_one_row(extracted: Path, drawn: Path, tmp_path: Path) -> None:
    """As when memory runs out: a child dies by SIGKILL while it reads a video; all others are extracted."""
    root = tmp_path / "data"
    shutil.copytree(drawn, root)
    victim = min((root / "videos").iterdir())
    long_video(victim)
    recipe = recipe_for(extracted, tmp_path, tmp_path / "cache", segment=6)
    process = start(recipe, "--json", "-q", "--set", f"dataset.root={root}")
    os.kill(reader_of(victim, process), signal.SIGKILL)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 3
    document = json.loads(said)
    assert document["computed"] == dict.fromkeys(("decode", "pose", "backbone", "heatmaps", "tokens"), CLIPS - 1)
    (row,) = [json.loads(line) for line in (tmp_path / "cache" / "failures.jsonl").read_text().splitlines()]
    told = f"videos/{victim.name}: the decoder died (SIGKILL); the file is broken or too large"
    assert (row["video"], row["kind"], row["message"]) == (f"videos/{victim.name}", "crashed", told)
