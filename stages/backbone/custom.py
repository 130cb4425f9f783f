"""A backbone of one's own, `backbone.model: package.module:function`; the contract is docs/backbones.md."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ...errors import RecipeError
from .architectures import LayerShape

if TYPE_CHECKING:
    from torch import Tensor, nn

    # size of the square frames, px -> a module: clips (b, T, 3, size, size), float32 RGB in [0, 1]
    #                                            -> {name of a layer: its maps (b, T, c, y, y), of any float type}
    BackboneFunction: TypeAlias = Callable[[int], nn.Module]

FRAMES = 2  # of the clip that it is asked with


def code_digest(model: str) -> str:
    """The sha256 of the file in which the function stands, which is part of the key: other code, other rows.

    Raises RecipeError where there is no such module.
    """
    from ..weights import sha256

    module, _, _ = model.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise _absent(model, str(error)) from None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise _absent(model, f"no module named {module!r}")
    return sha256(Path(spec.origin))


def _absent(model: str, reason: str) -> RecipeError:
    return RecipeError(f"backbone.model: {model}: {reason}; install it, or name the folder that holds it in PYTHONPATH")


def _function(model: str) -> BackboneFunction:
    """The function that `model` names. Raises RecipeError."""
    module, _, name = model.partition(":")
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        raise _absent(model, str(error)) from None
    function: Any = getattr(found, name, None)
    if not callable(function):
        raise RecipeError(f"backbone.model: {model}: {module} has no function {name!r}; correct the name")
    return cast("BackboneFunction", function)


def build_network(model: str, size: int, seed: int = 0) -> nn.Module:
    """What the function gives. Whatever it draws comes from `seed`; torch's generator is left alone.

    Raises RecipeError where it gives no module, or fails.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _charged(model, lambda: _function(model)(size))
    if not isinstance(network, torch.nn.Module):
        raise RecipeError(f"backbone.model: {model}: gave a {type(network).__name__}, not a torch.nn.Module")
    return network.float()


def _charged(model: str, call: Callable[[], Any]) -> Any:
    """The result of somebody else's code; what it raises, in one line."""
    try:
        return call()
    except RecipeError:
        raise
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise RecipeError(f"backbone.model: {model} fails: {type(error).__name__}: {lines[0]}") from error


def as_maps(model: str, output: Any, frames: int) -> dict[str, Tensor]:
    """What the network gives, proved to be {name: (b, T, c, y, y)}. Raises RecipeError."""
    import torch

    if not isinstance(output, Mapping) or not output:
        raise RecipeError(f"backbone.model: {model}: its network gave a {type(output).__name__}, not {{layer: maps}}")
    for name, maps in output.items():
        fits = isinstance(maps, torch.Tensor) and maps.ndim == 5 and maps.is_floating_point()
        if not fits or maps.shape[1] != frames or maps.shape[3] != maps.shape[4]:
            given = " × ".join(map(str, maps.shape)) if isinstance(maps, torch.Tensor) else type(maps).__name__
            raise RecipeError(
                f"backbone.model: {model}: layer {name} is {given} for clips of {frames} frames, not (clips, frames, "
                "channels, rows, columns) of as many rows as columns"
            )
    return dict(output)


@functools.cache
def _asked(model: str, size: int) -> tuple[Mapping[str, LayerShape], float, int]:
    """Its layers with their shapes, its FLOP per frame, its parameters: it is run once, on one black clip."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network, counter = build_network(model, size).eval(), FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        output = _charged(model, lambda: network(torch.zeros(1, FRAMES, 3, size, size)))
    shapes = {name: LayerShape(maps.shape[2], maps.shape[-1]) for name, maps in as_maps(model, output, FRAMES).items()}
    return shapes, counter.get_total_flops() / FRAMES, sum(parameter.numel() for parameter in network.parameters())


def layer_shapes(model: str, size: int) -> Mapping[str, LayerShape]:
    """The layers that it gives, by name."""
    return _asked(model, size)[0]


def forward_flops(model: str, size: int) -> float:
    """FLOP (2 x multiply-adds) per frame."""
    return _asked(model, size)[1]


def parameter_count(model: str, size: int) -> int:
    """How many numbers it learned."""
    return _asked(model, size)[2]
