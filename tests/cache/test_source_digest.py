"""Digests of video files and of folders of frames."""

from __future__ import annotations

import os
from hashlib import blake2b

import pytest

from star.cache.source_digest import file_digest, folder_digest, folder_stamp, frames_digest
from star.errors import NoVideoStream, UnreadableVideo


def test_file_digest_is_blake2b_of_all_bytes(tmp_path):
    """The digest covers every byte, also beyond one block."""
    path = tmp_path / "video.mp4"
    content = bytes(range(256)) * 5000
    path.write_bytes(content)
    assert file_digest(path) == blake2b(content, digest_size=16).hexdigest()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    """Opening a pipe blocks for ever; it is refused instead, and so is a device."""
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/null"):
        with pytest.raises(NoVideoStream) as caught:
            file_digest(path)
        assert str(caught.value) == f"{path}: not a regular file; name a video file or a folder of frames"


def test_missing_files_and_folders_say_so(tmp_path):
    """What is not there, loops, or is a folder, is one clear line."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path, reason in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (loop, "Too many levels of symbolic links"),
    ):
        with pytest.raises(UnreadableVideo) as caught:
            file_digest(path)
        assert str(caught.value) == f"{path}: {reason}; check the path and its permissions"
    with pytest.raises(UnreadableVideo):
        folder_digest(tmp_path / "none")


def test_folder_digest_is_names_and_sizes(tmp_path):
    """A renamed, grown, added or removed frame changes the digest; bytes of the same length and hidden files do not."""
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"abc")
    digests = [folder_digest(tmp_path)]
    (tmp_path / "1.jpg").write_bytes(b"xyz")
    (tmp_path / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "inside").mkdir()
    assert folder_digest(tmp_path) == digests[0]
    (tmp_path / "1.jpg").write_bytes(b"abcd")
    digests.append(folder_digest(tmp_path))
    (tmp_path / "1.jpg").rename(tmp_path / "3.jpg")
    digests.append(folder_digest(tmp_path))
    (tmp_path / "3.jpg").unlink()
    digests.append(folder_digest(tmp_path))
    assert len(set(digests)) == 4


def test_the_digest_of_frames_is_their_names_and_bytes(tmp_path):
    """Bytes of the same length change it, times alone do not; both change the stamp."""
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"abc")
    before, stamp = frames_digest(tmp_path), folder_stamp(tmp_path)
    (tmp_path / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "inside").mkdir()
    assert (frames_digest(tmp_path), folder_stamp(tmp_path)) == (before, stamp)
    os.utime(tmp_path / "1.jpg", ns=(1, 1))
    assert frames_digest(tmp_path) == before
    assert folder_stamp(tmp_path) != stamp
    (tmp_path / "1.jpg").write_bytes(b"xyz")
    rewritten = frames_digest(tmp_path)
    (tmp_path / "1.jpg").rename(tmp_path / "3.jpg")
    assert len({before, rewritten, frames_digest(tmp_path)}) == 3
    with pytest.raises(UnreadableVideo):
        frames_digest(tmp_path / "none")
