"""The networks that extraction runs, built when they are first needed and kept for the life of the process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...errors import VideoError
from ...stages.pose.person_crop import PersonCropper
from ...stages.skeleton_mapping import joint_sources
from ...stages.skeletons import SKELETONS
from ..planning.plan import Clip
from ..planning.source_changes import Digests
from ..planning.stage_graph import Graph, weights_file
from ..recipe.schema import Recipe
from .video_task import Arrays, VideoResult, stored

if TYPE_CHECKING:
    from torch import Tensor

    from ...stages.backbone.stage import BackboneNetwork
    from ...stages.pose.detector import Detector
    from ...stages.pose.estimator import PoseEstimator

BLACK = 64  # px: the side of the picture on which a detector is tried


@dataclass
class ClipState:
    """One clip on its way through the stages: the arrays it has so far, its frames, the digests of its bytes.

    slot: where the frames are in shared memory, to be given back once they were used. error: what went wrong with this
    clip after it was read, and in which stage (`failed_in`).
    """

    clip: Clip
    arrays: Arrays
    digests: Digests
    frames: np.ndarray | None = None
    read: VideoResult | None = None
    slot: int | None = None
    error: VideoError | None = None
    failed_in: str = ""


class Models:
    """The networks of a recipe on a device (torch's name of it)."""

    def __init__(self, recipe: Recipe, graph: Graph, device: str) -> None:
        self.recipe, self.graph, self.device = recipe, graph, device

    @cached_property
    def device_name(self) -> str:
        """What the device is, for the provenance."""
        import torch

        return torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else "cpu"

    @property
    def window(self) -> PersonCropper:
        """How people are cut out of frames for the pose network; known before it is built."""
        from ...stages.pose.mmpose_models import window

        return window(self.recipe.pose.model)

    def prepare(self, *, estimator: bool, detector: bool, network: bool) -> None:
        """Build what will be needed and is not there yet, in the caller's thread."""
        for name, needed in (("estimator", estimator), ("detector", detector), ("network", network)):
            if needed:
                getattr(self, name)

    @cached_property
    def network(self) -> BackboneNetwork:
        """The video network: frames (b, T, size, size, 3) uint8 -> its arrays."""
        from ...stages.backbone.stage import BackboneNetwork

        settings = self.recipe.backbone
        file = weights_file(settings.weights)
        return BackboneNetwork(self.graph["backbone"].stage, file=file, device=self.device, batch=settings.batch)

    @cached_property
    def estimator(self) -> PoseEstimator:
        """The pose network."""
        from ...stages.pose.estimator import PoseEstimator

        settings = self.recipe.pose
        file = weights_file(settings.checkpoint)
        network = PoseEstimator(self.graph["pose"].stage, checkpoint=file, device=self.device, batch=settings.batch)
        if settings.layout != "own":
            joint_sources(network.skeleton, SKELETONS[settings.layout])  # refused now, not after the first videos
        return network

    @cached_property
    def detector(self) -> Detector:
        """The network that looks for people."""
        from ...stages.pose.detector import Detector

        settings = self.recipe.pose
        source = weights_file(settings.detector_weights) or settings.detector_weights
        return Detector(settings.detector, source, seed=settings.seed, device=self.device)

    def estimate(self, batch: list[ClipState]) -> None:
        """Give every clip its keypoints (T, people, N, 3), by one batched call for all of them."""
        boxes, crops = zip(*(self._seen(state) for state in batch), strict=True)
        for state, found in zip(batch, self.estimator.keypoints(crops, boxes), strict=True):
            layout = SKELETONS.get(self.recipe.pose.layout)
            state.arrays["keypoints"] = stored(found, state.arrays, self.estimator.skeleton, layout)

    def try_backbone(self) -> None:
        """Run the video network on one black clip. Raises whatever it raises."""
        frames = self.recipe.decode.frames
        self.network.run(self.network.allocate_clips(frames), self.network.allocate_features(1, frames))

    def try_pose(self) -> None:
        """Run the networks that find joints, as far as they were built, on a black picture. Raises likewise."""
        window = self.estimator.window
        crop = np.zeros((1, window.height, window.width, 3), np.uint8)
        self.estimator.predict(crop, np.array([[0, 0, window.width, window.height]], np.float32))
        if "detector" in vars(self):
            self.detector.find(np.zeros((1, BLACK, BLACK, 3), np.uint8), (BLACK, BLACK))

    def _seen(self, state: ClipState) -> tuple[np.ndarray, np.ndarray | Tensor]:
        """Boxes (T, people, 4) and crops of a clip: those cut where it was read, or around detected people."""
        import torch

        from ...stages.pose.people import link_people
        from ...stages.pose.person_crop_gpu import person_crops_gpu

        assert state.read is not None
        view = state.clip.view
        if view in state.read.crops:
            return state.read.boxes[view], state.read.crops[view]
        # whole frames go to the device, once, and stay there
        frames = [state.read.full[int(index)] for index in state.arrays["frame_index"]]
        pixels = torch.from_numpy(np.stack(frames)).to(self.device)
        width, height = (int(side) for side in state.arrays["frame_size"])
        settings = self.recipe.pose
        boxes = link_people(self.detector.find(pixels, (width, height)), settings.people, settings.choose)
        return boxes, person_crops_gpu(self.estimator.window, pixels, boxes)
