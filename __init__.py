"""Human action recognition from cached features: a two-stage pipeline around the STAR-Transformer.

Everything below is imported when it is first asked for, so `import star` costs nothing; see docs/api.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .api import (
        FeatureDataset,
        Recipe,
        StarError,
        STARTransformer,
        TrainedRun,
        extract,
        load_recipe,
        load_run,
        open_cache,
        plan,
        predict,
        test,
        train,
    )

__all__ = [
    "FeatureDataset",
    "Recipe",
    "STARTransformer",
    "StarError",
    "TrainedRun",
    "extract",
    "load_recipe",
    "load_run",
    "open_cache",
    "plan",
    "predict",
    "test",
    "train",
]


def __getattr__(name: str) -> Any:
    """What `__all__` names, on first use (PEP 562)."""
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module 'star' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
