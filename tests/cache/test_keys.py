"""Keys and digests."""

from __future__ import annotations

import os
from hashlib import blake2b

import pytest

from star.cache.keys import canonical, file_digest, folder_digest, folder_stamp, frames_digest, stage_key
from star.errors import NoVideoStream, UnreadableVideo


def test_canonical_json_is_pinned():
    """Equal settings give equal bytes: sorted, without spaces, whole floats as integers, text as it is."""
    value = {"b": [1.0, 0.1, -0.0, True, None], "a": "Bär", "c": {"z": (1, 2)}}
    assert canonical(value) == '{"a":"Bär","b":[1,0.1,0,true,null],"c":{"z":[1,2]}}'.encode()


def test_key_is_the_digest_of_what_it_stands_for():
    """A key is blake2b over canonical JSON, so anybody can make it from stage.json alone."""
    text = b'{"settings":{"sigma":1},"stage":"heatmaps","upstream":{"pose":"' + b"0" * 32 + b'"},"version":2}'
    expected = blake2b(text, digest_size=16).hexdigest()
    assert stage_key("heatmaps", 2, {"sigma": 1.0}, {"pose": "0" * 32}) == expected
    assert expected == "2bc2948644f72d01825cc4e08262d6ca"  # pinned: changing it loses every cache there is


@pytest.mark.parametrize(
    "other",
    [
        ("heatmap", 2, {"sigma": 1}, {"pose": "0"}),
        ("heatmaps", 3, {"sigma": 1}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": 1.5}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": "1"}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": True}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": 1}, {"pose": "1"}),
        ("heatmaps", 2, {"sigma": 1}, {}),
    ],
)
def test_everything_counts_in_a_key(other):
    """Another name, version, setting, type of a setting or upstream key is another key."""
    assert stage_key(*other) != stage_key("heatmaps", 2, {"sigma": 1}, {"pose": "0"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_key_over_nan(value):
    """NaN is not equal to itself and so cannot name anything."""
    with pytest.raises(ValueError, match=rf"^{value} cannot stand in a key$"):
        canonical({"a": [value]})


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, b"x", object])
def test_no_key_over_what_is_no_json(value):
    """Only plain JSON stands in a key: no pickles, no bytes, no objects."""
    with pytest.raises(TypeError, match=r"cannot stand in a key: settings are plain JSON$"):
        canonical(value)


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
