"""What every test may use."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, as torchvision lays them out, of a detector that takes everything for a person."""
    import torch

    from star.stages.pose.detector import SIDES, Detector

    state = Detector(next(iter(SIDES)), "random", seed=1).network.state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][1] += 5
    path = tmp_path_factory.mktemp("weights") / "everyone.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def mmposes_drawn_13() -> Any:
    """drawn-13 as mmpose itself builds it, from the shipped configuration and with the shipped weights."""
    from star.stages import weights
    from star.stages.pose import mmpose_compat, mmpose_models

    mmpose_compat.import_module("mmpose.datasets.transforms")
    config = mmpose_models.published_model("drawn-13").config
    network = mmpose_compat.import_module("mmpose.apis").init_model(str(config), device="cpu")
    file = mmpose_models.official_weights("drawn-13")
    weights.load_into(network, weights.load_state_dict(file), file, "drawn-13")
    return network


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
    from star.pipeline.datasets.synthetic.dataset import draw

    root = tmp_path_factory.mktemp("drawn") / "data"
    draw(root, clips_per_class=3, frames=(20, 24), size=(96, 80), workers=1)
    return root


@pytest.fixture(scope="session")
def extracted(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose cache holds all five stages of the drawn data set; copy it to change it."""
    from star.pipeline.extraction.execution import ExecutionConfig
    from star.pipeline.extraction.runner import extract
    from star.pipeline.recipe import schema as recipes

    folder = tmp_path_factory.mktemp("extracted")
    path = folder / "star.yaml"
    path.write_text(SMALL.format(root=drawn, cache=folder / "cache"))
    extract(recipes.load(path), execution=ExecutionConfig(workers=1), quiet=True)
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


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A web server on this machine, and caches of one's own: its address, and path -> body.

    A path with "short" in it announces more bytes than it sends.
    """
    files: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"") + 10 * ("short" in self.path)))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", files
        httpd.shutdown()
