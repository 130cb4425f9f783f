"""Joints of a second layout that join a data set with a cache: every command ends as it would with a fresh cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

from star.cli import main
from star.stages.skeletons import COCO, PENN_ACTION

RECIPE = """
dataset: {{kind: {kind}, root: {root}}}
cache: {{root: {cache}}}
decode: {{frames: 2, views: {{train: 2}}}}
backbone: {{weights: random, size: 32, precision: float32}}
tokens: {{form: {form}}}
model: {{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, modalities: {modalities}}}
train: {{epochs: 2, batch: 4, tensorboard: false, precision: float32}}
"""
RENAMED = (*PENN_ACTION.joints[:-2], "left_toe", "right_toe")  # as many as Penn Action's, two of them others
VIDEOS = [f"{split}/{label}/{name}" for split in ("train", "test") for label in ("bow", "wave") for name in "mn"]


class Seen(NamedTuple):
    """What the commands said: exit codes, what fails by scan and by extract, and the network's answers."""

    codes: dict[str, int]
    scanned: list[tuple[str, str, str]]
    failed: list[tuple[str, str, str]]
    trained: dict[str, Any]
    tested: dict[str, Any]


def add(root: Path, name: str, skeleton: str | Sequence[str], make_film: Callable[[Path], Path] | None) -> None:
    """A video with joints, or joints alone."""
    count = {"penn_action": 13, "coco": 17}.get(skeleton, len(skeleton)) if isinstance(skeleton, str) else len(skeleton)
    number = sum(map(ord, name))
    joints = np.random.default_rng(number).uniform(4, 36, (6, 1, count, 3)).astype(np.float32)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    if make_film:
        make_film(root / f"{name}.mp4")
    np.savez(root / f"{name}.npz", keypoints=joints, skeleton=skeleton)


def star(*words: str | Path) -> tuple[int, Any]:
    """A command's exit code and its JSON; never a traceback."""
    done = CliRunner().invoke(main, [*map(str, words), "--json", "-q"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    start = done.stdout.find("{")
    return done.exit_code, json.loads(done.stdout[start:]) if start >= 0 else {}


def all_commands(recipe: Path, run: Path) -> Seen:
    """scan, extract, extract again, train and test, each with whatever came before."""
    codes: dict[str, int] = {}
    codes["scan"], scanned = star("scan", recipe)
    codes["extract"], extracted = star("extract", recipe, "--workers", "1", "--device", "cpu")
    codes["again"], _ = star("extract", recipe, "--workers", "1", "--device", "cpu")
    shutil.rmtree(run, ignore_errors=True)
    codes["train"], trained = star("train", recipe, "--run", run, "--device", "cpu")
    codes["test"], tested = star("test", recipe, "--run", run, "--device", "cpu")
    findings = [(one["level"], one["video"], one["message"]) for one in scanned.get("findings", ())]
    failed = [(one["video"], one["kind"], one["message"]) for one in extracted.get("failed", ())]
    trained = {name: trained.get(name) for name in ("best", "videos", "parameters", "error")}
    tested = {name: tested.get(name) for name in ("top1", "loss", "videos", "clips", "left_out", "error")}
    return Seen(codes, sorted(findings), sorted(failed), trained, tested)


def write(folder: Path, cache: str, *, kind: str = "videos", modalities: str = "both", root: str = "data") -> Path:
    path = folder / f"{cache}.yaml"
    form = "heatmap" if kind == "joints" else "pool"
    text = RECIPE.format(kind=kind, root=folder / root, cache=folder / "cache", form=form, modalities=modalities)
    path.write_text(text)
    return path


def compare(recipe: Path) -> Seen:
    """With the cache as it has grown, and with a fresh one: all is equal, to the last digit."""
    grown = all_commands(recipe, recipe.parent / "run")
    shutil.rmtree(recipe.parent / "cache")
    fresh = all_commands(recipe, recipe.parent / "run")
    assert grown == fresh
    return grown


EVERYTHING: tuple[str, ...] = ()
CASES = {
    "13 into 17, last": ("train/wave/z", "coco", EVERYTHING, "both", "videos"),
    "13 into 17, first": ("test/bow/a", "coco", EVERYTHING, "both", "videos"),
    "13 into 17, first, pictures alone": ("test/bow/a", "coco", EVERYTHING, "global", "videos"),
    "other names, first": ("test/bow/a", RENAMED, EVERYTHING, "both", "videos"),
    "other names, last": ("train/wave/z", RENAMED, ("--stage", "backbone"), "both", "videos"),
    "other names, half cached": ("test/bow/a", RENAMED, ("--shard", "1/2"), "both", "videos"),
    "joints alone, first": ("test/bow/a", RENAMED, EVERYTHING, "joint", "joints"),
    "joints alone, last": ("train/wave/z", "coco", ("--shard", "2/2"), "joint", "joints"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_second_layout_joins(tmp_path: Path, make_film: Callable[[Path], Path], case: str) -> None:
    """First in the list, so that the layout of the data set changes, or last; into a full cache, or one with a part."""
    joining, skeleton, words, modalities, kind = CASES[case]
    film = make_film if kind == "videos" else None
    for name in VIDEOS:
        add(tmp_path / "data", name, "penn_action", film)
    recipe = write(tmp_path, "star", kind=kind, modalities=modalities)
    assert star("extract", recipe, "--workers", "1", "--device", "cpu", *words)[0] == 0
    add(tmp_path / "data", joining, skeleton, film)
    seen = compare(recipe)
    assert seen.codes["scan"] == seen.codes["extract"] == seen.codes["again"] == 3
    lost = {video for video, kind, _ in seen.failed if kind == "annotation"}
    assert lost == {video for level, video, _ in seen.scanned if level == "fails"}
    assert len(lost) == (1 if "last" in case else len(VIDEOS))
    assert (seen.codes["train"], seen.codes["test"]) == ((0, 0) if "last" in case else (4, 2))


def test_a_layout_that_comes_and_goes(tmp_path: Path, make_film: Callable[[Path], Path]) -> None:
    """Joints of 17 replace all of 13, and those of 13 come back: each time as with a fresh cache."""
    root = tmp_path / "data"
    recipe = write(tmp_path, "star")
    for skeleton in ("penn_action", "coco", RENAMED, "penn_action"):
        for name in VIDEOS:
            add(root, name, skeleton, make_film)
        grown = all_commands(recipe, tmp_path / "run")
        assert set(grown.codes.values()) == {0}
        kept = tmp_path / "kept"
        (tmp_path / "cache").rename(kept)
        assert all_commands(recipe, tmp_path / "run") == grown
        shutil.rmtree(tmp_path / "cache")
        kept.rename(tmp_path / "cache")


def test_two_data_sets_share_a_cache(tmp_path: Path, make_film: Callable[[Path], Path]) -> None:
    """The same names and films, other joints: 13, 17, 13 of other names, 13 with some of 17 among them. By turns."""
    sets = {"a": "penn_action", "b": "coco", "c": RENAMED, "d": "penn_action"}
    for data, skeleton in sets.items():
        for name in VIDEOS:
            other = data == "d" and name in ("train/bow/n", "test/wave/n")
            add(tmp_path / data, name, "coco" if other else skeleton, make_film)
    shared, alone = {}, {}
    recipes = {data: write(tmp_path, data, root=data) for data in sets}
    for _ in range(2):
        for data, recipe in recipes.items():
            shared[data] = all_commands(recipe, tmp_path / "run")
    for data, recipe in recipes.items():
        shutil.rmtree(tmp_path / "cache")
        alone[data] = all_commands(recipe, tmp_path / "run")
    assert shared == alone
    assert {seen.codes["extract"] for data, seen in shared.items() if data != "d"} == {0}
    assert (shared["d"].codes["extract"], shared["d"].codes["train"]) == (3, 0)
    assert len(COCO.joints) == 17
