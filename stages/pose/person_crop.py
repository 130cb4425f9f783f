"""The window that a top-down pose network looks through at one person, and the way back to the frame.

Equal to mmpose's GetBBoxCenterScale, TopdownAffine and the end of TopdownPoseEstimator, without their bookkeeping;
needs no mmpose and no torch, so the process that decodes a video can cut its crops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PersonCropper:
    """The box of a person, widened and brought to a network's input.

    width, height: of the input, px. padding: how many times the box's size is shown (mmpose: 1.25).
    unbiased: distances count between pixel centres instead of edges (UDP, CVPR 2020, arXiv 1911.07524, section 3).
    """

    width: int
    height: int
    padding: float = 1.25
    unbiased: bool = False

    def crop(self, frame: np.ndarray, box: np.ndarray) -> np.ndarray:
        """The crop (height, width, 3) uint8 of a frame (h, w, 3) around a box (4,) x0 y0 x1 y1 px.

        Black outside the frame; the channels stay in the frame's order.
        """
        import cv2

        return cv2.warpAffine(frame, self.affine(box), (self.width, self.height), flags=cv2.INTER_LINEAR)

    def affine(self, box: np.ndarray) -> np.ndarray:
        """(2, 3): frame px -> input px around a box (4,), pixel centres at whole numbers; off the diagonal 0."""
        import cv2

        centre, size = self._shown(box)
        ends = np.array([self.width, self.height], np.float32)
        if self.unbiased:
            scale = (ends - 1) / size
            shift = scale * (0.5 * size - centre)
            return np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]], np.float32)
        # Three points fix the map: the centre, the middle of the left edge, and one a quarter turn below that.
        half = np.array([[0, 0], [-0.5, 0], [-0.5, 0.5]], np.float32)
        return cv2.getAffineTransform(centre + half * size[0], ends * np.float32(0.5) + half * ends[0])

    def to_frame(self, points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Points (k, n, 2) px of k crops, as px of the frames from which the boxes (k, 4) were cut; float32."""
        centre, size = self._shown(boxes)
        corner = centre - 0.5 * size
        return (points / (self.width, self.height) * size[:, None] + corner[:, None]).astype(np.float32)

    def _shown(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centre and size (..., 2) float32 of what is shown of each box: padded, then grown to the input's shape."""
        boxes = np.asarray(boxes, np.float32)
        size = (boxes[..., 2:] - boxes[..., :2]) * np.float32(self.padding)
        shape = np.float32(self.width / self.height)
        width = np.maximum(size[..., 0], size[..., 1] * shape)
        height = np.maximum(size[..., 1], size[..., 0] / shape)
        return (boxes[..., 2:] + boxes[..., :2]) * np.float32(0.5), np.stack([width, height], -1)
