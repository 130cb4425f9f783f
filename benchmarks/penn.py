"""A small data set laid out as Penn Action is, drawn by star: what `extract_penn.py` reads if given no path."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from star.pipeline.datasets.penn_action import CLASSES
from star.pipeline.datasets.synthetic.render import DrawnClip, shoot

SIZE, FRAMES, QUALITY = (480, 360), (50, 90), 95  # Penn Action: at most 480 px wide, 70 frames in the mean


def draw(root: Path, count: int, workers: int = 1) -> Path:
    """Write frames/0001/000001.jpg and labels/0001.mat for so many sequences, in so many processes; returns ROOT."""
    (root / "labels").mkdir(parents=True)
    sequences = [(root, number) for number in range(count)]
    if workers == 1:
        for sequence in sequences:
            _draw_sequence(*sequence)
        return root
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_draw_sequence, *zip(*sequences, strict=True)))
    return root


def _draw_sequence(root: Path, number: int) -> None:
    split = "test" if number % 2 else "train"
    frames, joints = shoot(DrawnClip("wave", number, split, f"{split}-{number}", 0, FRAMES, SIZE))
    folder = root / "frames" / f"{number + 1:04}"
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames, 1):
        name = str(folder / f"{index:06}.jpg")
        cv2.imwrite(name, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    savemat(root / "labels" / f"{folder.name}.mat", _label(joints[:, 0], CLASSES[number % len(CLASSES)], split))


def _label(joints: np.ndarray, action: str, split: str) -> dict[str, object]:
    """joints (F, 13, 3): x px, y px, seen -> the fields of a label file, counted from 1 as MATLAB does."""
    x, y, seen = np.moveaxis(joints.astype(np.float64), -1, 0)
    low, high = (
        np.stack([way(np.where(seen > 0, axis, blank), axis=1) for axis in (x, y)], axis=1)
        for way, blank in ((np.min, np.inf), (np.max, -np.inf))
    )
    return {
        "action": action,
        "pose": "front",
        "train": 1 if split == "train" else -1,
        "x": x + 1,
        "y": y + 1,
        "visibility": (seen > 0).astype(np.uint8),
        "bbox": np.concatenate([low, high], axis=1) + 1,
        "nframes": len(joints),
        "dimensions": [SIZE[1], SIZE[0], len(joints)],
    }
