"""mmpose imports in this environment, whatever is absent, and nobody else notices how."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from star.errors import MissingPackage
from star.stages.pose import mmpose_compat

STOOD_IN_FOR = (
    "xtcocotools", "xtcocotools.coco", "xtcocotools.cocoeval", "xtcocotools.mask", "mmdet", "mmdet.utils", "mmcv.ops",
)  # fmt: skip


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder first on the path; what is imported from it is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("xtcocotools", "mmdet")]:
        monkeypatch.delitem(sys.modules, name)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] in ("xtcocotools", "mmdet")]:
        sys.modules.pop(name)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    importlib.invalidate_caches()


def test_mmpose_imports_and_leaves_no_stand_ins():
    """Models, data sets, transforms and inference import; afterwards an absent package is as absent as before."""
    for name in ("mmpose.models", "mmpose.datasets", "mmpose.apis"):
        assert mmpose_compat.import_module(name).__name__ == name
    for name in STOOD_IN_FOR:
        module = sys.modules.get(name)
        assert module is None or getattr(module, "__file__", None), f"a stand-in for {name} was left behind"
    if importlib.util.find_spec("mmdet") is None:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("mmdet")


def test_stand_ins_raise_when_something_is_built(packages: Path):
    """What mmpose took from a package that cannot be imported raises when it is called, and says what is missing."""
    write(packages, {"xtcocotools/__init__.py": "raise ValueError('numpy.dtype size changed')"})
    with mmpose_compat.stand_ins():
        import xtcocotools.mask as mask
        from xtcocotools.coco import COCO
    with pytest.raises(MissingPackage) as caught:
        COCO("annotations.json")
    assert str(caught.value) == "mmpose's COCO comes from xtcocotools, which is not installed"
    assert not hasattr(mask, "encode")
    assert "xtcocotools" not in sys.modules


def test_real_packages_are_used_where_they_are(packages: Path):
    """An installed xtcocotools or mmdet is imported as it is, and stays."""
    write(
        packages,
        {
            "xtcocotools/__init__.py": "",
            "xtcocotools/coco.py": "class COCO:\n    real = True\n",
            "mmdet/__init__.py": "",
            "mmdet/utils.py": "ConfigType, reduce_mean = dict, max\n",
        },
    )
    with mmpose_compat.stand_ins():
        from mmdet.utils import reduce_mean
        from xtcocotools.coco import COCO
    assert COCO.real
    assert reduce_mean is max
    assert Path(sys.modules["xtcocotools"].__file__).parent == packages / "xtcocotools"


def test_a_package_that_breaks_off_counts_as_absent(packages: Path):
    """mmdet 3 asserts an older mmcv while it is imported; mmpose still imports, and mmdet still fails for others."""
    write(packages, {"mmdet/__init__.py": "raise AssertionError('MMCV==2.2.0 is used but incompatible')"})
    with mmpose_compat.stand_ins():
        from mmdet.utils import ConfigType, reduce_mean  # noqa: F401
    with pytest.raises(AssertionError):
        importlib.import_module("mmdet")


def test_missing_module_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """A package that mmpose cannot do without: its name and the command."""
    monkeypatch.setitem(sys.modules, "mmengine.nothing", None)
    for name, wanted in [("mmpose_none.models", "mmpose_none"), ("mmengine.nothing", "mmengine")]:
        with pytest.raises(MissingPackage) as caught:
            mmpose_compat.import_module(name)
        assert str(caught.value) == (
            f"pose.source mmpose needs {wanted}, which is not installed: pip install '{wanted}'"
        )
