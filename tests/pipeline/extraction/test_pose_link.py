"""`pose.link`: annotated people who change places along P, in every kind of data set that has annotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from star.pipeline.checks.scan import scan
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.stages.skeletons import NTU, PENN_ACTION

FRAMES = 6
ALONE = "tokens: {form: heatmap}\nmodel: {modalities: joint}\n"


def two(joints: int) -> np.ndarray:
    """(6, 2, joints, 3): one who walks at the left, one who stands at the right of a picture of 48 x 40."""
    random = np.random.default_rng(0)
    found = np.ones((FRAMES, 2, joints, 3), np.float32)
    found[:, 0, :, :2] = random.uniform((2, 4), (10, 30), (joints, 2))
    found[:, 1, :, :2] = random.uniform((32, 4), (44, 34), (joints, 2))
    found[:, 0, :, 0] += np.arange(FRAMES)[:, None]
    return found


def swapped(keypoints: np.ndarray) -> np.ndarray:
    """The same people, who change places in every frame."""
    found = keypoints.copy()
    found[1::2] = found[1::2, ::-1]
    return found


def videos(root: Path, keypoints: np.ndarray, make_film: Callable[[Path], Path]) -> str:
    for name in ("bow/a", "wave/b"):
        make_film(root / f"{name}.mp4")
        np.savez(root / f"{name}.npz", keypoints=keypoints[:, :, : len(PENN_ACTION.joints)], skeleton="penn_action")
    return "{kind: videos, root: data}"


def joints(root: Path, keypoints: np.ndarray, make_film: Callable[[Path], Path]) -> str:
    videos(root, keypoints, make_film)
    for film in root.rglob("*.mp4"):
        film.unlink()
    return "{kind: joints, root: data}"


def ntu(root: Path, keypoints: np.ndarray, make_film: Callable[[Path], Path]) -> str:
    """Bodies whose bodyIDs change places."""
    lines = [str(FRAMES)]
    for bodies in keypoints:
        lines.append("2")
        for number, body in enumerate(bodies):
            lines += [f"7205759403793110{number} 0 1 1 1 1 0 0 0 2", "25"]
            lines += [f"0 0 3 200 100 {x:.6f} {y:.6f} 0 0 0 1 2" for x, y, _ in body]
    for name in ("S001C001P001R001A001", "S001C001P003R001A002"):
        make_film(root / f"{name}_rgb.mp4")
        (root / f"{name}.skeleton").write_text("\n".join(lines) + "\n")
    return "{kind: ntu, root: data, split: xsub, missing: none}"


def recipe_of(folder: Path, dataset: str, *words: str) -> recipes.Recipe:
    path = folder / "star.yaml"
    path.write_text(
        f"dataset: {dataset}\ncache: {{root: cache}}\ndecode: {{frames: {FRAMES}, views: {{train: 2, test: 2}}}}\n"
        "pose: {people: 2}\nbackbone: {weights: random, size: 32}\n"
        f"{ALONE if 'joints' in dataset else ''}"
    )
    return recipes.load(path, words)


def poses(recipe: recipes.Recipe) -> dict[tuple[str, int], np.ndarray]:
    """The joints of every clip, extracted."""
    extract(recipe, only=("pose",), execution=ExecutionConfig(workers=1), quiet=True)
    stage = plan(recipe, only=("pose",)).stages["pose"]
    assert not stage.missing
    return {clip: stage.read([clip], "keypoints")[0] for clip in stage.places}


@pytest.mark.parametrize("kind", [videos, joints, ntu], ids=lambda kind: kind.__name__)
def test_linked_people_have_their_own_places(
    tmp_path: Path, make_film: Callable[[Path], Path], kind: Callable[..., str]
) -> None:
    """What is cached is what a tidy annotation gives, mirrored views too; scan says that it is needed, and when not."""
    expected = None
    for name, change in (("tidy", np.array), ("swapped", swapped)):
        (tmp_path / name).mkdir()
        dataset = kind(tmp_path / name / "data", change(two(len(NTU.joints))), make_film)
        orders = []
        for link in ("false", "true"):
            recipe = recipe_of(tmp_path / name, dataset, f"pose.link={link}")
            findings = [finding for finding in scan(recipe, workers=1, quiet=True).findings if finding.kind == "order"]
            orders.append([(finding.level, "pose.link: true" in finding.message) for finding in findings])
            found = poses(recipe)
            expected = expected or found
            assert len(found) == 4
            same = all(np.array_equal(found[clip], expected[clip]) for clip in expected)
            assert same == (name == "tidy" or link == "true")
        assert orders == ([[], []] if name == "tidy" else [[("problem", True)] * 2, []])


def test_one_person_alone_is_unchanged(small: Path) -> None:
    """Linking a single person (as in Penn Action) changes no number, only the key."""
    before, after = poses(recipes.load(small)), poses(recipes.load(small, ("pose.link=true",)))
    assert before.keys() == after.keys()
    for clip, keypoints in before.items():
        np.testing.assert_array_equal(keypoints, after[clip])
