"""The network with its tokens, heat maps and crop in torch gives what the stages and the network give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from star.stages.cropping import Crop
from star.stages.heatmaps import HeatmapsStage
from star.stages.onnx_modules import FeaturesToScores, JointsToScores, joint_heatmaps, joint_tokens, region
from star.stages.tokens import TokensStage
from star.stages.transformer import STARTransformer

SIZES = [(320, 240), (97, 201), (64, 64)]


def clips(seed: int, people: int = 2) -> np.ndarray:
    """Joints (3, 4, people, 5, 3), some outside the frame, some absent; nobody in the last clip."""
    random = np.random.default_rng(seed)
    joints = random.uniform(-20, 240, (3, 4, people, 5, 3)).astype(np.float32)
    joints[..., 2] = random.uniform(-0.2, 1, joints.shape[:-1])
    joints[random.random(joints.shape[:-1]) < 0.2] = 0
    joints[2, ..., 2] = 0
    return joints


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("crop", [Crop(), Crop("person"), Crop("person", margin=0.4)])
@pytest.mark.parametrize(("people", "floor"), [("merge", 0.0), ("separate", 0.3)])
@pytest.mark.parametrize("limbs", [(), ((0, 1), (4, 2))])
def test_regions_and_heat_maps_are_the_stage_s(
    seed: int, crop: Crop, people: str, floor: float, limbs: tuple[tuple[int, int], ...]
) -> None:
    stage = HeatmapsStage(sigma=0.8, score_floor=floor, people=people, grid=7, crop=crop, limbs=limbs)
    joints, size = clips(seed), SIZES[seed % 3]
    sizes = torch.tensor([size] * 3, dtype=torch.float64)
    boxes = region(crop, torch.from_numpy(joints).double(), sizes)
    found = joint_heatmaps(stage, torch.from_numpy(joints).double(), sizes, boxes)
    for clip, box, maps in zip(joints, boxes.numpy(), found.numpy(), strict=True):
        expected = crop.region(clip, size, "video", 0)
        assert np.array_equal(box, expected)
        exact = stage.compute(clip, size, expected)
        assert np.array_equal(maps.astype(np.float16), exact) if not limbs else np.allclose(maps, exact, atol=6e-4)


@pytest.mark.parametrize("form", ["pool", "pool_map", "map"])
def test_tokens_are_the_stage_s(form: str) -> None:
    random = np.random.default_rng(0)
    local = random.normal(size=(2, 4, 6, 5, 5)).astype(np.float16)
    heat = np.maximum(random.normal(size=(2, 4, 3, 5, 5)), 0).astype(np.float16)
    heat[0, 0, 1] = 0
    found = joint_tokens(form, torch.from_numpy(local).float(), torch.from_numpy(heat).float()).numpy()
    np.testing.assert_allclose(found, TokensStage(form=form).compute(local, heat).astype(np.float32), atol=2e-3)


def test_inputs_are_what_the_network_needs() -> None:
    sizes = {"classes": 3, "frames": 4, "width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
    both = STARTransformer(joints=5, grid_channels=6, grid_cells=4, joint_channels=25, **sizes)
    assert FeaturesToScores(both, "map").inputs == ("global_grid", "local_map", "joint_heatmap")
    alone = STARTransformer(joints=5, joint_channels=25, modalities="joint", heatmaps=True, **sizes)
    assert FeaturesToScores(alone, "heatmap").inputs == ("joint_heatmap",)
    stage = HeatmapsStage(grid=5)
    assert JointsToScores(alone, "heatmap", stage).inputs == ("keypoints", "frame_size")
    logits, scores = JointsToScores(alone, "heatmap", stage)(
        keypoints=torch.from_numpy(clips(0)), frame_size=torch.tensor([[320.0, 240.0]] * 3)
    )
    assert logits.shape == scores.shape == (3, 3)
    assert torch.allclose(scores.sum(-1), torch.ones(3)) and torch.equal(logits.softmax(-1), scores)
