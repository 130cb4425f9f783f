"""Videos of many kinds that are encoded here, by the benchmark's own recipe, against a plain sequential decode."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from star.stages.decode import DecodeStage, open_video
from star.stages.readers import selective
from star.stages.readers.selective import SelectiveReader

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from films import Film, films


def judge(film: Film, folder: Path, plain) -> tuple[str, bool]:
    """What is wrong with `auto` on a film ("" for nothing), and whether the fast reader took it all the way."""
    path = film.write(folder, (96, 80))
    frames = plain(path)
    count, wrong, views = (
        len(frames),
        [],
        [DecodeStage().sample(film.name, view, len(frames))[0].tolist() for view in range(2)],
    )
    with open_video(path) as video, open_video(path, "pyav") as slow:
        if (video.frame_count, video.frame_size) != (count, (96, 80)) or not np.array_equal(video.times, slow.times):
            wrong.append("length, size or times")
        for chosen in (*views, [0, count - 1], *([index] for index in range(0, count, 1 + count // 5))):
            found = dict(video.frames(chosen))
            if list(found) != sorted(set(chosen)) or any(not np.array_equal(found[i], frames[i]) for i in found):
                wrong.append(str(chosen))
        fast = isinstance(video, SelectiveReader) and not hasattr(video, "fell_back")
    path.unlink()
    return f"{film}: {', '.join(wrong)}" if wrong else "", fast


def check(several: list[Film], folder: Path, plain, monkeypatch) -> Counter[bool]:
    """No film may be wrong; how many the fast reader took."""

    def fall_back(self, wanted):
        self.fell_back = True
        return original(self, wanted)

    original = SelectiveReader._in_sequence
    monkeypatch.setattr(SelectiveReader, "_in_sequence", fall_back)
    monkeypatch.setattr(selective, "SHORT_MPEG4", 0)  # short ones too, though `auto` decodes them whole
    found = [judge(film, folder, plain) for film in several]
    assert [wrong for wrong, _fast in found if wrong] == []
    return Counter(fast for _wrong, fast in found)


def test_films_of_many_kinds_are_exact(tmp_path, plain, monkeypatch):
    """24 of them, of up to 100 frames: groups, B-pictures, open groups, varying rates, MP4, Matroska and AVI."""
    several = [film for film in films(60) if film.count <= 100][:24]
    assert check(several, tmp_path, plain, monkeypatch)[True] >= 20


@pytest.mark.soak
def test_200_films_are_exact(tmp_path, plain, monkeypatch):
    """All of the benchmark's, of up to 600 frames."""
    assert check(films(200), tmp_path, plain, monkeypatch)[True] >= 180
