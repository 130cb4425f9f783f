"""A torchvision detector finds people, in px of the original frame, whatever else is in its batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from star.errors import DownloadError, WeightsError
from star.stages.pose.detector import SIDES, Detector, shrunk

MOBILE, RESNET = SIDES


def noise(frames: int) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (frames, 16, 32, 3), np.uint8)
    return coarse.repeat(20, 1).repeat(20, 2)


def test_people_are_found_in_px_of_the_original_frame(everyone: Path):
    """Boxes of shrunk frames are in px of the frames themselves, the surest first, whatever the clip's length.

    Frames may be arrays or tensors that are on the device already.
    """
    detector = Detector(MOBILE, everyone)
    frames = noise(5)
    clip = detector.find(frames, (640, 320))
    assert len(clip) == 5
    assert all(len(one.boxes) > 1 for one in clip)
    assert all((one.boxes[:, 2] <= 640).all() and (np.diff(one.scores) <= 0).all() for one in clip)
    there = detector.find(torch.from_numpy(frames), (640, 320))
    assert all(np.array_equal(a.boxes, b.boxes) for a, b in zip(there, clip, strict=True))
    [last] = detector.find(frames[4:], (1280, 960))
    np.testing.assert_allclose(last.boxes, clip[4].boxes * [2, 3, 2, 3], rtol=1e-5)


def test_random_weights_see_nobody_and_are_a_function_of_the_seed():
    """The untrained network is sure of nothing; no person is no error. The same seed gives the same network."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = (Detector(MOBILE, "random", seed=3) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), second.network.parameters(), strict=True))
    [found] = first.find(noise(1), (640, 320))
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("size", "name", "expected"),
    [
        ((1080, 1920), MOBILE, (320, 569)),
        ((1080, 4000), MOBILE, (173, 640)),
        ((1080, 1920), RESNET, (750, 1333)),
        ((240, 320), MOBILE, (240, 320)),
    ],
)
def test_frames_shrink_to_what_the_network_looks_at(size: tuple[int, int], name: str, expected: tuple[int, int]):
    """Shorter side at most the network's, longer side too, never enlarged."""
    assert shrunk(np.zeros((*size, 3), np.uint8), name).shape == (*expected, 3)


def test_wrong_and_absent_weights_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Weights of another network; official weights without a net, with the place for the file."""
    torch.save({"a.weight": torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError) as caught:
        Detector(MOBILE, tmp_path / "a.pth")
    assert str(caught.value) == (
        f"{tmp_path / 'a.pth'}: belongs to another network than torchvision's {MOBILE}: backbone.body.0.0.weight is "
        f"missing from the file; give the weights of torchvision's {MOBILE}"
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DownloadError) as caught:
        Detector(MOBILE)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
    assert str(caught.value) == (
        f"the weights of torchvision's {MOBILE} could not be fetched (Connection refused): "
        f"download https://download.pytorch.org/models/{name} elsewhere and put it at "
        f"{tmp_path / 'hub' / 'checkpoints' / name}"
    )
