"""Reading segments: copies, maps, and what is said when it cannot be."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from star.cache.segment import Segment
from star.errors import CorruptSegment, FormatError, MissingFeatures, StorageError


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_rows_come_in_the_order_asked_for(tmp_path, clips, write, compression):
    """Any rows, in any order, also twice."""
    made = clips(6)
    segment = Segment(write(tmp_path, made, compression))
    for wanted in ([4], [5, 0, 5], [], range(6)):
        for name, array in made.arrays.items():
            assert np.array_equal(segment.read(name, wanted), array[list(wanted)])


def test_a_map_is_a_view_of_the_file(tmp_path, clips, write):
    """Mapped values equal those that were written, cannot be changed, and outlive the segment and the file."""
    made = clips(6)
    path = write(tmp_path, made)
    segment = Segment(path)
    view = segment.map("keypoints")
    assert not view.flags.owndata and not view.flags.writeable
    segment.unmap()
    del segment
    path.unlink()
    assert np.array_equal(view, made.arrays["keypoints"])
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True


def test_no_file_stays_open(tmp_path, clips, write):
    """Neither making a segment nor reading it nor mapping it keeps a file handle."""
    path = write(tmp_path, clips(2))
    before = sorted(Path("/proc/self/fd").iterdir())
    segment = Segment(path)
    assert len(segment.rows) == 2 and segment.read("keypoints").any()
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert segment.map("keypoints").any()
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_segment_can_be_sent_to_another_process(tmp_path, clips, write):
    """It is pickled without its map, and maps again where it arrives."""
    segment = Segment(write(tmp_path, clips(2)))
    view = segment.map("keypoints")
    assert np.array_equal(pickle.loads(pickle.dumps(segment)).map("keypoints"), view)


def test_a_compressed_array_is_read_and_not_mapped(tmp_path, clips, write):
    """Compressed arrays cannot be mapped, and the message says what can be done; small ones are not compressed."""
    made = clips(2)
    segment = Segment(write(tmp_path, made, "gzip"))
    with pytest.raises(FormatError) as caught:
        segment.map("keypoints")
    remedy = "read it, or extract with cache.compression: none"
    assert str(caught.value) == f"{segment.path}: keypoints is compressed and cannot be mapped; {remedy}"
    assert np.array_equal(segment.map("frame_count"), made.arrays["frame_count"])


def test_unknown_arrays_and_rows(tmp_path, clips, write):
    """An array that is not there is missing features; a row that is not there is a bug."""
    segment = Segment(write(tmp_path, clips(2)))
    with pytest.raises(MissingFeatures) as caught:
        segment.read("joint_map")
    assert str(caught.value) == f"{segment.path}: has no array 'joint_map'; it has frame_count, keypoints"
    for row in (-1, 2):
        with pytest.raises(IndexError):
            segment.read("keypoints", [row])
    with pytest.raises(ValueError):
        segment.read_into("keypoints", [0], np.empty((1, 3), np.float32))


def test_a_segment_that_goes_or_shrinks(tmp_path, clips, write):
    """A segment that is removed or cut short after it was opened is one clear line, never wrong values."""
    path = write(tmp_path, clips(2))
    segment = Segment(path)
    os.truncate(path, path.stat().st_size - 4000)
    with pytest.raises(CorruptSegment) as caught:
        segment.read("keypoints", [1])
    assert str(caught.value) == f"{path}: it ends too early; `star verify RECIPE --repair` moves it aside"
    with pytest.raises(CorruptSegment) as caught:
        segment.map("keypoints")
    assert str(caught.value) == f"{path}: its size has changed; `star verify RECIPE --repair` moves it aside"
    path.unlink()
    for action in (segment.read, segment.map, lambda _: Segment(path)):
        with pytest.raises(MissingFeatures) as caught:
            action("keypoints")
        assert str(caught.value) == f"{path}: the segment is gone; run `star extract` again"


def test_no_permission_to_read(tmp_path, clips, write):
    """A segment that the system does not give out is the machine's fault, not the segment's."""
    path = write(tmp_path, clips(1))
    path.chmod(0)
    try:
        os.seteuid(65534)  # root may read everything
    except PermissionError:
        pass
    try:
        with pytest.raises(StorageError) as caught:
            Segment(path)
    finally:
        os.seteuid(os.getuid())
    assert str(caught.value) == f"{path}: cannot be read (Permission denied); check its permissions and the disk"
