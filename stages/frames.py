"""The frames as the backbone sees them, kept: with them it runs again without a video, see `decode.keep`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from .base import Array, Settings
from .cropping import Crop


@dataclass(frozen=True)
class FramesStage:
    """The frames of a clip, cut to the region that the backbone sees and resized.

    size: their side, px. crop: the region. jpeg: see `BackboneStage`. All three are the backbone's.
    """

    name: ClassVar[str] = "frames"
    version: ClassVar[int] = 1
    arrays: ClassVar[Mapping[str, Array]] = {
        "frames": Array("t y x rgb", "uint8", "1", "what the backbone sees: the frames, cut and resized"),
    }

    size: int = 112
    crop: Crop = field(default_factory=Crop)
    jpeg: str = "exact"

    def settings(self) -> Settings:
        """What stands in the key."""
        jpeg = {} if self.jpeg == "exact" else {"jpeg": self.jpeg}
        return {"size": self.size, "crop": self.crop.settings(), **jpeg}
