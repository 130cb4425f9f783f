"""The pose head: places out of heat maps, what its loss is, and what a network with one makes by itself."""

import numpy as np
import pytest
import torch

from star.stages.backbone.weights import load
from star.stages.end_to_end import EndToEnd
from star.stages.heatmaps import HeatmapsStage
from star.stages.pose_head import PoseHead, joint_places, pose_losses
from star.stages.tokens import token_channels
from star.stages.transformer import STARTransformer

GRID, JOINTS, FRAMES, SIZE, SIDE = 12, 7, 3, 32, 8


def bells(seed=0, width=120, height=90):
    """Joints (t, 1, n, 3) px inside a frame, and the maps that are cached of them."""
    random = np.random.default_rng(seed)
    joints = np.ones((FRAMES, 1, JOINTS, 3), np.float32)
    joints[..., :2] = random.uniform((15, 12), (width - 16, height - 13), (FRAMES, 1, JOINTS, 2))
    maps = HeatmapsStage(grid=GRID).compute(joints, (width, height), np.array([0.0, 0, width, height]))
    return joints, maps, np.array([width, height])


def test_places_are_the_joints_that_maps_were_made_of():
    """Of the cached maps the places are the joints again, far within a cell; the largest cells are not that near."""
    joints, maps, size = bells()
    found = joint_places(torch.from_numpy(maps)).numpy() / GRID * size - 0.5
    assert np.abs(found - joints[:, 0, :, :2]).max() < 0.02 * (size / GRID).min()
    rows, columns = np.divmod(maps.reshape(FRAMES, JOINTS, -1).argmax(-1), GRID)
    coarse = (np.stack([columns, rows], -1) + 0.5) / GRID * size - 0.5
    assert np.abs(coarse - joints[:, 0, :, :2]).max() > 0.3 * (size / GRID).min()


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (3, 5), (5, 5)])
def test_places_stay_in_their_cell(row, column):
    """On edges and where nothing bends down around the largest cell the place is its centre, and never far from it."""
    maps = torch.zeros(6, 6)
    maps[row, column] = 1
    assert joint_places(maps).tolist() == [column + 0.5, row + 0.5]
    assert joint_places(torch.zeros(6, 6)).tolist() == [0.5, 0.5]


def test_the_loss_is_nothing_for_the_wanted_maps_alone():
    """0 for the maps themselves, each clip by itself, more the farther; a larger map of the same joint is no worse."""
    _, maps, _ = bells()
    wanted = torch.from_numpy(np.stack([maps, maps])).float()
    same = wanted.logit(1e-6)
    other = torch.stack([same[0], same[0].roll(1, -1)])
    found = pose_losses(other, wanted)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(0, abs=1e-4)
    assert found[1] > 1
    assert pose_losses(same.roll(2, -1), wanted)[0] > found[1]
    padded = [
        torch.nn.functional.pad(array, (4, 4, 4, 4), value=value) for array, value in ((other, -30.0), (wanted, 0.0))
    ]
    assert pose_losses(*padded)[1] == pytest.approx(float(found[1]), rel=1e-3)


def test_a_head_that_sees_nothing_anywhere_is_still_taught():
    """Where a map is 0 all over, the gradient at the joint is as large as what is missing there: a squared error behind
    the sigmoid has next to none."""
    _, maps, _ = bells()
    wanted = torch.from_numpy(maps[None]).float()
    logits = torch.full_like(wanted, -12.0, requires_grad=True)
    pose_losses(logits, wanted).sum().backward()
    assert logits.grad is not None
    gradient = logits.grad * FRAMES * JOINTS
    torch.testing.assert_close(gradient, torch.sigmoid(logits.detach()) - wanted, rtol=0, atol=1e-5)
    squared = torch.full_like(wanted, -12.0, requires_grad=True)
    (squared.sigmoid() - wanted).square().sum().backward()
    assert squared.grad is not None
    assert squared.grad.abs().max() < 1e-4 < 0.5 < gradient.abs().max()


def test_what_the_head_is():
    """One map a joint on the local map's cells, near 0.01 before training; its FLOPs are those of its products."""
    head = PoseHead(5, JOINTS)
    maps = head(0.1 * torch.randn(2, FRAMES, 5, SIDE, SIDE)).sigmoid()
    assert maps.shape == (2, FRAMES, JOINTS, SIDE, SIDE)
    assert maps.min() > 0.003 and maps.max() < 0.03
    assert head.flops(FRAMES, SIDE) == 2 * FRAMES * SIDE**2 * (9 * 5 * 128 + 128 * JOINTS)


@pytest.mark.parametrize("form", ["pool", "pool_map", "map", "heatmap", "concat_conv"])
def test_a_network_with_a_head_needs_frames_alone(form):
    """What it says of frames is what it says with its own maps given; gradients of the scores reach the head."""
    special = {"heatmap": {"heatmaps": True, "joint_channels": SIDE**2}, "concat_conv": {"concat_conv": True}}
    channels = {"joint_channels": token_channels(form, 128, SIDE**2)} if form not in special else special[form]
    torch.manual_seed(1)
    transformer = STARTransformer(
        classes=3, joints=JOINTS, frames=2, grid_cells=4, width=16, heads=2, encoder_layers=1, decoder_layers=1,
        **channels,
    )  # fmt: skip
    backbone = load("random", model="mc3_18", size=SIZE)
    whole = EndToEnd("mc3_18", ("layer4", "layer2"), form, backbone, transformer, PoseHead(128, JOINTS)).eval()
    assert whole.inputs == ("frames",)
    frames = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 2, SIZE, SIZE, 3), np.uint8))
    maps = []
    scores = whole(frames, watch=maps.append)
    torch.testing.assert_close(whole(frames, maps[0].sigmoid()), scores)
    assert not torch.equal(whole(frames, torch.rand_like(maps[0])), scores)
    scores.square().sum().backward()
    reached = {name for name, weight in whole.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert {"pose_head.maps.weight", "pose_head.around.weight"} <= reached
    with torch.autocast("cpu", torch.bfloat16):
        halves = whole.arrays(frames)
    assert all(array.isfinite().all() for array in halves.values())
