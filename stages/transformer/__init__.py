"""The STAR-Transformer: cached tokens in, class scores out. Pure PyTorch; needs nothing else of star's."""

from .attention import AverageAttention, BAttn, FAttn, ZAttn
from .model import STARTransformer

__all__ = ["AverageAttention", "BAttn", "FAttn", "STARTransformer", "ZAttn"]
