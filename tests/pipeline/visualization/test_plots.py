"""Plots of results."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from star.pipeline.visualization.plots import confusion_picture


@pytest.mark.parametrize("name", ["caf\udce9", "a $b_{$", "ünï", "new\nline"])
def test_any_name_of_a_class_can_be_drawn(name: str) -> None:
    """A folder's name that is no UTF-8, or one that matplotlib would take for a formula."""
    picture = Image.open(io.BytesIO(confusion_picture(np.eye(2, dtype=np.int64), [name, "wave"])))
    assert min(picture.size) > 50
