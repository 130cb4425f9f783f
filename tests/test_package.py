"""What is installed is what stands in the checkout."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cache", "stages", "pipeline")


def section(name: str) -> str:
    """The text of one section of pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text.split(f"[{name}]\n", 1)[1].split("\n[", 1)[0]


def test_every_package_is_installed() -> None:
    """pyproject.toml lists each folder with an __init__.py, and each folder with modules has one."""
    listed = re.findall(r'"(star[\w.]*)",', section("tool.setuptools"))
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    folders = {"star", *(".".join(["star", *path.parent.relative_to(ROOT).parts]) for path in modules)}
    assert set(listed) == folders
    assert all((path.parent / "__init__.py").exists() for path in modules)


def test_every_data_file_is_installed() -> None:
    """Whatever a package needs beside its modules matches a pattern of package-data: recipes, weights, the report."""
    patterns = {}
    for package, globs in re.findall(r'^"star\.([\w.]+)" = \[(.*)\]', section("tool.setuptools.package-data"), re.M):
        patterns[ROOT.joinpath(*package.split("."))] = re.findall(r'"([^"]+)"', globs)
    installed = {path for folder, globs in patterns.items() for glob in globs for path in folder.glob(glob)}
    files = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    assert {path for path in files if path.suffix not in (".py", ".pyc")} == installed


def test_the_licence_is_there_in_full() -> None:
    """The text of Apache-2.0 as its authors publish it, byte by byte; README and pyproject.toml name the same."""
    content = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(content).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "Apache-2.0" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_package_says_that_it_is_typed() -> None:
    """PEP 561: a type checker reads the annotations of an installed star."""
    assert (ROOT / "py.typed").is_file()
    assert '"star" = ["py.typed"]' in section("tool.setuptools.package-data")
