"""Stage `decode`: which frames of a video make a clip, and how the video is opened.

A clip is 16 frames. How the paper chooses them is not published; star takes 16 equal segments, the centre frame of each
for view 0, a random one for the others (docs/method.md, "Frames").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import MissingPackage
from .base import Array, Settings

if TYPE_CHECKING:
    from .readers.base import FrameSelector, VideoReader
    from .readers.probe import VideoInfo


@dataclass(frozen=True)
class DecodeStage:
    """Which frames of a video.

    frames: how many (T). flip: views after the first are mirrored at random.
    sampling: "segments": T equal segments over the whole video, the centre frame of each for view 0, a random one for
        the others; "linspace": evenly spaced, first and last frame included, in every view; "window": T frames in a
        row, in the middle for view 0, anywhere for the others.
    """

    frames: int = 16
    sampling: str = "segments"
    seed: int = 0
    flip: bool = True

    name: ClassVar[str] = "decode"
    version: ClassVar[int] = 1
    arrays: ClassVar[Mapping[str, Array]] = {
        "frame_index": Array("t", "int32", "1", "index of each frame in the video, counted from 0"),
        "time": Array("t", "float64", "s", "time of each frame, counted from the first frame of the video"),
        "frame_size": Array("wh", "int32", "px", "width and height of the frames, upright"),
        "frame_count": Array("", "int32", "1", "how many frames of the video decode"),
        "flip": Array("", "uint8", "1", "1 where the frames are mirrored left to right"),
    }

    def settings(self) -> Settings:
        """What stands in the key."""
        return asdict(self)

    def sample(self, video_id: str, view: int, count: int) -> tuple[np.ndarray, bool]:
        """Choose the frames of one clip: a pure function of settings, video id, view and count.

        count: frames in the video. Returns frame_index (T,) int32, ascending, and whether the view is mirrored. A
        video of fewer than T frames repeats them in order. Raises ValueError for an unknown sampling and for count 0.
        """
        if count < 1:
            raise ValueError(f"count: {count}; a video without frames has no clips")
        # numbers in [0, 1) from a hash of the arguments: the same on every machine and in every version
        name = json.dumps([self.seed, video_id, view], ensure_ascii=True).encode()
        key = hashlib.blake2b(name, digest_size=32).digest()
        words = np.frombuffer(hashlib.shake_256(key).digest(8 * (self.frames + 1)), "<u8")
        chance = (words >> np.uint64(11)) * 2.0**-53
        chosen = self._indices(count, None if view == 0 else chance[:-1])
        return chosen.astype(np.int32), bool(self.flip and view > 0 and chance[-1] < 0.5)

    def frame_selector(self, video_id: str, views: Iterable[int]) -> Callable[[int], set[int]]:
        """A function for `open_video`: frame count -> the frames that `sample` takes in any of the views."""
        views = tuple(views)

        def wanted(count: int) -> set[int]:
            return {int(index) for view in views if count for index in self.sample(video_id, view, count)[0]}

        return wanted

    def _indices(self, count: int, chance: np.ndarray | None) -> np.ndarray:
        """Indices (T,); chance: (T,) in [0, 1), None for the centre."""
        steps = np.arange(self.frames + 1, dtype=np.int64)
        if self.sampling == "linspace":
            gaps = max(self.frames - 1, 1)
            return (2 * steps[:-1] * (count - 1) + gaps) // (2 * gaps)
        if self.sampling == "window" and count >= self.frames:
            start = (count - self.frames) // 2 if chance is None else int(chance[0] * (count - self.frames + 1))
            return start + steps[:-1]
        if self.sampling not in {"segments", "window"}:
            raise ValueError(f"sampling: {self.sampling!r}; known are segments, linspace, window")
        if chance is None or self.sampling == "window":
            return (2 * steps[:-1] + 1) * count // (2 * self.frames)
        edges = steps * count // self.frames
        return edges[:-1] + (chance * np.maximum(np.diff(edges), 1)).astype(np.int64)


def open_video(path: Path | str, reader: str = "auto", selector: FrameSelector | None = None) -> VideoReader:
    """Open a video file or a folder of pictures; use it in a `with`.

    reader: "auto": bit-identical to a sequential decode, skipping what no wanted frame needs where that is proved;
        "pyav": the sequential decode itself; "decord": decord where it is right, see `open_decord`. Folders of
        pictures have one reader.
    selector: frame count -> the frames that will probably be read. Where a video must be decoded to
        count its frames, these are kept, and delivered without decoding it again; any others can still be had.

    Raises NoVideoStream, UnreadableVideo, TruncatedVideo, MissingPackage, ValueError for an unknown reader. A decoder
    may also hang or die on a hostile file: run this in a child process with a time limit.
    """
    path = Path(path)
    if reader not in {"auto", "pyav", "decord"}:
        raise ValueError(f"reader: {reader!r}; known are auto, pyav, decord")
    try:
        return _open(path, reader, selector)
    except ImportError as error:
        raise MissingPackage(f"{error.name} is not installed; pip install av opencv-python-headless") from None


def probe_video(path: Path | str, *, upright: bool = False) -> VideoInfo:
    """What the headers and packets of a video tell, without decoding it; see `readers.probe`.

    upright: decode the first picture where only that says how the video is turned. Raises as `open_video` does.
    """
    try:
        from .readers.probe import probe
    except ImportError as error:
        raise MissingPackage(f"{error.name} is not installed; pip install av opencv-python-headless") from None
    return probe(Path(path), upright=upright)


def _open(path: Path, reader: str, selector: FrameSelector | None) -> VideoReader:
    from .readers.base import is_folder

    if is_folder(path):
        from .readers.image_folder import ImageFolderReader

        return ImageFolderReader(path)
    if reader == "pyav":
        from .readers.sequential import SequentialReader

        return SequentialReader(path, selector)
    if reader == "decord":
        from .readers.decord_reader import open_decord

        return open_decord(path, selector)
    from .readers.selective import open_auto

    return open_auto(path, selector)
