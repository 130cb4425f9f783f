"""A pickle of more than 256 MB: every sequence is read right, and memory grows with the pickle once, not more often."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SHAPE = (2, 3856, 17, 2)  # people, frames, joints, x and y: 1 MB of float32
COUNT = 280

# The memory of a process of its own, which loads the data set and reads three sequences: python load.py PICKLE CACHE
LOAD = """
import json, sys
from pathlib import Path
from star.pipeline import datasets
from star.pipeline.recipe.schema import DatasetSettings

def largest():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10

import star.pipeline.datasets.joints.dataset  # before memory is counted
before, settings = largest(), DatasetSettings(kind="joints", root=Path(sys.argv[1]))
manifest = datasets.load(settings, Path(sys.argv[2]))
grown, seen = largest() - before, {}
for number in (0, 137, len(manifest.videos) - 1):
    video = manifest.videos[number]
    found = datasets.read_annotation("joints", video.media, video.part).keypoints
    seen[video.id] = [list(found.shape), float(found[number, 1, 3, 0]), float(found[..., 0].sum())]
print(json.dumps({"grown": grown, "videos": len(manifest.videos), "seen": seen,
                  "digests": len({video.digest for video in manifest.videos})}))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how large a process was")
@pytest.mark.parametrize("protocol", [4, 5])
def test_a_pickle_of_more_than_256_mb(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "large.pkl"
    with path.open("wb") as file:
        pickler = pickle.Pickler(file, protocol)
        annotations = []
        for number in range(COUNT):
            keypoint = np.zeros(SHAPE, np.float32)  # zeros take no memory until they are written
            keypoint[1, number, 3, 0] = 1000 + number
            annotations.append({"frame_dir": f"v{number}", "label": number % 2, "keypoint": keypoint})
        pickler.dump({"split": {}, "annotations": annotations})
    del annotations
    size = path.stat().st_size
    assert size > 256 << 20
    command = [sys.executable, "-c", LOAD, str(path), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    path.unlink()
    shutil.rmtree(tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["videos"] == found["digests"] == COUNT
    people, frames, joints, _ = SHAPE
    assert found["seen"] == {
        f"v{number}": [[frames, people, joints, 3], 1000 + number, 1000 + number] for number in (0, 137, COUNT - 1)
    }
    assert found["grown"] < 1.3 * size, f"{found['grown'] >> 20} MB for a pickle of {size >> 20} MB"
