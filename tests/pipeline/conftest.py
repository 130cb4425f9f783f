"""What the tests of the pipeline share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The toy cache of toy.py beside this file."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toys(toy, tmp_path_factory):
    """The toy cache's two selections, (training, testing); tests only read it."""
    return toy.build(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> Path:
    """A tiny real film: six frames of H.264."""
    import av
    import numpy as np

    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.thread_count = 48, 40, 1
        for index in range(6):
            picture = np.random.default_rng(index // 2).integers(0, 255, (40, 48, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def make_film(film):
    """A function: puts a film of its own bytes at a path, and returns the path."""

    def put(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            film.read_bytes() + b"\0\0\0\x18free" + path.name.encode(errors="surrogateescape")[:16].ljust(16)
        )
        return path

    return put
