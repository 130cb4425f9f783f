"""The only door to mmpose, mmengine and mmcv: `import_module("mmpose.models")` instead of `import mmpose.models`.

mmpose imports packages that no network here uses: xtcocotools (its data sets' metrics), mmdet (one-stage heads) and
compiled operators of the full mmcv (deformable attention). Each needs a compiler or pins the version of another, so
they may be absent, or present and broken. While mmpose is being imported, and only then, stand-ins take the places of
those that cannot be imported; what mmpose takes from them raises MissingPackage when it is called. Afterwards they
are gone again, so that nobody else finds a package that is not there.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
import types
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from ...errors import MissingPackage

# What mmpose 1.3 imports from each: the names taken from it, by module.
_STOOD_IN_FOR: dict[str, dict[str, tuple[str, ...]]] = {
    "xtcocotools": {
        "xtcocotools": (),
        "xtcocotools.coco": ("COCO",),
        "xtcocotools.cocoeval": ("COCOeval",),
        "xtcocotools.mask": (),
    },
    "mmdet": {"mmdet": (), "mmdet.utils": ("ConfigType", "reduce_mean")},
    "mmcv.ops": {"mmcv.ops": ("MultiScaleDeformableAttention",)},
}
_INSTEAD = {"xtcocotools": "xtcocotools", "mmdet": "mmdet", "mmcv.ops": "the full mmcv (not mmcv-lite)"}
_INSTALL = {"pkg_resources": "setuptools<81", "mmcv": "mmcv-lite", "cv2": "opencv-python-headless"}
_LOCK = threading.Lock()


def folder() -> Path:
    """mmpose's folder of configurations and metafiles; does not import mmpose. Raises MissingPackage without it."""
    try:
        spec = importlib.util.find_spec("mmpose")
    except ValueError:  # somebody hides it: sys.modules["mmpose"] = None
        spec = None
    if spec is None or spec.origin is None:
        raise _absent("mmpose")
    return Path(spec.origin).parent / ".mim"


def import_module(name: str) -> Any:
    """Import a module of mmpose, mmengine or mmcv; the first one of mmpose takes some seconds.

    Raises MissingPackage, with the package that is absent and how to install it.
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    try:
        with _LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmcv's remark that mmcv-lite has no operators
            if not name.startswith("mmpose"):
                return importlib.import_module(name)
            with stand_ins():
                return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _absent(error.name or name) from None


def _absent(package: str) -> MissingPackage:
    package = package.partition(".")[0]
    wanted = _INSTALL.get(package, package)
    return MissingPackage(f"pose.source mmpose needs {package}, which is not installed: pip install '{wanted}'")


@contextmanager
def stand_ins() -> Generator[None, None, None]:
    """Stand-ins in sys.modules for whatever cannot be imported; taken out again at the end."""
    placed: list[str] = []
    try:
        for package, modules in _STOOD_IN_FOR.items():
            try:
                importlib.import_module(package)
            except Exception:  # one built for another numpy, or pinned to another mmcv, raises whatever it likes
                placed += _place(package, modules)
        yield
    finally:
        for name in placed:
            sys.modules.pop(name, None)


def _place(package: str, modules: dict[str, tuple[str, ...]]) -> list[str]:
    """Put the stand-in modules of one package into sys.modules; their names."""
    for name, takes in modules.items():
        stand_in = types.ModuleType(name, f"Stands in for {package} while mmpose is imported.")
        stand_in.__path__ = []  # import looks for submodules in packages only
        for item in takes:
            setattr(stand_in, item, _unbuildable(item, package))
        sys.modules[name] = stand_in
        parent, _, child = name.rpartition(".")
        if parent in modules:
            setattr(sys.modules[parent], child, stand_in)
    return list(modules)


def _unbuildable(name: str, package: str) -> type:
    """A class that raises MissingPackage as soon as it is called."""

    def refuse(_cls: type, *_arguments: object, **_settings: object) -> NoReturn:
        """Say which package is missing."""
        raise MissingPackage(f"mmpose's {name} comes from {_INSTEAD[package]}, which is not installed")

    return type(name, (), {"__new__": refuse, "__module__": __name__})
