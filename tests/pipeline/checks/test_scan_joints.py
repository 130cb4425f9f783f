"""`star scan` says what it took files of joints for: format, layout, people, frames, units; one data set each."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from star.cli import main
from star.stages.skeletons import COCO

FRAMES = 20


def person(joints: int) -> np.ndarray:
    """(N, 3): somebody in a picture of 100 × 100, every joint at a place of its own."""
    return np.array([[20 + 2 * joint, 10 + 80 * joint / joints, 0.9] for joint in range(joints)])


def flat(joints: int) -> list[float]:
    return person(joints).ravel().tolist()


def npz(path: Path) -> Path:
    np.savez(path.with_suffix(".npz"), keypoints=np.repeat(person(17)[None], FRAMES, 0), skeleton="coco")
    return path


def npz_in_space(path: Path) -> Path:
    places = np.random.default_rng(0).normal(size=(FRAMES, 25, 3))
    np.savez(path.with_suffix(".npz"), positions=places, skeleton="ntu")
    return path


def dump(path: Path, document: object) -> Path:
    path.with_suffix(".json").write_text(json.dumps(document))
    return path


def coco(path: Path) -> Path:
    images = [{"id": k, "file_name": f"{k:06d}.jpg", "width": 100, "height": 100} for k in range(FRAMES)]
    joints = person(17)
    joints[:, 2] = 2
    rows = [{"image_id": k, "keypoints": joints.ravel().tolist(), "category_id": 1} for k in range(FRAMES)]
    return dump(path, {"images": images, "annotations": rows, "categories": [{"id": 1, "keypoints": COCO.joints}]})


def mmpose(path: Path) -> Path:
    one = {"keypoints": person(17)[:, :2].tolist(), "keypoint_scores": person(17)[:, 2].tolist()}
    return dump(path, {"instance_info": [{"frame_id": k, "instances": [one]} for k in range(FRAMES)]})


def openpose(path: Path) -> Path:
    path.mkdir()
    other = (person(25) + np.array([40, 0, 0])).ravel().tolist()
    document = {"people": [{"pose_keypoints_2d": flat(25)}, {"pose_keypoints_2d": other}]}
    for k in range(FRAMES):
        (path / f"v_{k:012d}_keypoints.json").write_text(json.dumps(document))
    return path


def alphapose(path: Path) -> Path:
    return dump(path, [{"image_id": f"{k}.jpg", "keypoints": flat(26), "idx": 1, "score": 2.0} for k in range(FRAMES)])


def mediapipe(path: Path) -> Path:
    rows = [[x / 100, y / 100, 0, s] for x, y, s in person(33)]
    return dump(path, {"width": 100, "height": 100, "frames": [rows] * FRAMES})


def kinetics(path: Path) -> Path:
    pose = (person(18)[:, :2] / [340, 256]).ravel().tolist()
    rows = [{"frame_index": k + 1, "skeleton": [{"pose": pose, "score": [0.9] * 18}]} for k in range(FRAMES)]
    return dump(path, {"data": rows, "label": "x"})


def nw_ucla(path: Path) -> Path:
    return dump(path, {"file_name": path.name, "skeletons": np.ones((FRAMES, 20, 3)).tolist(), "label": 1})


def ntu(path: Path) -> Path:
    points = [f"0.2 0.1 3.8 277.4 191.8 {100 + k} {200 + k} -0.1 0.03 0.98 0.05 2" for k in range(25)]
    body = ["72057594037931101 0 1 1 1 1 0 0.02 -0.2 2", "25", *points]
    path.with_suffix(".skeleton").write_text("\n".join([str(FRAMES), *(["1", *body] * FRAMES)]) + "\n")
    return path


def penn(path: Path) -> Path:
    x, y = (np.tile(person(13)[:, axis], (FRAMES, 1)) for axis in (0, 1))
    fields = {"action": "squat", "train": 1, "pose": "front", "x": x, "y": y, "visibility": np.ones((FRAMES, 13))}
    savemat(path.with_suffix(".mat"), fields | {"dimensions": [[100, 100, FRAMES]], "bbox": np.ones((FRAMES, 4))})
    return path


def classes(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A folder per class, one file in each."""

    def made(root: Path) -> Path:
        for name in ("bow", "wave"):
            (root / name).mkdir(parents=True)
            write(root / name / "a")
        return root

    return made


def pyskl(root: Path) -> Path:
    keypoint = np.repeat(person(17)[None, None, :, :2], FRAMES, 1)
    rows = [{"frame_dir": n, "label": k, "img_shape": (100, 100), "keypoint": keypoint} for k, n in enumerate("ab")]
    root.with_suffix(".pkl").write_bytes(pickle.dumps({"split": {"train": ["a"], "val": ["b"]}, "annotations": rows}))
    return root.with_suffix(".pkl")


PIXELS, SPACE = ["pixels"], ["three dimensions, in units of pose.scale pixels"]


@pytest.mark.parametrize(
    ("write", "format_", "layout", "joints", "people", "units"),
    [
        (classes(npz), "star's .npz", "coco", 17, 1, PIXELS),
        (classes(npz_in_space), "star's .npz", "ntu", 25, 1, SPACE),
        (classes(coco), "COCO keypoint JSON", "coco", 17, 1, PIXELS),
        (classes(mmpose), "mmpose Inferencer JSON", "coco", 17, 1, PIXELS),
        (classes(openpose), "OpenPose JSON", "openpose_25", 25, 2, PIXELS),
        (classes(alphapose), "AlphaPose JSON", "halpe26", 26, 1, PIXELS),
        (classes(mediapipe), "MediaPipe JSON", "blazepose_33", 33, 1, PIXELS),
        (classes(kinetics), "Kinetics-skeleton JSON", "openpose_18", 18, 1, PIXELS),
        (classes(nw_ucla), "Northwestern-UCLA JSON", "kinect_v1", 20, 1, SPACE),
        (classes(ntu), "NTU RGB+D .skeleton", "ntu", 25, 1, PIXELS),
        (classes(penn), "Penn Action .mat", "penn_action", 13, 1, PIXELS),
        (pyskl, "pyskl pickle", "coco", 17, 1, PIXELS),
    ],
)
def test_scan_says_what_it_understood(
    tmp_path: Path, write: Callable[[Path], Path], format_: str, layout: str, joints: int, people: int, units: list[str]
) -> None:
    root = write(tmp_path / "data")
    recipe = tmp_path / "star.yaml"
    init = CliRunner().invoke(main, ["init", "joints", "--root", str(root), "--cache", str(tmp_path / "cache")])
    assert init.exit_code == 0, init.output
    recipe.write_text(init.stdout)
    found = json.loads(CliRunner().invoke(main, ["scan", str(recipe), "--json", "-q", "--workers", "1"]).stdout)
    assert found["failing"] == 0
    assert found["understood"] == {
        "formats": [format_], "layout": layout, "joints": joints, "people": people, "frames": [FRAMES, FRAMES],
        "dimensions": [3 if units == SPACE else 2], "units": units,
    }  # fmt: skip
    said = CliRunner().invoke(main, ["scan", str(recipe), "-q", "--workers", "1"]).stdout.splitlines()
    assert said[1] == (
        f"joints: {format_}; layout {layout}, {joints} joints in {units[0]}, at most {people} at a time, "
        f"{FRAMES} frames"
    )
