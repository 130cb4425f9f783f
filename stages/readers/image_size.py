"""Width and height from the header of a picture's file, by Pillow, which decodes nothing until it is asked."""

from __future__ import annotations

import io
import warnings

from PIL import Image


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG or PNG file; None for all else, and where EXIF data may turn the picture."""
    if b"eXIf" in data:  # of a PNG; Pillow would decode all of it to look for that
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # no pixel is read here
            picture = Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # no such file, or a broken header
        return None
    return None if "exif" in picture.info else picture.size
