"""Joints as a pickle that pyskl and mmaction2 read: see `pyskl` for what is in it.

Arrays are written by the names that numpy had before its version 2, which old and new numpy know. Three keys are
star's own, and passed over elsewhere: "classes" (names of the labels), "joints" (names of the joints), "format".
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....stages.skeletons import Skeleton
from ..base import Annotation, extent

FORMAT = "star joints 1"
PROTOCOL = 3  # any Python 3; what it names stands in it as text
NEW, OLD = b"cnumpy._core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\n_reconstruct\n"


def sample(
    name: str, labels: Sequence[int], annotation: Annotation, size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """One sequence. labels: none, one or several. size: of the frames, px, where the annotation does not know it.

    keypoint is (people, frames, joints, 2 or 3) float32, keypoint_score (people, frames, joints).
    """
    keypoints = np.ascontiguousarray(annotation.keypoints.swapaxes(0, 1), np.float32)
    width, height = annotation.size or size or (extent(annotation) if not annotation.is_spatial else (0, 0))
    found = {
        "frame_dir": name, "label": list(labels) if len(labels) > 1 else labels[0] if labels else -1,
        "total_frames": keypoints.shape[1],
        "keypoint": np.ascontiguousarray(keypoints[..., :-1]),
        "keypoint_score": np.ascontiguousarray(keypoints[..., -1]),
    }  # fmt: skip
    shape = {"img_shape": (int(height), int(width)), "original_shape": (int(height), int(width))}
    return found | (shape if width and height else {})


def content(
    annotations: Sequence[Mapping[str, Any]],
    splits: Mapping[str, Sequence[str]],
    classes: Sequence[str],
    skeleton: Skeleton | None,
) -> bytes:
    """The pickle of these sequences, as `sample` makes them. splits: "train", "val", "test" -> names of sequences."""
    document: dict[str, Any] = {"format": FORMAT, "classes": list(classes)}
    document |= {"joints": list(skeleton.joints)} if skeleton else {}
    document |= {"split": {name: list(names) for name, names in splits.items()}, "annotations": list(annotations)}
    written = pickle.dumps(document, PROTOCOL)
    return written.replace(NEW, OLD, 1)  # named once, before the first array; after that the pickle refers to it
