"""The networks of an extraction: people whom a detector finds, and their joints, from a film into the cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.stages.decode import open_video
from star.stages.pose import mmpose_compat
from star.stages.pose.detector import Detector
from star.stages.pose.people import link_people, valid_boxes

pytestmark = pytest.mark.filterwarnings("ignore:The metainfo config file")  # mmpose looks in the current folder first

MOBILE, MODEL = "fasterrcnn_mobilenet_v3_large_320_fpn", "drawn-13"


def test_joints_of_detected_people_are_those_of_mmpose(
    drawn: Path, everyone: Path, mmposes_drawn_13: Any, tmp_path: Path
) -> None:
    """From films to cached joints of two people a frame: what inference_topdown finds in the detector's boxes."""
    for name, film in zip(("jump", "wave"), sorted((drawn / "videos").glob("*.mp4")), strict=False):
        (tmp_path / "films" / name).mkdir(parents=True)
        shutil.copy(film, tmp_path / "films" / name)
    path = tmp_path / "star.yaml"
    path.write_text(
        "dataset: {kind: videos, root: films}\ncache: {root: cache}\ndecode: {frames: 6}\n"
        f"pose: {{source: mmpose, model: {MODEL}, detector: {MOBILE}, detector_weights: {everyone}, people: 2}}\n"
    )
    recipe = recipes.load(path)
    extract(recipe, only=("pose",), execution=ExecutionConfig(workers=1), quiet=True)
    stages = plan(recipe).stages
    places = stages["pose"].places
    assert len(places) == 2
    infer = mmpose_compat.import_module("mmpose.apis").inference_topdown
    detector = Detector(MOBILE, everyone)
    for clip, place in places.items():
        [joints] = stages["pose"].stage_store.read([place], "keypoints")
        [index] = stages["decode"].stage_store.read([stages["decode"].places[clip]], "frame_index")
        with open_video(tmp_path / "films" / clip[0]) as video:
            frames = dict(video.frames(sorted(set(index.tolist()))))
        seen = np.stack([frames[number] for number in index.tolist()])
        boxes = link_people(detector.find(seen, (seen.shape[2], seen.shape[1])), 2)
        there = valid_boxes(boxes)
        assert there.any()
        assert not joints[~there].any()
        for t, person in np.argwhere(there):
            [sample] = infer(mmposes_drawn_13, np.ascontiguousarray(seen[t][..., ::-1]), boxes[t, person][None])
            found = sample.pred_instances
            np.testing.assert_allclose(joints[t, person, :, :2], found.keypoints[0], atol=0.5)
            np.testing.assert_allclose(joints[t, person, :, 2], found.keypoint_scores[0], rtol=0.02)
