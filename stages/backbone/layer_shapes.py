"""Which layers a backbone has, and the shape of what each of them gives, before a video is read.

Of torchvision's video networks the five usual layers are known by heart, so that planning imports no torch; any other
layer, and any other network, is asked: on torch's meta device, where nothing is computed.
"""

from __future__ import annotations

import difflib
import functools

from ...errors import RecipeError
from .architectures import ARCHITECTURES, CHANNELS, LAYERS, STRIDES, LayerShape, is_custom

NEAR = 6  # names in a message


def layer_shape(model: str, layer: str, size: int, setting: str = "backbone.global_layer") -> LayerShape:
    """The shape of a layer's map for frames of size x size pixels.

    Raises RecipeError, one line that begins with `setting`, where the network has no such layer, or the layer gives no
    map of each frame.
    """
    if not is_custom(model) and ARCHITECTURES[model].is_video and layer in LAYERS:
        return LayerShape(CHANNELS[layer], size // STRIDES[layer])
    return _asked(model, layer, size, setting)


@functools.cache
def _asked(model: str, layer: str, size: int, setting: str) -> LayerShape:
    if is_custom(model):
        from .custom import layer_shapes

        shapes = layer_shapes(model, size)
        if layer not in shapes:
            raise RecipeError(f"{setting}: {layer}: {model} gives no such layer; it gives {', '.join(shapes)}")
        return shapes[layer]
    from .extractor import NoMap, node_names, traced_shape

    names = node_names(model, size)
    try:
        if layer in names:
            return traced_shape(model, layer, size)
        wrong = f"{model} has no such layer"
    except NoMap as error:
        wrong = str(error)
    usual = ARCHITECTURES[model].layers  # those that are taken as a rule, then those whose names are alike
    alike = difflib.get_close_matches(layer, list(names), NEAR - len(usual), 0.5)
    near = dict.fromkeys((*usual, *(name for name in alike if name != layer)))
    raise RecipeError(f"{setting}: {layer}: {wrong}; near are {', '.join(near)}")


@functools.cache
def forward_flops(model: str, layers: tuple[str, ...], size: int, frames: int) -> float:
    """FLOP (2 x multiply-adds) of one clip of so many frames, as far as the last of the layers."""
    if is_custom(model):
        from .custom import forward_flops as of_custom

        return of_custom(model, size) * frames
    from .extractor import traced_flops

    return traced_flops(model, layers, size, frames)


@functools.cache
def parameter_count(model: str, layers: tuple[str, ...], size: int) -> int:
    """Parameters (weights and biases, batch norms included), as far as the last of the layers; of a network of one's
    own, all of them."""
    if is_custom(model):
        from .custom import parameter_count as of_custom

        return of_custom(model, size)
    from .extractor import traced_parameters

    return traced_parameters(model, layers, size)
