"""A backbone with its weights: official, random, or out of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import WeightsError
from .architectures import ARCHITECTURES, is_custom

if TYPE_CHECKING:
    from torch import Tensor, nn

SPREAD = 0.02  # deviation of random embeddings and tokens, as in torchvision's transformers


def load(weights: str, seed: int = 0, file: Path | None = None, *, model: str = "mc3_18", size: int = 112) -> nn.Module:
    """The network on the CPU, float32, in evaluation mode, without its classifier.

    weights: as in a key: the name of official ones, "random" (drawn from `seed`), "default" (those that one's own
    function gives), or the sha256 of `file`. model: see `backbone.model`. size: side of its input, px. Raises
    WeightsError for a file that is not that one, or of another network; DownloadError where official weights cannot be
    fetched; RecipeError where there is no such function of one's own.
    """
    network = build(model, size, seed if weights == "random" else 0).eval().requires_grad_(False)
    if weights == "random":
        network.load_state_dict(random_state(network, seed))
    elif weights != "default":
        _load_file(network, model, weights, file)
    return network


def build(model: str, size: int, seed: int = 0) -> nn.Module:
    """The network with weights that mean nothing yet; torch's generator is left alone."""
    import torch

    if is_custom(model):
        from .custom import build_network

        return build_network(model, size, seed)
    if ARCHITECTURES[model].is_video:
        from .video_resnet import build as build_video

        with torch.device("meta"):  # draws nothing: every weight is loaded below
            network = build_video(model)
        network.to_empty(device="cpu")
        for name, buffer in network.named_buffers():
            if name.endswith("num_batches_tracked"):  # which a file may lack
                buffer.zero_()
        return network
    from .image_network import build as build_image

    with torch.random.fork_rng(devices=[]):
        return build_image(model, size)


def random_state(network: nn.Module, seed: int) -> dict[str, Tensor]:
    """Weights for `weights: random`: those of an untrained network, but the same on every machine and in every version.

    Each convolution is drawn by itself, from (seed, its name), normal with deviation sqrt(2 / (outputs * kernel)) (He
    et al., ICCV 2015, fan-out, as torchvision does); a linear layer with 1 / sqrt(inputs), embeddings and tokens with
    SPREAD. Norms pass their input on unchanged, factors of whole branches (`layer_scale`) too; biases are zero.
    """
    import torch

    state = {}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            state[name] = torch.zeros_like(tensor) if name.endswith(".num_batches_tracked") else tensor.clone()
        elif (deviation := _deviation(name, tensor)) is not None:
            digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest()
            draw = np.random.default_rng(int.from_bytes(digest, "little")).standard_normal(tensor.shape, np.float32)
            state[name] = torch.from_numpy(draw * np.float32(deviation))
        else:
            ones = name.endswith((".weight", ".running_var", "layer_scale"))
            state[name] = torch.ones_like(tensor) if ones else torch.zeros_like(tensor)
    return state


def _deviation(name: str, tensor: Tensor) -> float | None:
    """Of what is drawn; None for what is not."""
    if tensor.ndim < 2 or name.endswith("layer_scale"):
        return None
    if not name.endswith("weight"):
        return SPREAD
    if tensor.ndim == 2:
        return tensor.shape[1] ** -0.5
    return (2 / (tensor.shape[0] * tensor[0, 0].numel())) ** 0.5


def _load_file(network: nn.Module, model: str, weights: str, file: Path | None) -> None:
    """Load the official weights, or the file whose sha256 is `weights`."""
    from ..weights import fetch, load_into, load_state_dict, sha256

    known = ARCHITECTURES.get(model)
    if known is not None and weights == known.weights:
        from torchvision.models import get_weight

        file = fetch(get_weight(known.enum).url, model)
    elif file is None:
        raise WeightsError(f"backbone.weights: {weights} is the sha256 of a file; name that file in the recipe")
    elif sha256(file) != weights:
        raise WeightsError(f"backbone.weights: {file} is not the file with sha256 {weights}; give that file")
    state: Mapping[str, Tensor] = load_state_dict(file)
    if known is not None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(f"{known.classifier}.")}
        if not known.is_video:
            from .image_network import fitted

            state = fitted(model, network, state)
    load_into(network, state, file, model)
