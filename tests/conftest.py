"""What every test may use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos and labels beside the checkout; STAR_SHARED names another place."""
    folder = Path(os.environ.get("STAR_SHARED", SHARED))
    if not folder.is_dir():
        message = f"needs the real samples in {folder.name}/ beside the checkout (or STAR_SHARED=FOLDER)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder


SMALL = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}, segment: 6}}
backbone: {{weights: random, size: 32, crop: person, precision: float32, batch: 4}}
model: {{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 8, tensorboard: false}}
"""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 8 actions × 3 clips, real H.264 files; read it, do not change it."""
    from star.pipeline.datasets.drawn import draw

    root = tmp_path_factory.mktemp("drawn") / "data"
    draw(root, clips_per_class=3, frames=(20, 24), size=(96, 80), workers=1)
    return root


@pytest.fixture(scope="session")
def extracted(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose cache holds all five stages of the drawn data set; copy it to change it."""
    from star.pipeline import recipe as recipes
    from star.pipeline.extract import Where, extract

    folder = tmp_path_factory.mktemp("extracted")
    path = folder / "star.yaml"
    path.write_text(SMALL.format(root=drawn, cache=folder / "cache"))
    extract(recipes.load(path), where=Where(workers=1), quiet=True)
    return path


@pytest.fixture
def small(extracted: Path, tmp_path: Path) -> Path:
    """A recipe and a full cache of one's own, beside the session's drawn data set."""
    shutil.copytree(extracted.parent / "cache", tmp_path / "cache")
    path = tmp_path / "star.yaml"
    path.write_text(extracted.read_text().replace(str(extracted.parent), str(tmp_path)))
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function: MiB -> the folder of a real disk of that size, where one may be mounted; unmounted at the end."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)]
        if os.name != "posix" or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a small disk can only be mounted by root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
