"""Penn Action, on all of its real label files and on small ones that break the rules."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.io import savemat

from star.errors import AnnotationError, DatasetError
from star.pipeline.datasets import penn_action
from star.pipeline.recipe.schema import DatasetSettings

COUNTS = {
    "baseball_pitch": 167, "baseball_swing": 173, "bench_press": 140, "bowl": 220, "clean_and_jerk": 88,
    "golf_swing": 166, "jump_rope": 82, "jumping_jacks": 112, "pullup": 199, "pushup": 211, "situp": 100,
    "squat": 231, "strum_guitar": 94, "tennis_forehand": 157, "tennis_serve": 186,
}  # fmt: skip


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory):
    """The data set's layout around its real labels, with empty folders of frames."""
    root = tmp_path_factory.mktemp("penn")
    (root / "labels").symlink_to(shared / "data/penn_action/labels")
    for number in range(1, 2327):
        (root / f"frames/{number:04d}").mkdir(parents=True)
    return root


@pytest.fixture(scope="module")
def annotations(real):
    return {path.stem: penn_action.read_annotation(path) for path in sorted((real / "labels").iterdir())}


def load(root, **settings):
    return penn_action.load(DatasetSettings(kind="penn_action", root=root, **settings))


def label(root, name="0001", frames=True, **fields):
    """Write one label file of three frames, as MATLAB would."""
    whole = {
        "action": "squat", "train": 1, "pose": "front", "x": np.full((3, 13), 50.0), "y": np.full((3, 13), 60.0),
        "visibility": np.ones((3, 13), bool), "bbox": np.tile([41.0, 51.0, 61.0, 71.0], (3, 1)), "nframes": 3,
    }  # fmt: skip
    (root / "labels").mkdir(exist_ok=True)
    (root / "frames").mkdir(exist_ok=True)
    if frames:
        (root / "frames" / name).mkdir()
    path = root / "labels" / f"{name}.mat"
    savemat(path, {key: value for key, value in (whole | fields).items() if value is not None})
    return path


def test_the_real_labels_give_the_official_split_and_classes(real):
    """All 2,326 sequences are there: 1,258 for training, 1,068 for testing, 15 classes with the known counts."""
    manifest = load(real, name="Penn")
    assert manifest.name == "Penn"
    assert Counter(video.split for video in manifest.videos) == {"train": 1258, "test": 1068}
    assert Counter(manifest.classes[video.label] for video in manifest.videos) == COUNTS
    assert manifest.left_out == []
    assert manifest.skeleton.joints[5] == "left_wrist"


def test_a_sequence_knows_its_frames_label_and_viewpoint(real):
    """The first sequence is a pitch seen from behind, for testing; its id is the path of its frames."""
    video = load(real).videos[0]
    assert (video.id, video.label, video.split) == ("frames/0001", 0, "test")
    assert video.media == real / "frames/0001"
    assert video.annotation == real / "labels/0001.mat"
    assert video.groups == (("viewpoint", "back"),)


def test_the_real_joints_are_finite_and_22_percent_are_invisible(annotations):
    """163,841 frames, 22 % of the joints without a score; those that have one lie in the picture or near it."""
    keypoints = np.concatenate([annotation.keypoints for annotation in annotations.values()])
    assert keypoints.shape == (163841, 1, 13, 3)
    assert keypoints.dtype == np.float32
    assert np.isfinite(keypoints).all()
    assert set(np.unique(keypoints[..., 2])) == {0.0, 1.0}
    assert 1 - keypoints[..., 2].mean() == pytest.approx(0.2204, abs=5e-5)
    assert not keypoints[keypoints[..., 2] == 0].any()
    seen = keypoints[keypoints[..., 2] > 0]
    assert seen[:, :2].min() > -1
    assert seen[:, :2].max() < 640


def test_joints_that_are_not_seen_stand_apart(annotations):
    """14 % of the joints have a place although they are marked as not seen; 8 % have none."""
    occluded = np.concatenate([annotation.occluded for annotation in annotations.values()])
    together = np.concatenate([annotation.joints(occluded=True) for annotation in annotations.values()])
    assert occluded[..., 2].mean() == pytest.approx(0.14, abs=0.005)
    assert set(np.unique(together[..., 2])) == {0.0, 1.0}
    assert 1 - together[..., 2].mean() == pytest.approx(0.08, abs=0.005)
    one = annotations["1825"]
    np.testing.assert_array_equal(one.joints(occluded=False), one.keypoints)


def test_coordinates_count_from_zero_and_do_not_overflow(annotations, real):
    """Small integer types become numbers: sequence 1825 is stored as uint8/uint16, and its frame 50 shows one ankle."""
    keypoints = annotations["1825"].keypoints
    assert keypoints[50, 0, 12].tolist() == [213.0, 330.0, 1.0]
    assert keypoints[50, 0, 0].tolist() == [0.0, 0.0, 0.0]
    assert annotations["0001"].keypoints[0, 0, 0].tolist() == [135.5, 70.25, 1.0]


def test_boxes_fit_the_frames_even_where_rows_are_missing(annotations):
    """Sequences 1154 and 1865 lack a row: the last box serves again. A box without area is none."""
    for name, frames in (("1154", 72), ("1865", 73)):
        assert annotations[name].boxes.shape == (frames, 1, 4)
        assert np.array_equal(annotations[name].boxes[-1], annotations[name].boxes[-2])
    assert np.isnan(annotations["2173"].boxes[87]).all()
    assert annotations["0001"].boxes[0, 0].tolist() == [85.25, 44.75, 167.75, 349.25]


def test_placeholders_and_numbers_that_are_none_have_no_score(tmp_path):
    """A joint at (1, 1) or (0, 0), one that is NaN and one that is invisible: all zero."""
    x, y, seen = np.full((3, 13), 50.0), np.full((3, 13), 60.0), np.ones((3, 13), bool)
    x[0, 0] = y[0, 0] = 1
    x[0, 1] = y[0, 1] = 0
    x[0, 2] = np.nan
    seen[0, 3] = False
    x[0, 4] = 1  # at the left edge, but not a placeholder
    keypoints = penn_action.read_annotation(label(tmp_path, x=x, y=y, visibility=seen)).keypoints[0, 0]
    assert keypoints[:4].tolist() == [[0, 0, 0]] * 4
    assert keypoints[4].tolist() == [0, 59, 1]


@pytest.mark.parametrize(("spelling", "name"), penn_action.SPELLINGS.items())
def test_both_spellings_of_an_action_are_one_class(tmp_path, spelling, name):
    """The README's names and the label files' names mean the same."""
    label(tmp_path, action=spelling)
    assert load(tmp_path).videos[0].label == penn_action.CLASSES.index(name)


def test_sequences_that_lack_a_half_or_make_no_sense_are_left_out_with_a_reason(tmp_path):
    """One bad label never stops a run."""
    label(tmp_path, "0001")
    label(tmp_path, "0002", frames=False)
    (tmp_path / "frames/0003").mkdir()
    label(tmp_path, "0004", action="juggling")
    label(tmp_path, "0005", train=None)
    label(tmp_path, "0006").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    (tmp_path / "labels/.DS_Store").touch()
    manifest = load(tmp_path)
    assert [video.id for video in manifest.videos] == ["frames/0001"]
    assert manifest.left_out[:4] == [
        ("frames/0002", "labels/0002.mat has no folder frames/0002"),
        ("frames/0003", "frames/0003 has no labels/0003.mat"),
        ("frames/0004", "labels/0004.mat: action 'juggling' and train 1 are not Penn Action's"),
        ("frames/0005", "labels/0005.mat: action, train or pose is missing"),
    ]
    assert manifest.left_out[4][0] == "frames/0006"
    assert "0006.mat: not a MATLAB file" in manifest.left_out[4][1]


def test_a_root_that_is_not_penn_action_is_refused(tmp_path):
    """The message names the folder that is missing; a protocol of another data set is refused as well."""
    with pytest.raises(DatasetError) as error:
        load(tmp_path)
    assert str(error.value) == (f"dataset.root: {tmp_path} has no folder 'labels'; Penn Action has frames/ and labels/")
    with pytest.raises(DatasetError) as error:
        load(tmp_path, split="xsub")
    assert str(error.value) == (
        "dataset.split: 'xsub' is a protocol of kind 'ntu'; for 'penn_action' leave it 'official'"
    )


def test_a_label_file_whose_fields_do_not_fit_is_an_annotation_error(tmp_path):
    """Wrong shapes, missing fields and bytes that are no MATLAB file, each in one line."""
    path = label(tmp_path, y=np.zeros((2, 13)))
    with pytest.raises(AnnotationError) as error:
        penn_action.read_annotation(path)
    assert str(error.value) == f"{path}: x (3, 13), y (2, 13), visibility (3, 13): expected (frames, 13) each"
    path = label(tmp_path, "0002", bbox=None)
    with pytest.raises(AnnotationError) as error:
        penn_action.read_annotation(path)
    assert str(error.value) == f"{path}: x, y, visibility or bbox is missing or no array of numbers; copy it anew"
    path.write_bytes(b"")
    with pytest.raises(AnnotationError, match="not a MATLAB file"):
        penn_action.read_annotation(path)


def test_a_label_file_without_boxes_has_empty_ones(tmp_path):
    """No row at all: NaN, so that a detector or the whole frame is used on purpose and never a wrong box."""
    boxes = penn_action.read_annotation(label(tmp_path, bbox=np.zeros((0, 4)))).boxes
    assert boxes.shape == (3, 1, 4)
    assert np.isnan(boxes).all()
