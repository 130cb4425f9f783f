"""The drawn data set: written once, really decoded, its hard pairs hard in just the way they promise."""

from __future__ import annotations

import json
from collections import Counter

import av
import numpy as np
import pytest

from star.errors import AnnotationError, DatasetError, StorageError
from star.pipeline import datasets
from star.pipeline.datasets.synthetic import dataset as drawn
from star.pipeline.datasets.synthetic.motion import ACTIONS
from star.pipeline.recipe.schema import DatasetSettings

SMALL = {"clips_per_class": 2, "frames": (10, 14), "size": (128, 96), "workers": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "data"
    assert drawn.draw(folder, **SMALL) == 16
    return folder


@pytest.fixture(scope="module")
def manifest(root):
    return load(root)


def load(root):
    return datasets.load(DatasetSettings(kind="drawn", root=root))


def decoded(path):
    """All frames (F, h, w, 3) of a file, one after the other."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def joints(root, name):
    return datasets.read_annotation("drawn", root / f"joints/{name}.npy").keypoints


def test_every_action_has_its_clips_in_both_splits(manifest):
    """Eight actions in a fixed order; clip 1 of each is for testing; every clip has joints and a figure."""
    assert manifest.classes == tuple(ACTIONS)
    assert len(ACTIONS) == 8
    assert Counter((video.label, video.split) for video in manifest.videos) == {
        (label, split): 1 for label in range(8) for split in ("train", "test")
    }
    assert all(video.media.is_file() and video.annotation.is_file() for video in manifest.videos)
    assert manifest.videos[0].id == "videos/bow_000.mp4"
    assert manifest.videos[0].groups == (("figure", "train-0"),)
    assert manifest.skeleton.name == "penn_action"


def test_a_third_of_the_clips_are_for_testing_and_share_no_figure(tmp_path, monkeypatch):
    """Of 24 clips of an action 8 are for testing, with figures that no training clip has."""
    monkeypatch.setattr(drawn, "draw_clip", lambda root, clip: None)
    drawn.draw(tmp_path, clips_per_class=24, workers=1)
    videos = load(tmp_path).videos
    assert Counter(video.split for video in videos) == {"train": 128, "test": 64}
    figures = {split: {video.groups for video in videos if video.split == split} for split in ("train", "test")}
    assert not figures["train"] & figures["test"]


def test_files_are_real_h264_with_b_frames(manifest):
    """25 frames per second, 4:2:0, some frames that refer to later ones, exactly as many as there are joints."""
    for video in manifest.videos[:3]:
        with av.open(str(video.media)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.average_rate, stream.width, stream.height) == (25, 128, 96)
            kinds = [int(frame.pict_type) for frame in container.decode(stream)]
        assert 3 in kinds  # FFmpeg's number for a B frame
        assert len(kinds) == len(datasets.read_annotation("drawn", video.annotation).keypoints)


def test_joints_lie_in_the_frame_or_have_no_score(manifest):
    """(F, 1, 13, 3) float32; outside the frame all three numbers are 0; most joints are inside."""
    seen = []
    for video in manifest.videos:
        keypoints = datasets.read_annotation("drawn", video.annotation).keypoints
        assert keypoints.dtype == np.float32
        assert keypoints.shape[1:] == (1, 13, 3)
        inside = keypoints[..., 2] > 0
        assert set(np.unique(keypoints[..., 2])) <= {0.0, 1.0}
        assert not keypoints[~inside].any()
        assert (keypoints[inside][:, :2] >= 0).all()
        assert (keypoints[inside][:, :2] <= (127, 95)).all()
        seen.append(inside.mean())
    assert np.mean(seen) > 0.9


def test_the_order_pair_differs_only_in_the_order_of_time(root):
    """Lowering the arms is raising them backwards, joint by joint and bit by bit, camera included."""
    for number in ("000", "001"):
        up, down = joints(root, f"raise_arms_{number}"), joints(root, f"lower_arms_{number}")
        assert np.array_equal(up, down[::-1])
        assert not np.array_equal(up, down)


def test_the_object_pair_differs_only_in_what_joints_do_not_show(root):
    """Waving a flag has the joints of waving; the flag itself is seen, in a colour that nothing else has."""
    assert np.array_equal(joints(root, "wave_000"), joints(root, "wave_flag_000"))
    assert np.array_equal(joints(root, "wave_001"), joints(root, "wave_flag_001"))
    for number in ("000", "001"):
        bare, flag = (magenta(decoded(root / f"videos/{name}_{number}.mp4")) for name in ("wave", "wave_flag"))
        assert bare.max() == 0
        assert flag.min() > 0.005


def magenta(frames):
    """(F,) share of pixels in the flag's colour."""
    red, green, blue = np.moveaxis(frames.astype(int), -1, 0)
    return ((red > 150) & (green < 70) & (blue > 80)).mean(axis=(1, 2))


def test_the_same_seed_gives_the_same_joints_and_pixels(root, tmp_path):
    """A second drawing equals the first, joint for joint and pixel for pixel; another seed does not."""
    again, other = tmp_path / "again", tmp_path / "other"
    drawn.draw(again, **(SMALL | {"clips_per_class": 1}))
    drawn.draw(other, **(SMALL | {"clips_per_class": 1, "seed": 1}))
    for action in ACTIONS:
        name = f"{action}_000"
        assert np.array_equal(joints(root, name), joints(again, name))
        assert np.array_equal(decoded(root / f"videos/{name}.mp4"), decoded(again / f"videos/{name}.mp4"))
        assert not np.array_equal(joints(root, name)[:10], joints(other, name)[:10])


def test_what_is_there_is_not_drawn_again_and_what_is_missing_is(tmp_path):
    """A second call draws nothing; a lost clip, or lost joints, come back; other settings draw all anew."""
    calls = []
    small = SMALL | {"clips_per_class": 1}
    drawn.draw(tmp_path, **small)
    assert drawn.draw(tmp_path, **small, progress=lambda *done: calls.append(done)) == 0
    (tmp_path / "videos/kick_000.mp4").unlink()
    (tmp_path / "joints/bow_000.npy").unlink()
    assert drawn.draw(tmp_path, **small, progress=lambda *done: calls.append(done)) == 2
    assert calls == [(1, 2), (2, 2)]
    assert drawn.draw(tmp_path, **(small | {"seed": 1})) == 8
    assert not list(tmp_path.rglob("*.partial"))


def test_a_drawing_that_broke_off_is_not_taken_for_whole(tmp_path, monkeypatch):
    """Without the list, which is written last, there is no data set; the next call goes on where it broke off."""
    whole, count = drawn.draw_clip, 0

    def breaks(root, clip):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        whole(root, clip)

    monkeypatch.setattr(drawn, "draw_clip", breaks)
    with pytest.raises(KeyboardInterrupt):
        drawn.draw(tmp_path, **(SMALL | {"clips_per_class": 1}))
    with pytest.raises(DatasetError) as error:
        load(tmp_path)
    assert str(error.value) == (
        f"dataset.root: {tmp_path} holds no drawn data set; `star demo DIR` draws one in DIR/data"
    )
    assert drawn.draw(tmp_path, **(SMALL | {"clips_per_class": 1})) == 5


def test_processes_draw_what_one_process_draws(root, tmp_path):
    """Two workers give the same files as none; all clips are reported once."""
    done = []
    drawn.draw(tmp_path, **(SMALL | {"workers": 2}), progress=lambda *state: done.append(state))
    assert done == [(number, 16) for number in range(1, 17)]
    for path in sorted((root / "videos").iterdir())[::5]:
        assert path.read_bytes() == (tmp_path / "videos" / path.name).read_bytes()


def test_it_is_also_a_data_set_of_plain_videos(root):
    """ROOT is what kind `videos` expects: a list and films."""
    manifest = datasets.load(DatasetSettings(kind="videos", root=root))
    assert Counter(video.split for video in manifest.videos) == {"train": 8, "test": 8}


def test_joints_that_are_none_are_an_annotation_error(tmp_path):
    """A strange array, a pickle (never opened) and no file at all, each in one line."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 13, 3)))
    assert refused(path) == f"{path}: float64 (3, 13, 3) where float32 (frames, 1, 13, 3) was expected; draw it again"
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    assert refused(path) == f"{path}: no array of joints (ValueError); draw the data set again"
    path.unlink()
    assert refused(path) == f"{path}: no array of joints (FileNotFoundError); draw the data set again"


def refused(path):
    with pytest.raises(AnnotationError) as error:
        drawn.read_annotation(path)
    return str(error.value)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    """A file in the way of the folder."""
    (tmp_path / "data").touch()
    with pytest.raises(StorageError) as error:
        drawn.draw(tmp_path / "data", **SMALL)
    expected = f"{tmp_path / 'data'}: Not a directory; choose a folder that can be written"
    assert str(error.value) == expected


def test_a_list_with_a_strange_label_is_refused(tmp_path):
    """Somebody edited clips.csv: the row is named."""
    (tmp_path / "drawn.json").write_text(json.dumps({}))
    (tmp_path / "clips.csv").write_text("video,label,split\nvideos/a.mp4,wawe,train\n")
    with pytest.raises(DatasetError) as error:
        load(tmp_path)
    assert str(error.value) == "clips.csv, row 2: label 'wawe' is not in dataset.classes; did you mean 'wave'?"
