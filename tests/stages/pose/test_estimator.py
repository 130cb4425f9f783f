"""The batched pose network gives exactly what mmpose's own inference gives, crop by crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from star.errors import DownloadError, MachineError, WeightsError
from star.stages import weights
from star.stages.pose import mmpose_compat, mmpose_models
from star.stages.pose.estimator import PoseEstimator, person_crops
from star.stages.pose.people import whole_frame_boxes
from star.stages.pose.person_crop import PersonCropper
from star.stages.pose.person_crop_gpu import person_crops_gpu
from star.stages.pose.stage import PoseStage

pytestmark = pytest.mark.filterwarnings("ignore:The metainfo config file")  # mmpose looks in the current folder first

RTMPOSE = "rtmpose-t_8xb256-420e_coco-256x192"
HEATMAP = "td-hm_mobilenetv2_8xb64-210e_coco-256x192"
HRNET = "td-hm_hrnet-w32_8xb64-210e_coco-256x192"
UDP = "cspnext-tiny_udp_8xb256-210e_aic-coco-256x192"


def random_pose(model: str, **settings) -> PoseStage:
    return PoseStage("mmpose", model, "random", **settings)


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return PoseEstimator(random_pose(RTMPOSE), batch=4)


def noise(frames: int, seed: int = 0) -> np.ndarray:
    """(frames, 120, 160, 3) uint8: coarse random patches, so that crops differ and survive interpolation."""
    coarse = np.random.default_rng(seed).integers(0, 256, (frames, 12, 16, 3), np.uint8)
    return coarse.repeat(10, 1).repeat(10, 2)


def boxes_in(frames: int, people: int, seed: int = 0) -> np.ndarray:
    """Random boxes (frames, people, 4), some of which reach over the edge of a 160 x 120 frame."""
    random = np.random.default_rng(seed)
    low = random.uniform(-20, 80, (frames, people, 2))
    return np.concatenate([low, low + random.uniform(20, 90, low.shape)], -1).astype(np.float32)


def judge(model: str, estimator: PoseEstimator):
    """mmpose's own network from its own configuration, built by mmpose, with the estimator's weights."""
    mmpose_compat.import_module("mmpose.datasets.transforms")
    inference = mmpose_compat.import_module("mmpose.apis")
    network = inference.init_model(str(mmpose_models.published_model(model).config), device="cpu")
    network.load_state_dict(estimator.network.state_dict())
    network.test_cfg["flip_test"] = False
    network.to(memory_format=torch.channels_last)
    return lambda frame, boxes: inference.inference_topdown(network, np.ascontiguousarray(frame[..., ::-1]), boxes)


def assert_equal_to_mmpose(model: str, frames: np.ndarray, boxes: np.ndarray, batch: int) -> np.ndarray:
    estimator = PoseEstimator(random_pose(model), batch=batch)
    [found] = estimator.keypoints([person_crops(estimator.window, frames, boxes)], [boxes])
    infer = judge(model, estimator)
    for frame, around, joints in zip(frames, boxes, found, strict=True):
        for sample, person in zip(infer(frame, around), joints, strict=True):
            scores = sample.pred_instances.keypoint_scores[0]
            there = scores > 0
            np.testing.assert_allclose(person[:, 2], np.where(there, scores, 0), rtol=1e-5)
            np.testing.assert_allclose(person[there, :2], sample.pred_instances.keypoints[0, there], atol=1e-3)
            assert not person[~there].any()
    return found


@pytest.mark.parametrize(
    ("model", "frames", "people", "batch"), [(RTMPOSE, 3, 2, 4), (HEATMAP, 2, 2, 2), (UDP, 2, 1, 1), (HRNET, 1, 1, 1)]
)
def test_joints_equal_those_of_mmpose(model: str, frames: int, people: int, batch: int):
    """RTMPose, SimpleBaseline, a UDP network that drops joints, HRNet: the same joints as inference_topdown.

    Untrained heat maps are nearly flat, so the heat-map networks run in mmpose's own batches (the people of a frame).
    """
    found = assert_equal_to_mmpose(model, noise(frames), boxes_in(frames, people), batch)
    assert found.shape == (frames, people, 17, 3)
    assert found[..., 2].any()


@pytest.mark.parametrize(("model", "frames", "people"), [(RTMPOSE, 4, 2), (HEATMAP, 2, 2), (UDP, 2, 2), (HRNET, 1, 2)])
def test_joints_of_crops_cut_on_the_device_are_those_of_mmpose(model: str, frames: int, people: int):
    """Within 0.5 px of inference_topdown, wherever a grey level does not decide.

    The maxima of untrained networks hardly stand out, so that a last bit may move some of them right across the crop.
    Which they are mmpose itself tells: they jump when every pixel of the frame is changed by at most one grey level.
    """
    estimator = PoseEstimator(random_pose(model), batch=people)
    seen, boxes = noise(frames), boxes_in(frames, people)
    [found] = estimator.keypoints([person_crops_gpu(estimator.window, torch.from_numpy(seen), boxes)], [boxes])
    infer = judge(model, estimator)
    shaken = np.clip(seen + np.random.default_rng(5).integers(-1, 2, seen.shape), 0, 255).astype(np.uint8)

    def mmposes(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        people = [
            one.pred_instances for frame, around in zip(frames, boxes, strict=True) for one in infer(frame, around)
        ]
        points, scores = (np.concatenate([one[name] for one in people]) for name in ("keypoints", "keypoint_scores"))
        return points.reshape(*found.shape[:3], 2), scores.reshape(found.shape[:3])

    (points, scores), (others, _) = mmposes(seen), mmposes(shaken)
    steady = (np.abs(points - others).max(-1) <= 0.5) & (scores > 0)
    assert steady.mean() > 0.7
    np.testing.assert_allclose(found[steady][:, :2], points[steady], atol=0.5)
    np.testing.assert_allclose(found[steady][:, 2], scores[steady], rtol=0.01)


def test_joints_of_a_real_clip_equal_those_of_mmpose(shared: Path):
    """The frames of a real video, one box on a person and one of the whole frame."""
    import av

    with av.open(str(shared / "data" / "videos" / "mmpose_demo.mp4")) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])[:3]
    boxes = whole_frame_boxes(3, 2, (frames.shape[2], frames.shape[1]))
    boxes[:, 1] = (300.5, 50.25, 620, 500)
    assert_equal_to_mmpose(RTMPOSE, frames, boxes, batch=4)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("size", [(192, 256), (256, 256), (288, 384)])
def test_crops_equal_those_of_mmpose(unbiased: bool, size: tuple[int, int]):
    """Every pixel of every crop is that of GetBBoxCenterScale and TopdownAffine."""
    transforms = mmpose_compat.import_module("mmpose.datasets.transforms")
    steps = transforms.GetBBoxCenterScale(), transforms.TopdownAffine(size, use_udp=unbiased)
    window = PersonCropper(*size, unbiased=unbiased)
    [frame] = noise(1)
    for box in boxes_in(20, 1):
        sample = {"img": frame, "bbox": box}
        for step in steps:
            sample = step.transform(sample)
        np.testing.assert_array_equal(window.crop(frame, box[0]), sample["img"])


def test_back_undoes_the_crop():
    """A point painted into a frame is found again at its own place, whatever the box."""
    window = PersonCropper(192, 256)
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[70, 50] = 255
    for box in [(20, 30, 90, 110), (40, 60, 70, 80), (-30, 0, 160, 120)]:
        crop = window.crop(frame, np.array(box, np.float32))[..., 0].astype(np.float64)
        middle = (np.argwhere(crop)[:, ::-1] * crop[crop > 0][:, None]).sum(0) / crop.sum()
        np.testing.assert_allclose(window.to_frame(middle[None, None], np.array([box]))[0, 0], [50, 70], atol=0.6)


def test_a_crop_does_not_depend_on_its_batch(estimator: PoseEstimator):
    """Bit by bit the same joints alone, among others, in another order, and in a batch that is filled up."""
    around = boxes_in(6, 1)
    cut = person_crops(estimator.window, noise(6), around)
    together = estimator.predict(cut, around[:, 0])
    order = np.array([4, 1, 5, 0, 3, 2])
    np.testing.assert_array_equal(estimator.predict(cut[order], around[order, 0]), together[order])
    for one in range(6):
        np.testing.assert_array_equal(estimator.predict(cut[one : one + 1], around[one]), together[one : one + 1])


def test_clips_come_back_apart_and_absent_people_are_zero(estimator: PoseEstimator):
    """Clips of any length in one call; a frame or a place without a person is zero, a clip without people too."""
    boxes = [boxes_in(3, 2, seed=1), boxes_in(2, 2, seed=2), np.full((4, 2, 4), np.nan)]
    boxes[0][1, 0] = np.nan
    boxes[1][0] = np.nan
    cut = [person_crops(estimator.window, noise(len(one)), one) for one in boxes]
    assert [len(one) for one in cut] == [5, 2, 0]
    found = estimator.keypoints(cut, boxes)
    assert [one.shape for one in found] == [(3, 2, 17, 3), (2, 2, 17, 3), (4, 2, 17, 3)]
    there = [one[..., 2].any(-1).tolist() for one in found]
    assert there == [[[True, True], [False, True], [True, True]], [[False, False], [True, True]], [[False] * 2] * 4]
    assert not found[0][1, 0].any()
    np.testing.assert_array_equal(estimator.keypoints(cut[1:2], boxes[1:2])[0], found[1])
    assert estimator.keypoints([cut[2]], [boxes[2]])[0].shape == (4, 2, 17, 3)


def test_crops_may_be_on_the_device_already(estimator: PoseEstimator):
    """Arrays or tensors, the same joints to the bit, also of a clip without people."""
    boxes = [boxes_in(3, 2, seed=1), np.full((2, 2, 4), np.nan)]
    cut = [person_crops(estimator.window, noise(len(one)), one) for one in boxes]
    expected = estimator.keypoints(cut, boxes)
    there = estimator.keypoints([torch.from_numpy(one) for one in cut], boxes)
    for one, other in zip(there, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def save_like_mmpose(path: Path, state) -> None:
    meta = {"dataset_meta": {"sigmas": np.ones(17, np.float32)}, "epoch": 1}
    torch.save({"meta": meta, "state_dict": state}, path)


def test_a_checkpoint_file_is_used(tmp_path: Path, estimator: PoseEstimator):
    """Weights in a file of mmpose's layout: the joints are those of the network that was saved, not of the seed."""
    file = tmp_path / "mine.pth"
    save_like_mmpose(file, mmpose_models.build(RTMPOSE, seed=7).state_dict())
    loaded = PoseEstimator(PoseStage("mmpose", RTMPOSE, weights.sha256(file)), checkpoint=file, batch=4)
    around = boxes_in(2, 1)
    cut = person_crops(loaded.window, noise(2), around)
    expected = PoseEstimator(random_pose(RTMPOSE, seed=7), batch=4).predict(cut, around[:, 0])
    np.testing.assert_array_equal(loaded.predict(cut, around[:, 0]), expected)
    assert not np.array_equal(estimator.predict(cut, around[:, 0]), expected)


def test_wrong_checkpoint_files_are_one_line(tmp_path: Path):
    """Another file than the key says, a file of another network, no file at all."""
    file = tmp_path / "mine.pth"
    save_like_mmpose(file, mmpose_models.build(RTMPOSE).state_dict())
    digest = weights.sha256(file)
    for pose, checkpoint, said in [
        (
            PoseStage("mmpose", RTMPOSE, "0" * 64), file,
            f"{file}: its sha256 begins with {digest[:12]}, the recipe's with 000000000000; "
            "put the old file back, or take pose.checkpoint_sha256 out of the recipe to extract anew",
        ),
        (
            PoseStage("mmpose", HEATMAP, digest), file,
            f"{file}: belongs to another network than mmpose's {HEATMAP}: head.final_layer.weight is 17x384x7x7 in "
            f"the file and 17x256x1x1 in the network; give the weights of mmpose's {HEATMAP}",
        ),
        (
            PoseStage("mmpose", RTMPOSE, digest), None,
            f"pose.checkpoint: the file with sha256 {digest[:12]}… is needed; give its path",
        ),
    ]:  # fmt: skip
        with pytest.raises(WeightsError) as caught:
            PoseEstimator(pose, checkpoint=checkpoint)
        assert str(caught.value) == said


def test_official_weights_come_from_the_folder_or_say_where_to_put_them(tmp_path: Path, monkeypatch):
    """Without a net: the address and the exact path, in one line; with the file put there by hand it works."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    address = mmpose_models.weights_url(RTMPOSE)
    place = tmp_path / "hub" / "checkpoints" / address.rpartition("/")[2]
    with pytest.raises(DownloadError) as caught:
        PoseEstimator(PoseStage("mmpose", RTMPOSE))
    assert str(caught.value) == (
        f"the weights of mmpose's {RTMPOSE} could not be fetched (Connection refused): "
        f"download {address} elsewhere and put it at {place}"
    )
    save_like_mmpose(place, mmpose_models.build(RTMPOSE, seed=7).state_dict())
    assert torch.equal(
        next(PoseEstimator(PoseStage("mmpose", RTMPOSE)).network.parameters()),
        next(PoseEstimator(random_pose(RTMPOSE, seed=7)).network.parameters()),
    )


def test_out_of_memory_halves_the_batch(monkeypatch: pytest.MonkeyPatch):
    """A device that holds two crops at a time: the same joints, from smaller batches, which stay small."""
    around = boxes_in(5, 1)
    estimator = PoseEstimator(random_pose(RTMPOSE), batch=8)
    cut = person_crops(estimator.window, noise(5), around)
    expected = estimator.predict(cut, around[:, 0])
    forward, tried, room = estimator._forward, [], [2]

    def limited(part: torch.Tensor) -> np.ndarray:
        tried.append(len(part))
        if len(part) > room[0]:
            raise torch.cuda.OutOfMemoryError
        return forward(part)

    monkeypatch.setattr(estimator, "_forward", limited)
    np.testing.assert_allclose(estimator.predict(cut, around[:, 0]), expected, rtol=1e-4, atol=1e-3)
    assert tried == [8, 4, 2, 2, 2]
    assert estimator.batch == 2
    room[0] = 0
    with pytest.raises(MachineError) as caught:
        estimator.predict(cut, around[:, 0])
    assert str(caught.value) == "cpu: no memory for a single crop of the pose network; free the device, or use cpu"
