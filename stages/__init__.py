"""The computations: arrays in, arrays out; none of them touches the cache. Importing this costs numpy and no more."""

from __future__ import annotations

from .backbone import Backbone
from .decode import Decode
from .heatmaps import Heatmaps
from .pose import Pose
from .stage import Stage
from .tokens import Tokens

STAGES: dict[str, type[Stage]] = {  # in graph order: each takes only what stands above it
    "decode": Decode,
    "pose": Pose,
    "backbone": Backbone,
    "heatmaps": Heatmaps,
    "tokens": Tokens,
}
