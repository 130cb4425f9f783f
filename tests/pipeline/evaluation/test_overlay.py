"""Overlays: the film is all there, the labels change where the windows do, joints lie where they were found."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from star.pipeline.evaluation.overlay import at_frame
from star.pipeline.visualization.drawing import BOX, LEFT, RIGHT


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [
            frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray() for frame in container.decode(video=0)
        ]


def near(picture: np.ndarray, colour: tuple[int, int, int], reach: int = 90) -> int:
    return int((np.abs(picture.astype(int) - colour).sum(-1) < reach).sum())


def test_the_film_with_what_is_said_of_it(
    estimated_run: Path, long_film: Path, joined: Sequence[np.ndarray], tmp_path: Path, star: Callable
) -> None:
    """As many frames at the same times, H.264 and yuv420p; the skeleton's and the box's colours are new in it."""
    out = tmp_path / "overlay.mp4"
    arguments = ("predict", long_film, "--run", estimated_run, "--window", 1, "--overlay", out, "--json")
    result = star(*arguments)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)[0]["windows"]) >= 5
    before, after = frames(long_film), frames(out)
    assert len(after) == len(before) == len(joined)
    with av.open(str(out)) as drawn, av.open(str(long_film)) as plain:
        assert drawn.streams.video[0].codec_context.pix_fmt == "yuv420p"
        times = [[frame.time for frame in film.decode(video=0)] for film in (drawn, plain)]
    assert times[0] == pytest.approx(times[1], abs=1e-3)
    assert sum(near(picture, colour) for picture in after for colour in (LEFT, RIGHT, BOX)) > 500
    assert all(np.abs(a.astype(int)[:12, :30] - b[:12, :30]).max() > 60 for a, b in zip(after, before, strict=True))


def test_without_windows_the_film_is_one(estimated_run: Path, long_film: Path, tmp_path: Path, star: Callable) -> None:
    out = tmp_path / "overlay.mp4"
    [found] = json.loads(star("predict", long_film, "--run", estimated_run, "--overlay", out, "--json").stdout)
    [plain] = json.loads(star("predict", long_film, "--run", estimated_run, "--json").stdout)
    assert [top["class"] for top in found["top"]] == [top["class"] for top in plain["top"]]
    assert len(found["windows"]) == 1 and len(frames(out)) == len(frames(long_film))


def test_what_cannot_be_drawn(estimated_run: Path, long_film: Path, tmp_path: Path, star: Callable) -> None:
    out, bad = tmp_path / "overlay.mp4", tmp_path / "bad.mp4"
    several = star("predict", long_film, long_film, "--run", estimated_run, "--overlay", out)
    assert several.exit_code == 2 and "--overlay: is of one video" in several.output
    bad.write_bytes(b"no film")
    assert star("predict", bad, "--run", estimated_run, "--overlay", out).exit_code == 3
    assert not out.exists()


def test_values_between_the_frames_of_a_window() -> None:
    """Linear between two frames in which a joint is there; absent where one of them lacks it; held at the ends."""
    index = np.array([4, 8])
    joints = np.zeros((2, 1, 2, 3))
    joints[0, 0], joints[1, 0] = [[0, 10, 0.9], [5, 5, 0.8]], [[4, 20, 0.7], [0, 0, 0]]
    assert at_frame(index, joints, 6)[0, 0].tolist() == [2, 15, 0.7]
    assert at_frame(index, joints, 6)[0, 1, 2] == 0
    assert np.array_equal(at_frame(index, joints, 0), joints[0]) and np.array_equal(
        at_frame(index, joints, 9), joints[1]
    )
    boxes = np.array([[[0, 0, 10, 10]], [[np.nan] * 4]])
    assert np.isnan(at_frame(index, boxes, 6)).all() and np.array_equal(at_frame(index, boxes, 4), boxes[0])
