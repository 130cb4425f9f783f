"""`heatmaps.of: limbs`: PoseC3D's second stream, from the cache to two runs judged together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

import star as package
from star.cli import main
from star.errors import RecipeError
from star.pipeline.training.augmentation import check
from star.stages.skeletons import PENN_ACTION, SKELETONS

BARE = ("tokens.form=heatmap", "model.modalities=joint")
LIMBS = (*BARE, "heatmaps.of=limbs")


def settings(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def star(*words: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, [*map(str, words)])


def done(*words: object) -> str:
    """Run a command that ends well; its standard output."""
    result = star(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_two_streams_of_one_data_set(small: Path, tmp_path: Path) -> None:
    """Only heat maps are made anew, one for each limb; a run of them predicts, and is judged with the other."""
    made = done("extract", small, "-q", *settings(*LIMBS))
    assert [line.split()[0] for line in made.splitlines()[1:3] if line] == ["heatmaps"]
    joints, limbs = tmp_path / "joints", tmp_path / "limbs"
    done("train", small, "--run", joints, "-q", *settings(*BARE))
    done("train", small, "--run", limbs, "-q", *settings(*LIMBS))
    features = package.FeatureDataset(package.load_run(limbs).recipe, split="test")
    assert features[0]["joint_heatmap"].shape[1] == len(PENN_ACTION.limbs)
    found = json.loads(done("test", small, "--run", joints, "--run", limbs, "-q", "--json"))
    assert len(found["runs"]) == 2
    video = min((package.load_run(limbs).recipe.dataset.root / "videos").glob("*.mp4"))
    [answer] = json.loads(done("predict", video, "--run", limbs, "--json"))
    assert len(answer["top"]) == 5


def test_the_exported_network_makes_the_maps_itself(small: Path, tmp_path: Path) -> None:
    """From joints in pixels to the scores that the cached maps of limbs give."""
    session = pytest.importorskip("onnxruntime").InferenceSession
    done("extract", small, "-q", *settings(*LIMBS))
    run, model = tmp_path / "run", tmp_path / "limbs.onnx"
    done("train", small, "--run", run, "-q", *settings(*LIMBS))
    done("export", "--run", run, "--from", "joints", "-o", model)
    network, loaded = session(str(model)), package.load_run(run)
    how = json.loads(network.get_modelmeta().custom_metadata_map["preprocessing"])
    assert how["inputs"]["keypoints"] == [16, 1, 13, 3] and len(how["heatmaps"]["limbs"]) == len(PENN_ACTION.limbs)
    clips = [(name, 0) for name in package.FeatureDataset(loaded.recipe, "test").videos[:5]]
    stages = package.plan(loaded.recipe).stages
    keypoints, sizes, maps = (
        np.stack(stages[stage].read(clips, name)).astype(np.float32)
        for stage, name in (("pose", "keypoints"), ("decode", "frame_size"), ("heatmaps", "joint_heatmap"))
    )
    (found,) = network.run(["logits"], {"keypoints": keypoints, "frame_size": sizes})
    with torch.no_grad():
        expected = loaded.network()(joint_heatmap=torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ("pose.source=mmpose", "heatmaps.of=limbs"),
            "heatmaps.of: limbs: which joints there are must be known; set po",
        ),
        (
            ("heatmaps.of=limbs", "model.pose_head=true", "backbone.crop=frame"),
            "model.pose_head: true: heatmaps.of: limbs: it makes maps of joints; set it to joints",
        ),
    ],
)
def test_what_limbs_cannot_have_is_one_line(small: Path, tmp_path: Path, overrides: tuple[str, ...], told: str) -> None:
    result = star("train", small, "--run", tmp_path / "run", *settings(*overrides))
    assert result.exit_code == 2 and told in result.stderr and result.stderr.count("\n") == 1


def test_a_limb_is_not_turned(small: Path) -> None:
    """A Gaussian is turned by moving it; a limb would keep its direction."""
    recipe = package.load_recipe(small, **{"heatmaps.of": "limbs", "train.augment.rotation": 10})
    with pytest.raises(RecipeError, match=r"train.augment.rotation: heatmaps.of: limbs: .*; set it to 0"):
        check(recipe)


@pytest.mark.parametrize("layout", SKELETONS.values(), ids=lambda layout: layout.name)
def test_every_layout_has_limbs(layout) -> None:
    """Pairs of its own joints, none twice; the mirrored body has the same limbs."""
    limbs = {frozenset(limb) for limb in layout.limbs}
    assert len(limbs) == len(layout.limbs) > 0
    assert all(len(limb) == 2 and max(limb) < len(layout.joints) for limb in limbs)
    other = {joint: twin for pair in layout.flip_pairs for joint, twin in (pair, pair[::-1])}
    assert {frozenset(other.get(joint, joint) for joint in limb) for limb in limbs} == limbs
