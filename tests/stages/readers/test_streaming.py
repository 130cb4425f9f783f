"""The streaming reader gives what the sequential one gives, and holds no more than one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from star.errors import StarError
from star.stages.readers.sequential import SequentialReader
from star.stages.readers.streaming import StreamingReader, open_stream


def films(shared: Path) -> list[Path]:
    return sorted(path for path in (shared / "data" / "videos").rglob("*") if path.is_file())


def test_every_sample_has_the_same_times_and_pictures(shared: Path) -> None:
    """Of every film that the sequential reader takes; others are refused here as well, or while they are read."""
    seen = 0
    for path in films(shared):
        try:
            with SequentialReader(path) as sequential:
                expected = list(sequential.frames(range(0, sequential.frame_count, 7)))
                times, size = sequential.times, sequential.frame_size
        except StarError:
            continue
        with open_stream(path) as reader:
            assert np.array_equal(reader.times, times), path
            assert reader.frame_size == size and reader.frame_count == len(times)
            found = list(reader.frames(range(0, reader.frame_count, 7)))
        assert [index for index, _ in found] == [index for index, _ in expected]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True)), path
        seen += 1
    assert seen >= 5


def test_it_gives_signs_of_life_and_asks_in_order(make, tmp_path: Path) -> None:
    film = make(tmp_path / "film.mp4", count=6)
    beats: list[int] = []
    with StreamingReader(film, lambda: beats.append(1)) as reader:
        asked: list[int] = []
        assert [index for index, _ in reader.stream(lambda index: asked.append(index) or index % 2 == 1)] == [1, 3, 5]
        assert asked == list(range(6)) and beats


def test_a_folder_of_pictures_is_a_film(tmp_path: Path) -> None:
    import cv2

    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 10, 3), number * 20, np.uint8))
    with open_stream(tmp_path) as reader:
        assert [(index, int(picture[0, 0, 0])) for index, picture in reader.stream(lambda index: index > 2)] == [
            (3, 60), (4, 80),
        ]  # fmt: skip


def test_what_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"nothing")
    with pytest.raises(StarError, match=r"film\.mp4"):
        open_stream(path)
