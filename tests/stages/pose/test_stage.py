"""Annotated joints fit the clip's frames, and the key of pose holds what matters and nothing else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from star.errors import AnnotationError
from star.stages.pose.stage import PoseStage, annotated_boxes, annotated_keypoints


def standing(frames: int, people: int = 1, joints: int = 3) -> np.ndarray:
    """People who stand still: (frames, people, joints, 3), everything seen."""
    x = np.arange(people)[:, None] * 100 + np.arange(joints) * 10.0
    place = np.stack([x, x / 2, np.ones_like(x)], -1)
    return np.broadcast_to(place, (frames, people, joints, 3)).astype(np.float32).copy()


def test_frames_are_picked_and_people_padded():
    """The joints of exactly the clip's frames, repeated frames included; zeros for people who are not there."""
    keypoints = standing(10)
    keypoints[..., 0] += np.arange(10)[:, None, None]
    found = annotated_keypoints(keypoints, np.array([0, 3, 3, 9]), 10, people=2)
    assert found.shape == (4, 2, 3, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], keypoints[[0, 3, 3, 9], 0])
    assert not found[:, 1].any()


def test_who_moves_most_comes_first():
    """The main actor is chosen over the whole annotation, so every choice of frames agrees on who it is."""
    keypoints = standing(20, people=3)
    keypoints[:, 2, :, 0] += 40 * np.sin(np.arange(20))[:, None]
    keypoints[:, 1, :, 1] += 10 * np.sin(np.arange(20))[:, None]
    for frames in ([0, 1], [7, 19]):
        found = annotated_keypoints(keypoints, np.array(frames), 20, people=2)
        np.testing.assert_array_equal(found, keypoints[frames][:, [2, 1]])


def test_a_flicker_is_no_actor():
    """A second body that is tracked for two frames only, far apart, does not take the place of the actor."""
    keypoints = standing(40, people=2)
    keypoints[:, 0, :, 0] += np.linspace(0, 60, 40)[:, None]
    keypoints[:, 1] = 0
    keypoints[[5, 6], 1] = [[[0, 0, 1]], [[400, 400, 1]]]
    found = annotated_keypoints(keypoints, np.array([0, 20]), 40, people=1)
    np.testing.assert_array_equal(found[:, 0], keypoints[[0, 20], 0])


def test_people_without_motion_keep_their_order():
    """Two who stand still: those seen more often first, else as the data set has them."""
    keypoints = standing(6, people=2)
    np.testing.assert_array_equal(annotated_keypoints(keypoints, np.arange(6), 6, people=2), keypoints)
    keypoints[:3, 0] = 0
    np.testing.assert_array_equal(annotated_keypoints(keypoints, np.arange(6), 6, people=1)[:, 0], keypoints[:, 1])


def test_which_people_count_is_a_choice():
    """A large one, a small one who moves, and one of middling size whose joints are surest."""
    keypoints = standing(8, people=3)
    keypoints[:, 0, :, :2] *= 3
    keypoints[:, 1, :, 0] += 20 * np.arange(8)[:, None]
    keypoints[:, :2, :, 2] = 0.5
    for choose, first in (("auto", 1), ("moving", 1), ("largest", 0), ("score", 2)):
        found = annotated_keypoints(keypoints, np.arange(8), 8, 1, choose)
        np.testing.assert_array_equal(found[:, 0], keypoints[:, first])
        boxes = np.arange(96, dtype=np.float32).reshape(8, 3, 4)
        np.testing.assert_array_equal(
            annotated_boxes(keypoints, boxes, np.arange(8), 8, 1, choose)[:, 0], boxes[:, first]
        )


def walkers(frames: int = 30) -> np.ndarray:
    """Three people (F, 3, 3, 3) side by side, of unlike sizes and scores: the second walks, the third jumps,
    the first stands."""
    keypoints = standing(frames, people=3)
    keypoints[..., 1] += 30 * np.arange(3)  # bodies have a height
    keypoints[:, :, 2, 0] += (9, 0, 20)
    keypoints[..., 2] = np.array([[0.5], [0.7], [0.6]])
    keypoints[:, 1, :, 0] += 2 * np.arange(frames)[:, None]
    keypoints[:, 2, :, 1] += 3 * np.sin(np.arange(frames))[:, None]
    return keypoints


def shuffled(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same people at other places along P in every frame, and which place each has (F, P)."""
    places = np.random.default_rng(0).permuted(np.tile(np.arange(keypoints.shape[1]), (len(keypoints), 1)), axis=1)
    mixed = np.empty_like(keypoints)
    np.put_along_axis(mixed, places[..., None, None], keypoints, 1)
    return mixed, places


@pytest.mark.parametrize("choose", ["auto", "moving", "largest", "score"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_linked_people_are_those_who_keep_their_places(choose: str, count: int) -> None:
    """However they are listed, frame by frame: the same joints and boxes as of a tidy list, which linking leaves as it
    is."""
    keypoints, frames = walkers(), np.array([0, 3, 7, 7, 29, 31])
    keypoints[5:8, 2] = 0
    expected = annotated_keypoints(keypoints, frames, 30, count, choose)
    mixed, places = shuffled(keypoints)
    assert not np.array_equal(annotated_keypoints(mixed, frames, 30, count, choose), expected)
    for given in (mixed, keypoints):
        np.testing.assert_array_equal(annotated_keypoints(given, frames, 30, count, choose, link=True), expected)
    boxes = np.concatenate([keypoints[..., :2].min(2), keypoints[..., :2].max(2)], -1)
    boxes[5:8, 2] = np.nan
    expected = annotated_boxes(keypoints, boxes, frames, 30, count, choose)
    other = np.empty_like(boxes)
    np.put_along_axis(other, places[..., None], boxes, 1)
    found = annotated_boxes(mixed, other, frames, 30, count, choose, link=True)
    np.testing.assert_array_equal(found, expected)


def test_linking_loses_nobody() -> None:
    """One person alone, lost for long and found elsewhere, keeps one place; a single joint is somebody too."""
    keypoints = standing(30)
    keypoints[10:20] = 0
    keypoints[20:, ..., :2] += 500
    np.testing.assert_array_equal(annotated_keypoints(keypoints, np.arange(30), 30, 1, link=True), keypoints)
    keypoints = standing(8, people=2)
    keypoints[:, 1, 1:] = 0
    found = annotated_keypoints(keypoints, np.arange(8), 8, 2, link=True)
    np.testing.assert_array_equal(found, keypoints)
    nobody = annotated_keypoints(np.zeros((8, 0, 3, 3), np.float32), np.arange(8), 8, 2, link=True)
    assert nobody.shape == (8, 2, 3, 3)
    assert not nobody.any()


def test_the_key_says_that_people_are_linked() -> None:
    """Where annotations are read, and only where it is so: what was cached before keeps its key."""
    assert "link" not in PoseStage().settings()
    assert PoseStage(link=True).settings() == PoseStage().settings() | {"link": True}
    assert (
        PoseStage("mmpose", detector="frame", link=True).settings() == PoseStage("mmpose", detector="frame").settings()
    )
    for stage in (PoseStage("mmpose", link=True), PoseStage("auto", detector="frame", layout="coco", link=True)):
        assert stage.settings()["link"] is True


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_what_is_not_finite_is_absent(value: float, channel: int):
    """One bad number makes its joint all zero, and leaves the others alone."""
    keypoints = standing(8)
    keypoints[2, 0, 1, channel] = value
    found = annotated_keypoints(keypoints, np.arange(8), 8, people=1)
    assert not found[2, 0, 1].any()
    found[2, 0, 1] = standing(8)[2, 0, 1]
    np.testing.assert_array_equal(found, standing(8))


def test_invisible_joints_are_all_zero():
    """A joint of score 0 keeps no coordinates."""
    keypoints = standing(8)
    keypoints[:, :, 1, 2] = 0
    assert not annotated_keypoints(keypoints, np.arange(8), 8, people=1)[:, :, 1].any()


def test_frames_beyond_the_annotation_are_absent():
    """A skeleton that ends a few frames before its video: the last frames keep their places, empty."""
    found = annotated_keypoints(standing(16), np.array([0, 15, 16, 19]), 20, people=1)
    assert found[:2].any((1, 2, 3)).all()
    assert not found[2:].any()


@pytest.mark.parametrize(("length", "count"), [(116, 100), (84, 100), (6, 0), (0, 6)])
def test_a_length_far_from_the_videos_is_an_error(length: int, count: int):
    """More than 10 % and 5 frames apart: one line with both numbers; a frame less apart is accepted."""
    with pytest.raises(AnnotationError) as caught:
        annotated_keypoints(standing(length), np.zeros(2, int), count, people=1)
    assert str(caught.value) == (
        f"the annotation has {length} frames and the video {count}: they do not belong together; "
        "correct the annotation, or take the joints from pose.source: mmpose"
    )
    closer = length + (1 if length < count else -1)
    annotated_keypoints(standing(closer), np.zeros(2, int), count, people=1)


def test_annotated_boxes_follow_the_joints():
    """Boxes come in the order of the joints, NaN where there is nobody; without them the joints' extent is grown."""
    keypoints = standing(6, people=2)
    keypoints[:, 1, :, 0] += np.arange(6)[:, None]
    keypoints[4, 1] = np.nan
    index = np.array([0, 4, 6])
    boxes = np.arange(48, dtype=np.float32).reshape(6, 2, 4)
    found = annotated_boxes(keypoints, boxes, index, 7, people=3)
    np.testing.assert_array_equal(found[:2, :2], boxes[[0, 4]][:, [1, 0]])
    assert np.isnan(found[2]).all()
    assert np.isnan(found[:, 2]).all()
    found = annotated_boxes(keypoints, None, index, 7, people=1)
    np.testing.assert_allclose(found[0, 0], [98, 49, 122, 61])
    assert np.isnan(found[1:]).all()


def test_key_holds_what_matters():
    """With annotations no network is in the key; a seed is, only where something random depends on it."""
    assert PoseStage(model="a", checkpoint="random", seed=3).settings() == {"source": "annotations", "people": 1}
    assert PoseStage(occluded=True).settings() == {"source": "annotations", "people": 1, "occluded": True}
    shared = {"source": "mmpose", "model": "a", "people": 2}
    assert PoseStage("mmpose", "a", people=2, seed=3, detector_weights="random").settings() == {
        **shared, "checkpoint": "official", "detector": "annotations",
    }  # fmt: skip
    assert PoseStage("mmpose", "a", "random", "frame", people=2, seed=3).settings() == {
        **shared, "checkpoint": "random", "detector": "frame", "seed": 3,
    }  # fmt: skip
    network = "fasterrcnn_resnet50_fpn_v2"
    assert PoseStage("mmpose", "a", "ab12", network, "random", people=2, seed=3).settings() == {
        **shared, "checkpoint": "ab12", "detector": network, "detector_weights": "random", "seed": 3,
        "linking": "assignment", "crops": "grid",
    }  # fmt: skip


def test_layout_and_choice_are_in_the_key_where_they_are_not_the_sources_own():
    """By default neither is; `moving` is what annotations have anyway, and a whole frame leaves nothing to choose."""
    own = {"source": "annotations", "people": 1}
    assert PoseStage(choose="moving").settings() == own
    assert PoseStage(choose="largest", layout="coco").settings() == {**own, "layout": "coco", "choose": "largest"}
    frame = PoseStage("mmpose", "a", detector="frame").settings()
    assert PoseStage("mmpose", "a", detector="frame", choose="largest").settings() == frame
    boxes = PoseStage("mmpose", "a").settings()
    assert PoseStage("mmpose", "a", choose="moving").settings() == boxes
    assert PoseStage("mmpose", "a", choose="score").settings() == {**boxes, "choose": "score"}
    detected = PoseStage("mmpose", "a", detector="fasterrcnn_resnet50_fpn_v2")
    assert replace(detected, choose="moving").settings() == {**detected.settings(), "choose": "moving"}


def test_both_sources_together_have_a_key_of_their_own():
    """`auto` depends on the network and on how annotations are read, whichever a video turns out to need."""
    pose = PoseStage("auto", "a", detector="frame", layout="ntu", occluded=True, choose="moving", people=2)
    assert pose.settings() == {
        "source": "auto", "people": 2, "occluded": True, "model": "a", "checkpoint": "official", "detector": "frame",
        "layout": "ntu",
    }  # fmt: skip
    assert replace(pose, choose="largest").settings()["choose"] == "largest"
    assert "occluded" not in replace(pose, source="mmpose").settings()


def test_training_machine_needs_none_of_it():
    """Keys and annotated joints work where torch, OpenCV, PyAV and the mm packages cannot be imported."""
    program = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'cv2', 'av', 'decord', 'mmpose', 'mmengine', 'mmcv'):\n"
        "    sys.modules[name] = None\n"
        "import numpy, star.stages.pose.stage, star.stages.pose.people, star.stages.pose.person_crop\n"
        "import star.stages.pose.mmpose_compat as adapter, star.stages.pose.mmpose_models as models\n"
        "from star.errors import MissingPackage\n"
        "print(star.stages.pose.stage.PoseStage().settings())\n"
        "for call in (lambda: adapter.import_module('mmpose.models'), lambda: models.model_spec('rtmpose-m')):\n"
        "    try: call()\n"
        "    except MissingPackage as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    missing = "pose.source mmpose needs mmpose, which is not installed: pip install 'mmpose'"
    assert done.stdout.splitlines() == ["{'source': 'annotations', 'people': 1}", missing, missing]
