"""`star inspect`: one picture of what the cache holds of a video, so that a person can see whether it is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import MissingFeatures, UsageError
from ..planning.plan import Plan, plan
from ..recipe.schema import Recipe
from . import drawing
from .canvas import GREY, Canvas
from .clip_view import Arrays, Viewer, skeleton

COLUMNS = 8  # frames shown, evenly over the clip
CELL, GAP = 160, 6  # px of a picture's longer side, and between pictures
ORIGIN = 96, 78  # px, where the first frame's corner is


def inspect(recipe: Recipe, video: str, out: Path, view: int = 0) -> Path:
    """Draw frames with joints, boxes and crop, heat maps over the crop, and both feature maps of one clip into a PNG.

    video: its id in the data set, the end of one that no other has, or the path of its file. Raises UsageError where
    it is none of these, MissingFeatures where nothing is cached.
    """
    planned = plan(recipe)
    videos, path = planned.manifest.videos, Path(video).absolute()
    exact = [one for one in videos if one.id == video or one.media.absolute() == path]
    named = exact or [one for one in videos if one.id.endswith(f"/{video}")]
    if not named:
        root = planned.recipe.dataset.root
        raise UsageError(f"{video}: no such video in {planned.manifest.name}; ids are paths below {root}")
    if len(named) > 1 and not exact:
        raise UsageError(f"{video}: {len(named)} videos end so; name one of them, like {named[0].id}")
    found = named[0]
    arrays = cached(planned, found.id, view)
    if "frame_index" not in arrays:
        raise MissingFeatures(f"{found.id}: nothing of it is in {recipe.cache.root}; run `star extract` first")
    mirrored = ", mirrored" if arrays["flip"] else ""
    title = f"{found.id}, view {view}{mirrored}: {found.named(planned.manifest.classes) or 'no label'}"
    _draw(Viewer(planned, found, view, arrays), title).save(out)
    return out


def cached(planned: Plan, video: str, view: int) -> Arrays:
    """Every cached array of one clip, by name."""
    arrays = {}
    for name, stage in planned.stages.items():
        if (video, view) in stage.places:
            for array in planned.graph[name].arrays:
                arrays[array] = stage.read([(video, view)], array)[0]
    return arrays


def limbs(planned: Plan) -> list[tuple[int, int]]:
    """The limbs of the cached joints, as the segments themselves name them."""
    return [(a, b) for a, b in skeleton(planned).get("limbs", ())]


def frame_height(size: np.ndarray) -> int:
    """How high the row of frames is, px: frames (w, h) are scaled to the cells' width, or height if that is less."""
    width, height = (int(side) for side in size)
    return max(1, round(height * min(CELL / width, CELL / height)))


def _draw(viewer: Viewer, title: str) -> Canvas:
    arrays = viewer.arrays
    count = len(arrays["frame_index"])
    steps = np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int).tolist()
    left, top = ORIGIN
    first = frame_height(arrays["frame_size"])
    maps = {  # maps (T, C, y, x) as the root mean square over channels: (T, y, x)
        name: np.sqrt((arrays[name].astype(np.float32) ** 2).mean(1))
        for name in ("local_map", "global_grid")
        if name in arrays
    }
    # the largest finite value: one scale for all frames, so that one without energy stays dark
    scales = [float(np.where(np.isfinite(values), values, 0).max()) for values in maps.values()]
    rows = [top, *(top + first + GAP + number * (CELL + GAP) for number in range(1 + len(maps)))]
    sheet = Canvas(left + len(steps) * (CELL + GAP) + GAP, rows[-1] + CELL + GAP)
    _words(sheet, viewer, title, rows, list(maps))
    frames = viewer.frames(steps)
    for column, t in enumerate(steps):
        x = left + column * (CELL + GAP)
        told = f"frame {arrays['frame_index'][t]}, {arrays['time'][t]:.2f} s"
        sheet.write(told, x + CELL // 2, top - 16, ha="center", color=GREY)
        if t in frames:
            picture = viewer.scene(frames[t], t, CELL, CELL)
            sheet.paste(picture, x + (CELL - picture.shape[1]) // 2, top)
        else:
            sheet.blank(x, top, CELL, first, "the video is not at hand")
        seen = viewer.seen(frames.get(t), t, CELL)
        if seen is not None:
            sheet.paste(seen, x, rows[1])
        for row, values, scale in zip(rows[2:], maps.values(), scales, strict=True):
            sheet.paste(drawing.energy(values[t], CELL, scale), x, row)
    return sheet


def _words(sheet: Canvas, viewer: Viewer, title: str, rows: list[int], maps: list[str]) -> None:
    """Title, legend and the names of the rows."""
    sheet.write(title, ORIGIN[0], 10, fontsize=11, fontweight="bold")
    words = [("left joints", drawing.LEFT), ("right joints", drawing.RIGHT), ("crop", drawing.REGION)]
    words += [("annotated box", drawing.BOX)] if viewer.boxes is not None else []
    for number, (name, colour) in enumerate(words):
        x = ORIGIN[0] + 110 * number
        sheet.paste(np.full((10, 10, 3), colour, np.uint8), x, 39)
        sheet.write(name, x + 16, 38, color=GREY)
    size = viewer.planned.recipe.backbone.size
    heat = "heat maps\nover it" if "joint_heatmap" in viewer.arrays else "no heat maps\nare cached"
    energies = {"local_map": "energy of\nthe local map", "global_grid": "energy of\nthe global grid"}
    told = ["frame", f"seen by the\nnetwork\n({size}×{size} px),\n{heat}", *(energies[name] for name in maps)]
    for row, name in zip(rows, told, strict=True):
        sheet.write(name, 8, row + 2)
