"""A network's class probabilities for cached clips, each computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...stages.precision import float64_device
from ..utils.progress import Progress
from .dataloader import FeatureLoader
from .dataset import Batch
from .distributed import ProcessGroup
from .mixed_precision import autocast
from .model_factory import Network, inputs

Watch = Callable[[Batch, Tensor], None]
"""Is given a batch, and what the pose head of the network makes of it, see `EndToEnd.forward`."""


def class_probabilities(logits: torch.Tensor, *, multilabel: bool) -> torch.Tensor:
    """Probabilities (b, k) of logits (b, k): of one class among all, or of each class by itself."""
    return logits.sigmoid() if multilabel else logits.softmax(-1)


@torch.no_grad()
def embeddings(network: Network, stream: FeatureLoader, batch: int, ranks: ProcessGroup) -> np.ndarray:
    """(clips, d) float32: what the network's head judges of every clip, in the order of the stream's features."""
    network.eval()
    rows = torch.zeros(len(stream.features), network.width, device=ranks.device)
    mine = ranks.share(np.arange(len(stream.features)))
    for given in stream([mine[start : start + batch] for start in range(0, len(mine), batch)]):
        arrays = {name: array.float() for name, array in inputs(given).items()}
        rows[given["clip"].to(ranks.device)] = network.pool(network.embed(**arrays)).float()
    return ranks.add(rows).cpu().numpy()


@torch.no_grad()
def probabilities(
    network: Network,
    stream: FeatureLoader,
    classes: int,
    batch: int,
    *,
    multilabel: bool = False,
    precision: str = "float32",
    ranks: ProcessGroup | None = None,
    progress: Progress | None = None,
    watch: Watch | None = None,
) -> np.ndarray:
    """(clips, k) float64: the network's class probabilities for every clip of the stream's features, in their order.

    multilabel: each class is a question of its own, so that they do not add up to 1. precision: as in `autocast`.
    Each clip is computed once, by one rank, and padded by nothing; every rank gets all of them. watch: for a network
    with a pose head.
    """
    ranks = ranks or ProcessGroup(device=stream.features.device)
    network.eval()
    sums = float64_device(ranks.device)
    found = torch.zeros(len(stream.features), classes, dtype=torch.float64, device=sums)
    mine = ranks.share(np.arange(len(stream.features)))
    for given in stream([mine[start : start + batch] for start in range(0, len(mine), batch)]):
        arrays = {name: array.float() for name, array in inputs(given).items() if name in network.inputs}
        with autocast(ranks.device, precision):
            logits = network(**arrays, **({"watch": partial(watch, given)} if watch else {}))
        found[given["clip"].to(sums)] = class_probabilities(logits.to(sums).double(), multilabel=multilabel)
        if progress is not None:
            progress.advance(len(given["clip"]) * ranks.size)
    return ranks.add(found).cpu().numpy()
