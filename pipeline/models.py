"""The networks that extraction runs, built when they are first needed and kept for the life of the process."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .graph import WORDS, Graph
from .recipe import Recipe

if TYPE_CHECKING:
    from ..stages.backbone import Network


class Models:
    """The video network and the pose model of a recipe on a device (torch's name of it)."""

    def __init__(self, recipe: Recipe, graph: Graph, device: str) -> None:
        self.recipe, self.graph, self.device = recipe, graph, device

    @cached_property
    def device_name(self) -> str:
        """What the device is, for the provenance."""
        import torch

        return torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else "cpu"

    @cached_property
    def network(self) -> Network:
        """The video network: frames (b, T, size, size, 3) uint8 -> its arrays."""
        from ..stages.backbone import Network

        settings = self.recipe.backbone
        file = file_of(settings.weights)
        return Network(self.graph["backbone"].stage, file=file, device=self.device, batch=settings.batch)


def file_of(weights: str) -> Path | None:
    """The file that a weights setting names; None for an official name or random weights."""
    return None if weights in WORDS else Path(weights)
