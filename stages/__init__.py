"""The computations: arrays in, arrays out; none of them touches the cache. Importing this costs numpy and no more."""

from __future__ import annotations

from .backbone.stage import BackboneStage
from .base import Stage
from .decode import DecodeStage
from .frames import FramesStage
from .heatmaps import HeatmapsStage
from .pose.stage import PoseStage
from .tokens import TokensStage

STAGES: dict[str, type[Stage]] = {  # in graph order: each takes only what stands above it
    "decode": DecodeStage,
    "pose": PoseStage,
    "frames": FramesStage,
    "backbone": BackboneStage,
    "heatmaps": HeatmapsStage,
    "tokens": TokensStage,
}
