"""The only door to torchvision's models: `models("video")` instead of `import torchvision.models.video`.

One function of torchvision 0.29 asks whether the compiler of torch could be used, and for that imports all of it: 1.1
seconds of every command that computes (3.4 where no bytecode is kept), for an answer that no network here needs. While
torchvision is being imported, and only then, a stand-in takes the place of the compiler; it asks when it is asked.
"""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

ASKED = "is_compile_supported"  # all that torchvision wants of the compiler
_COMPILER = "torch._dynamo"
_LOCK = threading.Lock()


def models(name: str = "") -> Any:
    """torchvision.models, or a module of it."""
    full = f"torchvision.models.{name}".rstrip(".")
    with _LOCK:
        if "torchvision" not in sys.modules and _COMPILER not in sys.modules:
            _import_lightly()
        return importlib.import_module(full)


def _import_lightly() -> None:
    """Import torchvision without the compiler; another version may want more of that, and is left for later."""
    import torch  # noqa: F401 (its own import must see no stand-in)

    with _stand_in(), suppress(ImportError):
        importlib.import_module("torchvision")


@contextmanager
def _stand_in() -> Iterator[None]:
    utils = types.ModuleType(f"{_COMPILER}.utils")
    setattr(utils, ASKED, _is_compile_supported)
    compiler = types.ModuleType(_COMPILER)
    compiler.utils = utils  # type: ignore[attr-defined]
    placed = {_COMPILER: compiler, utils.__name__: utils}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name in placed:
            sys.modules.pop(name, None)


def _is_compile_supported(device_type: str) -> bool:
    """What torch's function of that name says."""
    return getattr(importlib.import_module(f"{_COMPILER}.utils"), ASKED)(device_type)
