"""`star inspect`: the picture of a clip, checked on pixels of the file itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.io import savemat

from star.cli import main
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization import clip_figure as module
from star.pipeline.visualization import drawing
from star.pipeline.visualization.clip_view import Viewer

RECIPE = """
dataset: {kind: penn_action, root: .}
cache: {root: cache}
decode: {frames: 4, views: {train: 4}}
backbone: {weights: random, size: 64, crop: person, margin: 0.5, precision: float32}
"""
HEAD, WRISTS, PLAIN = (60, 20), ((40, 30), (90, 70)), (120, 100)  # x, y px


def star(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Penn Action sequence up to its heat maps: 160 × 120 px, red above, blue below, one corner green."""
    root = tmp_path_factory.mktemp("clip")
    (root / "frames/0001").mkdir(parents=True)
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:60], picture[60:], picture[80:, :24] = (0, 0, 200), (200, 0, 0), (0, 200, 0)  # BGR, as OpenCV writes
    for number in range(6):
        cv2.imwrite(str(root / f"frames/0001/{number:06d}.png"), picture)
    places = np.zeros((6, 13, 2))
    places[:, 0], places[:, 5], places[:, 6] = HEAD, *WRISTS
    seen = places.any(-1)
    fields = {"action": "squat", "train": 1, "pose": "front", "x": places[..., 0] + 1, "y": places[..., 1] + 1}
    (root / "labels").mkdir()
    box = np.tile([21.0, 11, 141, 111], (6, 1))
    savemat(root / "labels/0001.mat", fields | {"visibility": seen, "bbox": box})
    (root / "star.yaml").write_text(RECIPE)
    options = ("--stage", "heatmaps", "--device", "cpu", "--workers", "1")
    assert star("extract", root / "star.yaml", "-q", *options).exit_code == 0
    return root / "star.yaml"


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def near(colour: np.ndarray, expected: tuple[int, int, int]) -> bool:
    return bool(np.abs(colour.astype(int) - expected).max() <= 12)


def test_joints_colours_boxes_and_crop_are_where_they_belong(clip: Path, tmp_path: Path) -> None:
    """A cell is as wide as the frame, so its pixels are the frame's: swapped colours or axes, or a shift, show."""
    result = star("inspect", clip, "frames/0001", "-o", tmp_path / "a.png")
    assert (result.exit_code, result.stdout) == (0, f"picture: {tmp_path / 'a.png'}\n")
    found = read(tmp_path / "a.png")
    left, top = module.ORIGIN
    frame = found[top : top + 120, left : left + module.CELL]
    dots = {HEAD: drawing.MIDDLE, WRISTS[0]: drawing.LEFT, WRISTS[1]: drawing.RIGHT}
    for (x, y), colour in dots.items():
        assert tuple(frame[y, x]) == colour
        assert not near(frame[y + 3, x], colour)
    assert near(frame[40, 100], (200, 0, 0))
    assert near(frame[PLAIN[1], PLAIN[0]], (0, 0, 200))
    assert near(frame[115, 5], (0, 200, 0))
    assert near(frame[115, 154], (0, 0, 200))
    assert tuple(frame[50, 20]) == tuple(frame[50, 140]) == drawing.BOX
    assert tuple(found[top, left + module.CELL + 1]) == (255, 255, 255)  # between the cells


def test_heat_lies_over_the_crop_at_the_joints(clip: Path, tmp_path: Path) -> None:
    """In the second row every joint is the hottest place around it, on what the network saw, in its colours."""
    star("inspect", clip, "frames/0001", "-o", tmp_path / "a.png")
    planned = plan(recipes.load(clip))
    video = planned.manifest.videos[0]
    region = Viewer(planned, video, 0, module.cached(planned, video.id, 0)).region
    left, top = module.ORIGIN[0], module.ORIGIN[1] + 120 + module.GAP
    seen = read(tmp_path / "a.png")[top : top + module.CELL, left : left + module.CELL]
    ratio = module.CELL / (region[2] - region[0])

    def at(x: float, y: float) -> np.ndarray:
        column, row = ((x + 0.5 - region[0]) * ratio, (y + 0.5 - region[1]) * ratio)
        return seen[int(row), int(column)]

    for x, y in (HEAD, *WRISTS):
        assert at(x, y)[1] > 60  # inferno is yellow at a peak; neither red nor blue has any green
    for x, y in ((100, 20), (40, 62), (60, 80)):
        assert at(x, y)[1] < 30
    assert near(at(90, 30), (200, 0, 0))
    assert near(at(50, 85), (0, 0, 200))
    assert near(at(30, 55), (200, 0, 0))  # the edges of the colours are where they are in the frame
    assert near(at(30, 65), (0, 0, 200))
    assert near(at(19, 90), (0, 200, 0))
    assert near(at(29, 90), (0, 0, 200))


def test_a_video_may_be_named_as_a_person_would(extracted: Path, tmp_path: Path) -> None:
    """By the end of its id, by its file; where several end so, the message says how to go on."""
    data = recipes.load(extracted).dataset.root
    for name in ("videos/wave_000.mp4", "wave_000.mp4", data / "videos" / "wave_000.mp4"):
        assert star("inspect", extracted, name, "-o", tmp_path / "a.png").exit_code == 0
    list_csv = "video,label,split\na/x.mp4,bow,train\nb/x.mp4,bow,test\n"
    (tmp_path / "list.csv").write_text(list_csv)
    other = tmp_path / "star.yaml"
    other.write_text("{dataset: {kind: videos, root: .}, cache: {root: cache}, backbone: {weights: random}}")
    result = star("inspect", other, "x.mp4", "-o", tmp_path / "b.png")
    told = "star: x.mp4: 2 videos end so; name one of them, like a/x.mp4\n"
    assert (result.exit_code, result.stderr) == (2, told)


def test_feature_maps_are_drawn_on_one_scale(extracted: Path, tmp_path: Path) -> None:
    """Below the heat maps: the energy over channels of both maps, from 0 to the largest of all frames, cell by cell."""
    star("inspect", extracted, "videos/wave_000.mp4", "-o", tmp_path / "a.png")
    found, (left, top) = read(tmp_path / "a.png"), module.ORIGIN
    arrays = module.cached(plan(recipes.load(extracted)), "videos/wave_000.mp4", 0)
    step = module.CELL + module.GAP
    below = top + module.frame_height(arrays["frame_size"]) + module.GAP + step
    for row, name in enumerate(("local_map", "global_grid")):
        energy = np.sqrt((arrays[name].astype(np.float64) ** 2).mean(1))
        for column, t in ((0, 0), (7, 15)):
            x, y = left + column * step, below + row * step
            side = energy.shape[-1]
            middles = (2 * np.arange(side) + 1) * module.CELL // (2 * side)
            cells = found[y : y + module.CELL, x : x + module.CELL][middles][:, middles].astype(int)
            assert np.abs(cells - drawing.coloured(energy[t] / energy.max())).max() <= 8


def test_a_mirrored_view_is_drawn_as_it_was_seen(clip: Path, tmp_path: Path) -> None:
    """Frame, joints and boxes of a mirrored view are all mirrored; the left wrist is still the left one."""
    recipe = recipes.load(clip)
    planned = plan(recipe)
    view = next(view for view in range(4) if module.cached(planned, "frames/0001", view)["flip"])
    module.inspect(recipe, "frames/0001", tmp_path / "a.png", view)
    left, top = module.ORIGIN
    frame = read(tmp_path / "a.png")[top : top + 120, left : left + module.CELL]
    assert tuple(frame[WRISTS[1][1], 159 - WRISTS[1][0]]) == drawing.LEFT
    assert tuple(frame[HEAD[1], 159 - HEAD[0]]) == drawing.MIDDLE
    assert tuple(frame[50, 159 - 20]) == drawing.BOX
    assert near(frame[115, 154], (0, 200, 0))


def test_without_the_video_the_cache_is_drawn(clip: Path, tmp_path: Path) -> None:
    """A laptop that has only the cache gets heat maps on black and the features; the frames are grey fields."""
    other = tmp_path / "star.yaml"
    text = RECIPE.replace("root: .", f"root: {tmp_path / clip.parent.name}")
    other.write_text(text.replace("root: cache", f"root: {clip.parent / 'cache'}"))
    star("status", clip)  # the list is remembered
    result = star("inspect", other, "frames/0001", "-o", tmp_path / "a.png")
    assert result.exit_code == 0, result.stderr
    found, (left, top) = read(tmp_path / "a.png"), module.ORIGIN
    assert near(found[top + 10, left + 10], (229, 231, 235))
    assert found[top + 120 + module.GAP + 2, left + 2].max() < 10


def test_one_of_both_must_be_asked_for(clip: Path, tmp_path: Path) -> None:
    """Neither a video nor --worst, or both, is one line and exit code 2."""
    for words in ([], ["frames/0001", "--worst", "3"]):
        result = star("inspect", clip, *words, "-o", tmp_path / "a.png", "-q")
        assert result.exit_code == 2
        told = "inspect: name one VIDEO, or give --worst N for the N clips that most deserve a look"
        assert result.stderr == f"star: {told}\n"
