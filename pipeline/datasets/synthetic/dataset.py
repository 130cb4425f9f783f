"""star's own data set, drawn by itself: a figure does eight things before a moving camera, with true joints beside it.

    ROOT/clips.csv              video,label,split,figure
    ROOT/videos/wave_000.mp4    H.264, 25 frames per second
    ROOT/joints/wave_000.npy    (F, 1, 13, 3) float32: x px, y px, score, of Penn Action's 13 joints
    ROOT/drawn.json             what it was drawn from

`raise_arms` and `lower_arms` differ only in the order of time, `wave` and `wave_flag` only in what no joint shows:
clip k of the one has the joints of clip k of the other. Figures, clothes and backdrops of the test clips are in no
training clip.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....errors import AnnotationError, MachineError, MissingData, StorageError
from ....stages.skeletons import PENN_ACTION
from ....untrusted_files import json_text, open_file, parse_json, read_bytes
from ..base import Annotation, Manifest, official_only, open_root
from ..custom import dataset as videos
from .motion import ACTIONS

if TYPE_CHECKING:
    from ...recipe.schema import DatasetSettings
    from .render import DrawnClip

VERSION = 1  # raised whenever the same settings give other pictures or joints
Progress = Callable[[int, int], None]


def load(settings: DatasetSettings) -> Manifest:
    """The clips that `draw` listed, with their joints; raises DatasetError where ROOT was not drawn to its end."""
    official_only(settings.split, settings.kind)
    root = open_root(settings.root)
    if not (root / "drawn.json").is_file() or not (root / "clips.csv").is_file():
        raise MissingData(f"dataset.root: {root} holds no drawn data set; `star demo DIR` draws one in DIR/data")
    manifest = videos.load(settings.model_copy(update={"classes": tuple(ACTIONS)}))
    joined = [replace(video, annotation=_joints(video.media)) for video in manifest.videos]
    return replace(manifest, videos=joined, skeleton=PENN_ACTION)


def read_annotation(path: Path) -> Annotation:
    """The true joints of one clip; joints outside the frame have score 0. Raises AnnotationError for a broken file."""
    try:
        with open_file(path) as file:
            keypoints = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AnnotationError(f"{path}: no array of joints ({type(error).__name__}); draw the data set again") from None
    if keypoints.ndim != 4 or keypoints.shape[1:] != (1, 13, 3) or keypoints.dtype != np.float32:
        shape, dtype = keypoints.shape, keypoints.dtype
        raise AnnotationError(f"{path}: {dtype} {shape} where float32 (frames, 1, 13, 3) was expected; draw it again")
    return Annotation(keypoints)


def draw(
    root: Path,
    *,
    clips_per_class: int = 24,
    seed: int = 0,
    frames: tuple[int, int] = (32, 48),
    size: tuple[int, int] = (256, 192),
    workers: int = 2,
    progress: Progress | None = None,
) -> int:
    """Draw the data set into ROOT; a third of the clips are for testing. Returns how many clips had to be drawn.

    Clips that are there from an earlier call with the same settings stay. frames: (fewest, most) of a clip.
    size: (width, height) px, even. workers: processes. progress: called with (clips done, clips to draw).
    Raises StorageError where ROOT cannot be written, MachineError where a process dies.
    """
    from .render import DrawnClip

    settings = {"version": VERSION, "clips": clips_per_class, "seed": seed, "frames": list(frames), "size": list(size)}
    clips = []
    for action, number in product(ACTIONS, range(clips_per_class)):
        split = "test" if number % 3 == 1 else "train"
        figure = f"{split}-{number // 3}"  # appears twice in training, or once in testing
        clips.append(DrawnClip(action, number, split, figure, seed, frames, size))
    try:
        for folder in ("videos", "joints"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        found = None
        with suppress(OSError, ValueError):
            found = parse_json(read_bytes(root / "drawn.json"))
        if found != settings:  # forget clips of other settings
            for path in [root / "clips.csv", *(root / _video(clip) for clip in clips)]:
                path.unlink(missing_ok=True)
            _write(root / "drawn.json", json_text(settings))
        files = {clip: root / _video(clip) for clip in clips}
        todo = [clip for clip, video in files.items() if not (video.is_file() and _joints(video).is_file())]
        for done, _ in enumerate(_run(root, todo, workers), 1):
            if progress:
                progress(done, len(todo))
        rows = (f"{_video(clip)},{clip.action},{clip.split},{clip.figure}\n" for clip in clips)
        _write(root / "clips.csv", "video,label,split,figure\n" + "".join(rows))
    except OSError as error:
        raise StorageError(f"{root}: {error.strerror or error}; choose a folder that can be written") from None
    return len(todo)


def _video(clip: DrawnClip) -> str:
    return f"videos/{clip.action}_{clip.number:03d}.mp4"


def _joints(video: Path) -> Path:
    return video.parents[1] / "joints" / f"{video.stem}.npy"


def _run(root: Path, clips: Sequence[DrawnClip], workers: int) -> Iterator[None]:
    """Draw clips here, or in processes of their own where that is worth their start."""
    if workers <= 1 or len(clips) < 16:
        yield from map(partial(draw_clip, root), clips)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_settle)
    try:
        yield from pool.map(partial(draw_clip, root), clips, chunksize=4)
    except BrokenProcessPool:
        raise MachineError("a drawing process died; more memory or fewer workers let it finish, run it again") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _settle() -> None:
    """In a child: one core each, and Ctrl-C is the parent's."""
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def draw_clip(root: Path, clip: DrawnClip) -> None:
    """Draw one clip; joints first, so that a video that is there has them."""
    from .render import encode, shoot

    video = root / _video(clip)
    frames, joints = shoot(clip)
    part = video.with_suffix(".partial")
    with part.open("wb") as file:
        np.save(file, joints)
    part.replace(_joints(video))
    encode(part, frames, clip.size)
    part.replace(video)


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".partial")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
