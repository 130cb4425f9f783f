"""--each-person: one track, one answer, with a real detector (one that takes everything for a person)."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def few(everyone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The detector that takes everything for a person, with boxes six times as large: about ten lie apart."""
    state = torch.load(everyone, weights_only=True)
    state["roi_heads.box_predictor.bbox_pred.weight"].zero_()
    shifts = state["roi_heads.box_predictor.bbox_pred.bias"].zero_()
    shifts[6:8] = 5 * math.log(6)  # of the class of people: width and height, in fifths of a logarithm
    path = tmp_path_factory.mktemp("few") / "few.pth"
    torch.save(state, path)
    return path


@pytest.fixture
def options(estimated_run: Path, few: Path) -> tuple[object, ...]:
    return ("--run", estimated_run, "--set", f"pose.detector={DETECTOR}", "--set", f"pose.detector_weights={few}")


@pytest.fixture
def short_film(joined: Sequence[np.ndarray], tmp_path: Path, write_film: Callable) -> Path:
    """Half a second."""
    return write_film(tmp_path / "short.mp4", joined[:10])


def test_each_person_of_a_film(short_film: Path, options: tuple[object, ...], star: Callable) -> None:
    """Several people; a window says at most once what each does; a track's number means the same in all windows."""
    arguments = ("predict", short_film, *options, "--window", 0.4, "--every", 0.1, "--each-person", "--json")
    result = star(*arguments)
    assert result.exit_code == 0, result.output
    [document] = json.loads(result.stdout)
    pairs = [(window["start"], window["person"]) for window in document["windows"]]
    assert len(pairs) == len(set(pairs)) and pairs == sorted(pairs)
    assert len({person for _, person in pairs}) > 1
    starts = {person: [start for start, own in pairs if own == person] for _, person in pairs}
    assert any(len(own) > 1 for own in starts.values())
    assert all(len(window["top5"]) == 5 for window in document["windows"])


def test_a_film_of_one_window(short_film: Path, options: tuple[object, ...], star: Callable, tmp_path: Path) -> None:
    out = tmp_path / "each.mp4"
    result = star("predict", short_film, *options, "--each-person", "--overlay", out, "--json")
    assert result.exit_code == 0, result.output
    [document] = json.loads(result.stdout)
    assert "top" not in document and all("person" in window for window in document["windows"])
    assert out.stat().st_size > 1000


def test_nobody_looks_for_people(estimated_run: Path, annotated_run: Path, long_film: Path, star: Callable) -> None:
    for run in (estimated_run, annotated_run):
        result = star("predict", long_film, "--run", run, "--each-person")
        assert result.exit_code == 2 and "--each-person: this recipe looks for nobody" in result.output


def test_nobody_is_found(short_film: Path, estimated_run: Path, star: Callable) -> None:
    """One line says so; a detector that was never trained finds nobody."""
    settings = [f"pose.detector={DETECTOR}", "pose.detector_weights=random"]
    words = [word for setting in settings for word in ("--set", setting)]
    result = star("predict", short_film, "--run", estimated_run, *words, "--each-person", "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{short_film}: no answer, for nobody was found\n"


def test_nobody_is_found_live(short_film: Path, estimated_run: Path) -> None:
    """No answer, and the summary still counts the pictures."""
    command = ["predict", "-", "--run", estimated_run, "--window", "0.4", "--every", "0.1", "--each-person", "--json"]
    command += ["--set", f"pose.detector={DETECTOR}", "--set", "pose.detector_weights=random"]
    with short_film.open("rb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "star.cli", *command], stdin=pipe, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)["summary"]
    assert (summary["answers"], summary["frames"]) == (0, 10)
