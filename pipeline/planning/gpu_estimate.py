"""What the networks would take on an H100 or H200: estimates from shares that were measured there.

The shares are of docs/results.md, "On a GPU": of the rate of a large bfloat16 product on the same card. Both cards
have the same arithmetic units; an H200 has more memory and a faster way to it, so that it may be quicker than said.
"""

from __future__ import annotations

from ...stages.backbone.layer_shapes import forward_flops
from ..recipe.schema import BackboneSettings, ModelSettings

CARD = "an H100 or H200"
CEILING = 790e12  # FLOP/s, a large bfloat16 product
BACKBONE_SHARE = 0.2
TRAINING_SHARE = {False: 0.22, True: 0.3}  # without and with `train.compile`, where the card is the limit
LAYER_SECONDS = {False: 6e-3, True: 2e-3}  # of a step, per layer: where the processor that starts kernels is the limit
BACKBONE_FLOPS = 86.7e9  # mc3_18, 16 frames of 112 x 112


def backbone_flops(settings: BackboneSettings, frames: int) -> float:
    """FLOP of one clip's pass through the backbone, 2 x multiply-adds."""
    if settings.model != "mc3_18":
        layers = settings.global_layer, settings.local_layer
        return forward_flops(settings.model, layers, settings.size, frames)
    return BACKBONE_FLOPS * (settings.size / 112) ** 2 * frames / 16


def backbone_seconds(settings: BackboneSettings, frames: int, clips: int) -> float:
    """Seconds of the video network alone for so many clips; decoding them may take longer."""
    return clips * backbone_flops(settings, frames) / (BACKBONE_SHARE * CEILING)


def training_seconds(model: ModelSettings, *, steps: int, flops: float, compiled: bool) -> float:
    """Seconds of so many steps. flops: of one step, forward and backward."""
    layers = model.encoder_layers + model.decoder_layers + 1  # one more for tokens, head and optimizer
    return steps * max(flops / (TRAINING_SHARE[compiled] * CEILING), layers * LAYER_SECONDS[compiled])
