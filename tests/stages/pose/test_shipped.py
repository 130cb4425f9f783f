"""The network that star brings for its drawn figures: small, whole, and right about figures that it never saw."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from star.errors import RecipeError, WeightsError
from star.pipeline.datasets.synthetic.motion import ACTIONS
from star.pipeline.datasets.synthetic.render import DrawnClip, shoot
from star.stages import weights
from star.stages.pose import mmpose_compat, mmpose_models
from star.stages.pose.estimator import PoseEstimator, person_crops
from star.stages.pose.people import whole_frame_boxes
from star.stages.pose.person_crop_gpu import person_crops_gpu
from star.stages.pose.stage import PoseStage, annotated_boxes
from star.stages.skeletons import PENN_ACTION

NAME = "drawn-13"
FILE = mmpose_models.BUNDLED_FOLDER / f"{NAME}.safetensors"
RTMPOSE = "rtmpose-t_8xb256-420e_coco-256x192"


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator(PoseStage("mmpose", NAME))


@pytest.fixture(scope="module")
def figures() -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Every third frame of a test clip of every action, of a seed that nothing was trained on, and the true joints."""
    clips = [DrawnClip(action, 1, "test", "test-0", 4711, (12, 12), (256, 192)) for action in ACTIONS]
    drawn = [shoot(clip) for clip in clips]
    return [([frame for k, frame in enumerate(frames) if k % 3 == 0], joints[::3]) for frames, joints in drawn]


def test_the_file_is_small_and_the_one_that_was_measured() -> None:
    """At most 2 MB of float16 under a pinned digest, and nothing in it that is not finite."""
    assert FILE.stat().st_size <= 2_000_000
    assert weights.sha256(FILE) == mmpose_models.BUNDLED[NAME]
    state = weights.load_state_dict(FILE)
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert all(torch.isfinite(value).all() for value in state.values())


def test_it_is_built_from_its_configuration_like_any_other() -> None:
    """Penn Action's joints, to the limb; a window that shows a whole 4:3 frame, unpadded."""
    design = mmpose_models.model_spec(NAME)
    assert design.skeleton == PENN_ACTION
    assert (design.window.width, design.window.height, design.window.padding) == (128, 96, 1.0)
    assert mmpose_models.official_weights(NAME) == FILE


def inference_topdown(network: Any, frames: Sequence[np.ndarray], boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, N, 2) px and scores (T, N) of one person per frame in boxes (T, 1, 4)."""
    infer = mmpose_compat.import_module("mmpose.apis").inference_topdown
    samples = [infer(network, np.ascontiguousarray(f[..., ::-1]), box)[0] for f, box in zip(frames, boxes, strict=True)]
    found = [sample.pred_instances for sample in samples]
    return np.stack([one.keypoints[0] for one in found]), np.stack([one.keypoint_scores[0] for one in found])


def test_mmpose_itself_reads_the_configuration_and_finds_the_same(
    estimator: PoseEstimator, figures, mmposes_drawn_13
) -> None:
    """The file is a configuration of mmpose's: its own inference gives the joints that star's gives."""
    frames, around = figures[0][0][:1], whole_frame_boxes(1, 1, (256, 192))
    [found] = estimator.keypoints([person_crops(estimator.window, frames, around)], [around])
    points, scores = inference_topdown(mmposes_drawn_13, frames, around)
    np.testing.assert_allclose(found[:, 0, :, :2], points, atol=0.5)
    np.testing.assert_allclose(found[:, 0, :, 2], scores, rtol=1e-3)
    assert mmposes_drawn_13.dataset_meta["dataset_name"] == "penn_action"


def test_crops_cut_on_the_device_have_the_joints_that_mmpose_finds(
    estimator: PoseEstimator, figures, mmposes_drawn_13
) -> None:
    """Within 0.5 px, every joint of every clip, in boxes as a detector gives them: around a person, of no whole px."""
    for frames, joints in figures:
        around = annotated_boxes(joints, None, np.arange(len(frames)), len(frames), 1)
        [found] = estimator.keypoints(
            [person_crops_gpu(estimator.window, torch.from_numpy(np.stack(frames)), around)], [around]
        )
        points, scores = inference_topdown(mmposes_drawn_13, frames, around)
        assert (scores > 0).all()
        np.testing.assert_allclose(found[:, 0, :, :2], points, atol=0.5)
        np.testing.assert_allclose(found[:, 0, :, 2], scores, rtol=0.02)


@pytest.mark.parametrize("boxes", ["frame", "person"])
def test_it_finds_the_joints_of_figures_never_seen(estimator: PoseEstimator, figures, boxes: str) -> None:
    """At least 90 % within a tenth of the person's longer side, in the whole frame as in a box around the person."""
    right, seen = 0, 0
    for frames, joints in figures:
        around = whole_frame_boxes(len(frames), 1, (256, 192))
        if boxes == "person":
            around = annotated_boxes(joints, None, np.arange(len(frames)), len(frames), 1)
        [found] = estimator.keypoints([person_crops(estimator.window, frames, around)], [around])
        there = joints[..., 2] > 0
        low = np.where(there[..., None], joints[..., :2], np.inf).min(2, keepdims=True)
        high = np.where(there[..., None], joints[..., :2], -np.inf).max(2, keepdims=True)
        away = np.linalg.norm(found[..., :2] - joints[..., :2], axis=-1) / (high - low).max(-1)
        right, seen = right + (away[there] <= 0.1).sum(), seen + there.sum()
    assert seen > 400
    assert right / seen >= 0.9


def test_it_stays_with_its_own_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of another network, its file in another network, a file that was changed: one line each."""
    other = tmp_path / "rtmpose.pth"
    torch.save(mmpose_models.build(RTMPOSE).state_dict(), other)
    for model, file, said in [
        (NAME, other, "backbone.stem.0.conv.weight is 12x3x3x3 in the file and 8x3x3x3 in the network"),
        (RTMPOSE, FILE, "backbone.stem.0.conv.weight is 8x3x3x3 in the file and 12x3x3x3 in the network"),
    ]:
        with pytest.raises(WeightsError) as caught:
            PoseEstimator(PoseStage("mmpose", model, weights.sha256(file)), checkpoint=file)
        what = mmpose_models.display_name(model)
        assert str(caught.value) == (
            f"{file}: belongs to another network than {what}: {said}; give the weights of {what}"
        )
    shutil.copy(FILE, tmp_path)
    changed = tmp_path / FILE.name
    changed.write_bytes(changed.read_bytes()[:-2] + b"!!")
    monkeypatch.setattr(mmpose_models, "BUNDLED_FOLDER", tmp_path)
    with pytest.raises(WeightsError) as caught:
        PoseEstimator(PoseStage("mmpose", NAME))
    assert str(caught.value) == f"{changed}: not the weights that star brings for {NAME}; install star again"


def test_a_slip_in_its_name_is_told() -> None:
    """Whoever misspells it reads what it is called."""
    with pytest.raises(RecipeError, match=r"^pose\.model: mmpose has no model 'drawn13'; the closest are drawn-13"):
        mmpose_models.model_spec("drawn13")
