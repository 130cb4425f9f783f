"""The computations: arrays in, arrays out; none of them touches the cache."""

from __future__ import annotations

from .backbone import Backbone
from .heatmaps import Heatmaps
from .stage import Stage
from .tokens import Tokens

STAGES: dict[str, type[Stage]] = {  # in graph order: each takes only what stands above it
    "backbone": Backbone,
    "heatmaps": Heatmaps,
    "tokens": Tokens,
}
