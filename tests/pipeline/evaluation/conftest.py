"""Films and runs that the tests of time lines share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main

RATE = 20
ESTIMATED = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}}}
decode: {{frames: 8}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 32, crop: person, precision: float32, batch: 2}}
model: {{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 8, tensorboard: false}}
"""


def run_star(*arguments: object) -> Result:
    """A command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in (*arguments, "-q")])


def pictures_of(path: Path) -> list[np.ndarray]:
    """The pictures of a film as they are stored: (h * 3 / 2, w) uint8, YUV 4:2:0."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]


def write_film(path: Path, pictures: Iterable[np.ndarray], rate: int = RATE, *, lossless: bool = True) -> Path:
    """A real H.264 film of YUV pictures, which decodes to exactly these."""
    with av.open(str(path), "w") as container:
        stream = None
        for picture in pictures:
            if stream is None:
                quality = {"qp": "0"} if lossless else {}
                stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", **quality})
                stream.width, stream.height = picture.shape[1], picture.shape[0] * 2 // 3
                stream.pix_fmt, stream.thread_count = "yuv420p", 1
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        assert stream is not None
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def star() -> Callable[..., Result]:
    """`run_star` above."""
    return run_star


@pytest.fixture(scope="session", name="write_film")
def the_film_writer() -> Callable[..., Path]:
    """`write_film` above."""
    return write_film


@pytest.fixture(scope="session")
def joined(drawn: Path) -> list[np.ndarray]:
    """The pictures of six drawn clips one after the other, all of one size."""
    films = sorted((drawn / "videos").glob("*_000.mp4"))[:6]
    return [picture for film in films for picture in pictures_of(film)]


@pytest.fixture(scope="session")
def long_film(joined: Sequence[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of six actions, about six seconds."""
    return write_film(tmp_path_factory.mktemp("long") / "long.mp4", joined)


@pytest.fixture(scope="session")
def estimated_run(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose joints are mmpose's and whose network takes everything; its data set is gone."""
    folder = tmp_path_factory.mktemp("estimated")
    shutil.copytree(drawn, folder / "data")
    recipe = folder / "star.yaml"
    recipe.write_text(ESTIMATED.format(root=folder / "data", cache=folder / "cache"))
    assert run_star("extract", recipe).exit_code == 0
    assert run_star("train", recipe, "--run", folder / "run").exit_code == 0
    shutil.rmtree(folder / "data")
    shutil.rmtree(folder / "cache")
    return folder / "run"


@pytest.fixture(scope="session")
def annotated_run(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on annotated joints, whose data set is there."""
    run = tmp_path_factory.mktemp("annotated") / "run"
    assert run_star("train", extracted, "--run", run).exit_code == 0
    return run
