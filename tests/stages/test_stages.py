"""The list of stages, and what it costs to look at it."""

import json
import subprocess
import sys

from star.stages import STAGES
from star.stages.base import Array


def test_stages_are_in_graph_order():
    """The five stages under their own names, each with described arrays and settings that are plain JSON."""
    assert list(STAGES) == ["decode", "pose", "frames", "backbone", "heatmaps", "tokens"]
    for name, stage in STAGES.items():
        assert stage.name == name
        assert stage.version >= 1
        assert all(isinstance(array, Array) and array.about for array in stage.arrays.values())
        assert json.loads(json.dumps(stage().settings())) == stage().settings()


def test_stages_cost_no_torch():
    """Listing the stages imports no torch, cv2, av, decord or mmpose."""
    heavy = {"torch", "cv2", "av", "decord", "mmpose", "mmengine", "mmcv"}
    script = f"import sys, star.stages; print({heavy} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
