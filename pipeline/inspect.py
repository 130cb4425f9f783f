"""`star inspect`: one picture of what the cache holds of a video, so that a person can see whether it is right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..cache.errors import MissingFeatures, UsageError
from ..stages.decode import open_video
from .plan import Plan, plan
from .recipe import Recipe

COLUMNS = 8  # frames shown, evenly over the clip


def inspect(recipe: Recipe, video: str, out: Path, view: int = 0) -> Path:
    """Draw frames with joints, heat maps and the energy of both feature maps of one clip into a PNG.

    video: its id in the data set. Raises UsageError for an unknown id, MissingFeatures where nothing is cached.
    """
    planned = plan(recipe)
    found = next((known for known in planned.catalogue.videos if known.id == video), None)
    if found is None:
        raise UsageError(
            f"{video}: no such video in {planned.catalogue.name}; ids are paths below {recipe.dataset.root}"
        )
    arrays = cached(planned, video, view)
    if "frame_index" not in arrays:
        raise MissingFeatures(f"{video}: nothing of it is in {recipe.cache.root}; run `star extract` first")
    frames = {}
    if found.media.exists():
        with open_video(found.media, reader=recipe.decode.reader) as reader:
            frames = dict(reader.frames(sorted({int(index) for index in arrays["frame_index"]})))
    out.parent.mkdir(parents=True, exist_ok=True)
    _draw(arrays, frames, planned, f"{video}, view {view}: {planned.catalogue.classes[found.label]}", out)
    return out


def cached(planned: Plan, video: str, view: int) -> dict[str, np.ndarray]:
    """Every cached array of one clip, by name."""
    arrays = {}
    for name, stage in planned.stages.items():
        place = stage.places.get((video, view))
        if place is not None:
            for array in planned.graph[name].stage.arrays:
                arrays[array] = stage.shelf.read([place], array)[0]
    return arrays


def _draw(arrays: dict[str, np.ndarray], frames: dict[int, Any], planned: Plan, title: str, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    steps = np.linspace(0, len(arrays["frame_index"]) - 1, COLUMNS).round().astype(int)
    figure, axes = plt.subplots(4, COLUMNS, figsize=(2 * COLUMNS, 8), constrained_layout=True, squeeze=False)
    figure.suptitle(title)
    rows = ("frames, joints", "heat maps", "local map", "global grid")
    for (row, name), step in ((pair, step) for pair in enumerate(rows) for step in range(COLUMNS)):
        cell, t = axes[row][step], int(steps[step])
        cell.set_xticks([])
        cell.set_yticks([])
        if step == 0:
            cell.set_ylabel(name)
        if row == 0:
            cell.set_title(f"frame {arrays['frame_index'][t]}, {arrays['time'][t]:.2f} s", fontsize=8)
            _picture(cell, arrays, frames, planned, t)
        elif (picture := _energy(arrays, row, t)) is not None:
            cell.imshow(picture, cmap="magma")
    figure.savefig(out, dpi=80)
    plt.close(figure)


def _picture(cell: Any, arrays: dict[str, np.ndarray], frames: dict[int, Any], planned: Plan, t: int) -> None:
    frame = frames.get(int(arrays["frame_index"][t]))
    if frame is not None:
        cell.imshow(frame[:, ::-1] if arrays["flip"] else frame)
    for person in arrays["keypoints"][t] if "keypoints" in arrays else ():
        seen = person[:, 2] > planned.recipe.heatmaps.score_floor
        for a, b in limbs(planned):
            if seen[a] and seen[b]:
                cell.plot(person[[a, b], 0], person[[a, b], 1], color="lime", linewidth=1)
        cell.scatter(person[seen, 0], person[seen, 1], s=6, color="red")


def limbs(planned: Plan) -> list[tuple[int, int]]:
    """The limbs of the cached joints, as the segments themselves name them."""
    shelf = planned.stages["pose"].shelf
    skeleton = shelf.segment(shelf.segments()[0]).provenance.get("skeleton", {})
    return [(a, b) for a, b in skeleton.get("limbs", ())]


def _energy(arrays: dict[str, np.ndarray], row: int, t: int) -> np.ndarray | None:
    """One frame's map as a picture: all joints' heat maps at once, or the root mean square over channels."""
    name = ("", "joint_heatmap", "local_map", "global_grid")[row]
    if name not in arrays:
        return None
    maps = arrays[name][t].astype(np.float32)
    return maps.max(0) if row == 1 else np.sqrt((maps**2).mean(0))
