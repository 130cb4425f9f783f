"""Broken videos: an error with a kind, or exactly what a plain sequential decode gives. Never a crash or a hang."""

from __future__ import annotations

import collections
import concurrent.futures
import multiprocessing
import sys
from pathlib import Path

import pebble
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that the children find it, too
import judge

LIMIT = 60.0  # seconds for one file
SHORT = ("stdet.mp4", "mmpose_demo.mp4", "armwrestling.mp4", "v_GGSY1Qvo990.mp4")
ALL = (*SHORT, "S001C001P001R001A001_rgb.avi")


def fuzz(sources: list[Path], folder: Path, rounds: range) -> dict[str, str]:
    """Break the sources in turn, judge each copy in a child; file name -> verdict."""
    verdicts: dict[str, str] = {}
    context = multiprocessing.get_context("spawn")
    with pebble.ProcessPool(max_workers=1, context=context) as pool:
        for seed in rounds:
            source, kind = sources[seed % len(sources)], judge.KINDS[seed // len(sources) % len(judge.KINDS)]
            path = judge.broken(source, folder / f"{kind}_{seed}{source.suffix}", kind, seed)
            try:
                verdicts[path.name] = pool.schedule(judge.verdict, args=[path], timeout=LIMIT).result()
            except concurrent.futures.TimeoutError:
                verdicts[path.name] = "timeout"
            except pebble.ProcessExpired:
                verdicts[path.name] = "crashed"
            path.unlink()
    return verdicts


def made(make, folder: Path) -> list[Path]:
    """H.264 in AVI and MPEG-TS, MPEG-4 in AVI, all with B-pictures."""
    h264 = [make(folder / "a.avi", params="bframes=3:keyint=20"), make(folder / "a.ts", params="bframes=3")]
    return [*h264, make(folder / "b.avi", "mpeg4", options={"bf": "2", "g": "12"})]


def check(verdicts: dict[str, str]) -> None:
    """No wrong frame; and the lot is neither all refused nor all readable, or it would test nothing."""
    assert [f"{name}: {verdict}" for name, verdict in verdicts.items() if verdict.startswith("WRONG")] == []
    kinds = collections.Counter(verdicts.values())
    assert set(kinds) <= {"exact", "truncated", "unreadable", "no_video", "timeout", "crashed"}
    assert kinds["exact"] >= len(verdicts) // 5
    assert len(verdicts) - kinds["exact"] >= len(verdicts) // 10


def test_broken_videos_are_refused_or_exact(shared, make, tmp_path):
    """45 broken files of real and made videos."""
    sources = [*made(make, tmp_path), *(shared / "data" / "videos" / name for name in SHORT[:2])]
    check(fuzz(sources, tmp_path, range(45)))


@pytest.mark.soak
def test_300_broken_videos(shared, make, tmp_path, capsys):
    """300 broken files; the classes are printed."""
    verdicts = fuzz([*made(make, tmp_path), *(shared / "data" / "videos" / name for name in ALL)], tmp_path, range(300))
    with capsys.disabled():
        print("\n300 broken videos:", dict(collections.Counter(verdicts.values()).most_common()))
    check(verdicts)
