"""The computations: arrays in, arrays out; none of them touches the cache. Importing this costs numpy and no more."""

from __future__ import annotations

from .backbone.network import Backbone
from .base import Stage
from .decode import Decode
from .heatmaps import Heatmaps
from .pose.stage import Pose
from .tokens import Tokens

STAGES: dict[str, type[Stage]] = {  # in graph order: each takes only what stands above it
    "decode": Decode,
    "pose": Pose,
    "backbone": Backbone,
    "heatmaps": Heatmaps,
    "tokens": Tokens,
}
