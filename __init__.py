"""Human action recognition from cached features: a two-stage pipeline around the STAR-Transformer."""

__version__ = "0.1.0"
