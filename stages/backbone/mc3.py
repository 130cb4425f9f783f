"""ResNet-MC18 with its weights: official, random, or out of a file.

The network is torchvision's `mc3_18` (Tran et al., "A Closer Look at Spatiotemporal Convolutions", CVPR 2018).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn


def load(weights: str, seed: int = 0, file: Path | None = None) -> nn.Module:
    """The network on the CPU, float32, in evaluation mode, without its classifier.

    weights: "kinetics400", "random" (drawn from `seed`), or the sha256 of `file`. Raises WeightsError for a file that
    is not that one, or of another network; DownloadError where official weights cannot be fetched.
    """
    import torch
    from torchvision.models.video import MC3_18_Weights, mc3_18

    from ..weights import fetch, load_into, load_state_dict, sha256

    with torch.device("meta"):  # draws nothing: every weight is loaded below
        model: nn.Module = mc3_18(weights=None)
    del model.fc
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    if weights == "random":
        model.load_state_dict(random_state(model, seed))
        return model
    if weights == "kinetics400":
        file = fetch(MC3_18_Weights.KINETICS400_V1.url, "mc3_18")
    elif file is None:
        raise WeightsError(f"backbone.weights: {weights} is the sha256 of a file; name that file in the recipe")
    elif sha256(file) != weights:
        raise WeightsError(f"backbone.weights: {file} is not the file with sha256 {weights}; give that file")
    state = {name: tensor for name, tensor in load_state_dict(file).items() if not name.startswith("fc.")}
    load_into(model, state, file, "mc3_18")
    return model


def random_state(model: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights for `weights: random`: those of an untrained network, but the same on every machine and in every version.

    Each convolution is drawn by itself, from (seed, its name), normal with deviation sqrt(2 / (outputs * kernel)) (He
    et al., ICCV 2015, fan-out, as torchvision does); every batch norm passes its input on unchanged.
    """
    import torch

    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    for name, tensor in state.items():
        if tensor.ndim == 5:
            digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()
            draw = np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(tensor.shape, np.float32)
            deviation = (2 / (tensor.shape[0] * tensor[0, 0].numel())) ** 0.5
            state[name] = torch.from_numpy(draw * np.float32(deviation))
        elif name.endswith((".weight", ".running_var")):
            tensor.fill_(1)
    return state
