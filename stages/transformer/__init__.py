"""The STAR-Transformer: cached tokens in, class scores out. Pure PyTorch; needs nothing else of star's."""

from .attention import Average, BAttn, FAttn, ZAttn
from .model import STARTransformer

__all__ = ["Average", "BAttn", "FAttn", "STARTransformer", "ZAttn"]
