"""A film that browsers play: H.264, yuv420p, with its index in front; and words on its pictures."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ...errors import MachineError, StorageError

TICKS = 90_000  # of a second, in which pictures are timed
QUALITY = {"crf": "20", "preset": "veryfast"}
BT709 = 1  # FFmpeg's number of the colours of high definition, which untagged films are taken for
BACKDROP, WORDS = (17, 24, 39), (255, 255, 255)
BACKDROP_OPACITY = 0.7


class VideoWriter:
    """Writes pictures of one size as a film; use it in a `with`. Nothing stands at `path` before the end of the block.

    size: width and height, px; odd ones are made even. rate: pictures a second, for what wants one figure. Raises
    MachineError where FFmpeg has no libx264, StorageError.
    """

    def __init__(self, path: Path, size: tuple[int, int], rate: float) -> None:
        import av
        from av.codec.codec import Codec, UnknownCodecError

        try:
            Codec("libx264", "w")
        except UnknownCodecError:
            raise MachineError(
                f"{path}: this PyAV has no encoder libx264; install the wheel (pip install --force-reinstall av)"
            ) from None
        self.path, self._partial = path, path.with_name(f".{path.stem}.partial.mp4")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})
        except OSError as error:
            raise self._refused(error) from None
        fraction = Fraction(rate).limit_denominator(1001)
        self._stream: Any = self._container.add_stream("libx264", rate=fraction, options=dict(QUALITY))
        self._stream.width, self._stream.height = (side + side % 2 for side in size)
        self._stream.pix_fmt = "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = Fraction(1, TICKS)
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = 1  # limited, as nearly all films
        self._last = -1

    def add(self, picture: np.ndarray, seconds: float) -> None:
        """Append a picture (h, w, 3) uint8 RGB that is shown from so many seconds on; they ascend."""
        import av

        height, width = picture.shape[:2]
        even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
        self._last = max(round(seconds * TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._mux(frame)

    def _mux(self, frame: Any) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path}: cannot be written: {error.strerror}; free space, or choose another file")

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._last >= 0:
                self._mux(None)
            self._container.close()
            if error is None and self._last >= 0:
                self._partial.replace(self.path)
        except OSError as failure:
            raise self._refused(failure) from None
        finally:
            self._partial.unlink(missing_ok=True)


@cache
def font(height: int) -> Any:
    """The font that matplotlib brings, of letters about `height` px high."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), height)


def words_on(picture: np.ndarray, text: str, corner: tuple[int, int], height: int, share: float | None = None) -> None:
    """Set a line of words into a picture (h, w, 3), in place, on a dark ground that lets it shine through.

    corner: the upper left one of the ground, px; moved so that the words lie in the picture. height: of letters, px.
    share: 0 .. 1, drawn as a bar under the words, of the ground's width where it is 1.
    """
    from PIL import Image, ImageDraw

    left, _top, right, bottom = font(height).getbbox(text)
    margin = max(2, height // 3)
    wide, high = int(right - left) + 2 * margin, int(bottom) + 2 * margin
    wide, high = min(wide, picture.shape[1]), min(high, picture.shape[0])
    x, y = (int(np.clip(place, 0, room - size)) for place, room, size in
            ((corner[0], picture.shape[1], wide), (corner[1], picture.shape[0], high)))  # fmt: skip
    below = picture[y : y + high, x : x + wide].astype(np.float32)
    ground = below * (1 - BACKDROP_OPACITY) + np.array(BACKDROP, np.float32) * BACKDROP_OPACITY
    patch = Image.fromarray(ground.round().astype(np.uint8))
    draw = ImageDraw.Draw(patch)
    draw.text((margin - left, margin), text, font=font(height), fill=WORDS)
    if share is not None:
        thick = max(2, height // 6)
        draw.rectangle((0, high - thick, max(0, round(wide * share) - 1), high - 1), fill=WORDS)
    picture[y : y + high, x : x + wide] = np.asarray(patch)
