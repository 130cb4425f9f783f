"""Northwestern-UCLA (Wang et al., CVPR 2014) as it goes round: one JSON per sequence.

    {"file_name": "a01_s01_e00_v01", "skeletons": F x 20 x 3 metres of the camera, "label": 1 to 10}

The name says action, subject, repetition and camera; the published split trains on cameras 1 and 2 and tests on 3.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ....stages.skeletons import KINECT_V1
from ..base import Annotation
from .json_file import numbers, scored

NAME = "Northwestern-UCLA JSON"
SAMPLE = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)")
ACTIONS = {
    "01": "pick up with one hand", "02": "pick up with two hands", "03": "drop trash", "04": "walk around",
    "05": "sit down", "06": "stand up", "08": "donning", "09": "doffing", "11": "throw", "12": "carry",
}  # fmt: skip
TEST_CAMERA = "03"
RATE = 30.0  # Kinect's; the files do not say


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format."""
    return isinstance(document, dict) and {"file_name", "skeletons"} <= document.keys()


def read_document(document: Any, path: Path) -> Annotation:
    """The 20 joints of one body: (F, 1, 20, 4) x, y, z in metres, score 1. Raises AnnotationError."""
    places = numbers(document["skeletons"], path, "skeletons", -1, len(KINECT_V1.joints), 3)
    return Annotation(scored(places)[:, None], skeleton=KINECT_V1, rate=RATE)


def about(name: str) -> tuple[str, str, tuple[tuple[str, str], ...]] | None:
    """Label, split and groups of a sequence by its name, None where it is not named like one."""
    found = SAMPLE.fullmatch(name)
    if found is None or found[1] not in ACTIONS:
        return None
    action, subject, _, camera = found.groups()
    split = "test" if camera == TEST_CAMERA else "train"
    return ACTIONS[action], split, (("subject", f"s{subject}"), ("camera", f"v{camera}"))
