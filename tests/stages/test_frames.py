"""The stage of kept frames: what stands in its key."""

from star.stages.cropping import Crop
from star.stages.frames import FramesStage


def test_settings_hold_what_can_change_a_pixel():
    """Size, region and the way JPEG is decoded; the margin only where it cuts."""
    assert FramesStage().settings() == {"size": 112, "crop": {"crop": "frame"}}
    assert FramesStage(crop=Crop(margin=0.5)).settings() == FramesStage().settings()
    assert FramesStage(crop=Crop("person", margin=0.5)).settings() != FramesStage(crop=Crop("person")).settings()
    assert FramesStage(jpeg="scaled").settings() != FramesStage().settings()
