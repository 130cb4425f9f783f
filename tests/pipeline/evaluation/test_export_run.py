"""ONNX files of a run: metadata, each beginning equal to star, and the example that needs onnxruntime alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import star as package
from star.pipeline import datasets

onnxruntime = pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "onnx_scores.py"


def exported(star: Callable, run: Path, out: Path, beginning: str) -> Any:
    result = star("export", "--run", run, "--from", beginning, "-o", out)
    assert result.exit_code == 0, result.output
    return onnxruntime.InferenceSession(str(out))


@pytest.fixture(scope="module")
def joints_run(extracted: Path, tmp_path_factory: pytest.TempPathFactory, star: Callable) -> Path:
    """A run on annotated joints alone."""
    run = tmp_path_factory.mktemp("joints") / "run"
    settings = ("--set", "tokens.form=heatmap", "--set", "model.modalities=joint")
    assert star("train", extracted, "--run", run, *settings).exit_code == 0
    return run


@pytest.mark.parametrize("beginning", ["tokens", "features", "joints"])
def test_each_beginning_gives_star_s_scores(
    annotated_run: Path, extracted: Path, tmp_path: Path, star: Callable, beginning: str
) -> None:
    """On the cached arrays of the data set, for any number of clips."""
    session = exported(star, annotated_run, tmp_path / "star.onnx", beginning)
    recipe = package.load_recipe(extracted)
    data = package.FeatureDataset(recipe, "test", arrays=["global_grid", "local_map", "joint_heatmap", "joint_map"])
    planned = package.plan(recipe)
    clips = [(name, 0) for name in data.videos[:5]]
    arrays = {
        name: np.stack(planned.stages[stage].read(clips, name)).astype(np.float32)
        for stage, names in {
            "backbone": ("global_grid", "local_map"), "heatmaps": ("joint_heatmap",), "tokens": ("joint_map",),
            "pose": ("keypoints",), "decode": ("frame_size",),
        }.items()
        for name in names
    }  # fmt: skip
    wanted = [one.name for one in session.get_inputs()]
    (found,) = session.run(["logits"], {name: arrays[name] for name in wanted})
    import torch

    network = package.load_run(annotated_run).network()
    with torch.no_grad():
        expected = network(**{name: torch.from_numpy(arrays[name]) for name in network.inputs}).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3 if beginning != "tokens" else 1e-5)
    assert (found.argmax(-1) == expected.argmax(-1)).all()


def test_the_file_says_what_it_takes(joints_run: Path, tmp_path: Path, star: Callable) -> None:
    session = exported(star, joints_run, tmp_path / "star.onnx", "joints")
    metadata = session.get_modelmeta().custom_metadata_map
    how = json.loads(metadata["preprocessing"])
    assert json.loads(metadata["classes"]) == list(package.load_run(joints_run).classes)
    assert how["begins_with"] == "joints" and how["frames"] == {"count": 16, "sampling": "segments"}
    assert how["joints"]["layout"]["name"] == "penn_action" and len(how["joints"]["layout"]["joints"]) == 13
    assert how["heatmaps"]["size"] == 8 and how["heatmaps"]["sigma"] == 1.0 and how["crop"]["crop"] == "person"
    assert how["inputs"] == {"keypoints": [16, 1, 13, 3], "frame_size": [2]}
    assert [one.name for one in session.get_inputs()] == list(how["inputs"])


def test_the_example_is_star(joints_run: Path, drawn: Path, tmp_path: Path, star: Callable) -> None:
    """Twenty lines and onnxruntime, in a folder with nothing of star: the scores of `star predict`."""
    model, joints = tmp_path / "joints.onnx", tmp_path / "joints.npy"
    exported(star, joints_run, model, "joints")
    recipe = package.load_run(joints_run).recipe
    manifest = package.plan(recipe).manifest
    video = next(video for video in manifest.videos if video.split == "test")
    assert video.annotation is not None
    annotation = datasets.read_annotation("drawn", video.annotation)
    np.save(joints, annotation.joints(occluded=False))
    shutil.copy(EXAMPLE, tmp_path)
    done = subprocess.run(
        [sys.executable, "onnx_scores.py", model.name, joints.name, "96", "80"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()]
    [answer] = json.loads(star("predict", video.media, "--run", joints_run, "--json").stdout)
    assert [name for _, name in lines] == [top["class"] for top in answer["top"]]
    found = [float(score) for score, _ in lines]
    assert found == pytest.approx([top["probability"] for top in answer["top"]], abs=2e-4)
    code = [line for line in EXAMPLE.read_text().split('"""')[2].splitlines() if line.strip()]
    assert len(code) <= 20 and "star" not in "\n".join(line for line in code if "import" in line)


def test_a_network_without_joints_begins_with_its_grid(extracted: Path, tmp_path: Path, star: Callable) -> None:
    run = tmp_path / "run"
    assert star("train", extracted, "--run", run, "--set", "model.modalities=global").exit_code == 0
    result = star("export", "--run", run, "--from", "joints", "-o", tmp_path / "star.onnx")
    assert result.exit_code == 2 and "this network takes no joints" in result.output
