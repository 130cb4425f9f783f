"""What a network's head sees of each clip, as arrays and as a picture.

RUN/test/embeddings.npz   video, view, label, embedding (c, d); classes      RUN/test/embeddings.png   one point a video
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..utils.atomic import replace_bytes
from ..visualization.plots import embeddings_picture
from .results import EvaluationResult


def write_embeddings(folder: Path, evaluation: EvaluationResult, points: np.ndarray) -> None:
    """Write both. points: (clips, d), in the order of the evaluation's clips. Raises StorageError."""
    clips, content = evaluation.clips, io.BytesIO()
    np.savez_compressed(
        content,
        video=np.array(clips.videos, dtype=str),
        view=np.array(clips.views, dtype=np.int32),
        label=clips.labels.astype(np.uint8 if clips.labels.ndim == 2 else np.int32),
        embedding=points.astype(np.float32),
        classes=np.array(evaluation.classes, dtype=str),
    )
    replace_bytes(folder / "embeddings.npz", content.getvalue())
    number = {video: index for index, video in enumerate(evaluation.videos)}
    sums = np.zeros((len(number), points.shape[1]))
    np.add.at(sums, [number[video] for video in clips.videos], points)
    counts = np.bincount([number[video] for video in clips.videos], minlength=len(number))
    plane, shares = principal_plane(sums / counts[:, None])
    right = evaluation.place == 0
    picture = embeddings_picture(plane, shares, evaluation.labels, right, evaluation.classes)
    replace_bytes(folder / "embeddings.png", picture)


def principal_plane(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (v, d) on the plane in which they spread most: (v, 2), and the share of the variance along each axis."""
    centred = points - points.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(points), 2))
    spread = values**2 / max(float((values**2).sum()), 1e-30)
    count = min(2, len(values))
    plane[:, :count] = left[:, :count] * values[:count]
    return plane, np.pad(spread[:count], (0, 2 - count))
