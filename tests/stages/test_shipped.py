"""The network that star brings for its drawn figures: small, whole, and right about figures that it never saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from star.cache.errors import RecipeError, WeightsError
from star.pipeline.datasets.drawn_film import Clip, shoot
from star.pipeline.datasets.drawn_motion import ACTIONS
from star.stages import mmpose_adapter, pose_models, weights
from star.stages.estimator import Estimator, crops
from star.stages.people import whole_frame
from star.stages.pose import Pose, annotated_boxes
from star.stages.skeleton import PENN_ACTION

NAME = "drawn-13"
FILE = pose_models.SHIPPED / f"{NAME}.safetensors"
RTMPOSE = "rtmpose-t_8xb256-420e_coco-256x192"


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator(Pose("mmpose", NAME))


@pytest.fixture(scope="module")
def figures() -> list[tuple[list[np.ndarray], np.ndarray]]:
    """Every third frame of a test clip of every action, of a seed that nothing was trained on, and the true joints."""
    clips = [Clip(action, 1, "test", "test-0", 4711, (12, 12), (256, 192)) for action in ACTIONS]
    drawn = [shoot(clip) for clip in clips]
    return [([frame for k, frame in enumerate(frames) if k % 3 == 0], joints[::3]) for frames, joints in drawn]


def test_the_file_is_small_and_the_one_that_was_measured() -> None:
    """At most 2 MB of float16 under a pinned digest, and nothing in it that is not finite."""
    assert FILE.stat().st_size <= 2_000_000
    assert weights.sha256(FILE) == pose_models.OWN[NAME]
    state = weights.load_state_dict(FILE)
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert all(torch.isfinite(value).all() for value in state.values())


def test_it_is_built_from_its_configuration_like_any_other() -> None:
    """Penn Action's joints, to the limb; a window that shows a whole 4:3 frame, unpadded."""
    design = pose_models.design(NAME)
    assert design.skeleton == PENN_ACTION
    assert (design.window.width, design.window.height, design.window.padding) == (128, 96, 1.0)
    assert pose_models.official(NAME) == FILE


def test_mmpose_itself_reads_the_configuration_and_finds_the_same(estimator: Estimator, figures) -> None:
    """The file is a configuration of mmpose's: its own inference gives the joints that star's gives."""
    mmpose_adapter.module("mmpose.datasets.transforms")
    inference = mmpose_adapter.module("mmpose.apis")
    network = inference.init_model(str(pose_models.published(NAME).config), device="cpu")
    weights.load_into(network, weights.load_state_dict(FILE), FILE, NAME)
    frames, _ = figures[0]
    around = whole_frame(1, 1, (256, 192))
    [found] = estimator.keypoints([crops(estimator.window, frames[:1], around)], [around])
    [sample] = inference.inference_topdown(network, np.ascontiguousarray(frames[0][..., ::-1]), around[0])
    np.testing.assert_allclose(found[0, 0, :, :2], sample.pred_instances.keypoints[0], atol=0.5)
    np.testing.assert_allclose(found[0, 0, :, 2], sample.pred_instances.keypoint_scores[0], rtol=1e-3)
    assert network.dataset_meta["dataset_name"] == "penn_action"


@pytest.mark.parametrize("boxes", ["frame", "person"])
def test_it_finds_the_joints_of_figures_never_seen(estimator: Estimator, figures, boxes: str) -> None:
    """At least 90 % within a tenth of the person's longer side, in the whole frame as in a box around the person."""
    right, seen = 0, 0
    for frames, joints in figures:
        around = whole_frame(len(frames), 1, (256, 192))
        if boxes == "person":
            around = annotated_boxes(joints, None, np.arange(len(frames)), len(frames), 1)
        [found] = estimator.keypoints([crops(estimator.window, frames, around)], [around])
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
    torch.save(pose_models.build(RTMPOSE).state_dict(), other)
    for model, file, said in [
        (NAME, other, "backbone.stem.0.conv.weight is 12x3x3x3 in the file and 8x3x3x3 in the network"),
        (RTMPOSE, FILE, "backbone.stem.0.conv.weight is 8x3x3x3 in the file and 12x3x3x3 in the network"),
    ]:
        with pytest.raises(WeightsError) as caught:
            Estimator(Pose("mmpose", model, weights.sha256(file)), checkpoint=file)
        what = pose_models.called(model)
        assert str(caught.value) == (
            f"{file}: belongs to another network than {what}: {said}; give the weights of {what}"
        )
    shutil.copy(FILE, tmp_path)
    changed = tmp_path / FILE.name
    changed.write_bytes(changed.read_bytes()[:-2] + b"!!")
    monkeypatch.setattr(pose_models, "SHIPPED", tmp_path)
    with pytest.raises(WeightsError) as caught:
        Estimator(Pose("mmpose", NAME))
    assert str(caught.value) == f"{changed}: not the weights that star brings for {NAME}; install star again"


def test_a_slip_in_its_name_is_told() -> None:
    """Whoever misspells it reads what it is called."""
    with pytest.raises(RecipeError, match=r"^pose\.model: mmpose has no model 'drawn13'; the closest are drawn-13"):
        pose_models.design("drawn13")
