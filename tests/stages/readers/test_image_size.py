"""The size of a picture from the header of its file."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from star.stages.readers.image_size import picture_size

PICTURE = np.zeros((23, 17, 3), np.uint8)
EXIF = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # a quarter turn


def encoded(kind: str, picture: np.ndarray = PICTURE, *how: int) -> bytes:
    """A picture as OpenCV writes it."""
    return cv2.imencode(kind, picture, how)[1].tobytes()


FILES = {
    "baseline": encoded(".jpg"),
    "progressive": encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "grey": encoded(".jpg", PICTURE[:, :, 0]),
    "filled": encoded(".jpg").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1),
    "comment": b"\xff\xd8\xff\xfe\x00\x06\xff\xc0ab" + encoded(".jpg")[2:],
    "png": encoded(".png"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_size_is_that_of_the_decoded_picture(name):
    """Width and height as OpenCV decodes them."""
    picture = cv2.imdecode(np.frombuffer(FILES[name], np.uint8), cv2.IMREAD_COLOR)
    assert picture_size(FILES[name]) == picture.shape[1::-1] == (17, 23)


def test_a_picture_that_may_be_turned_is_not_judged_by_its_header():
    """EXIF says how a photograph is turned: only the decoded picture has the right width."""
    turned = b"\xff\xd8" + EXIF + FILES["baseline"][2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape[1::-1] == (23, 17)
    assert picture_size(turned) is None


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", FILES["baseline"][:30], encoded(".bmp"), FILES["png"][:20]])
def test_other_files_are_not_judged(data):
    """Nothing, half a header, another format."""
    assert picture_size(data) is None
