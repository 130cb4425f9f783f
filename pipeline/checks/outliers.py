"""The clips of a cache that a person should look at first: low joint scores, empty heat maps, strange features.

Only the first view of each video is read, segment by segment and row by row, and a few figures of each are kept: memory
does not grow with the arrays. NaN anywhere is for `star verify`; here a whole clip with it, or without any contrast,
comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from ...cache.store import RowLocation
from ...errors import Interrupted, MissingFeatures
from ..datasets.base import Video
from ..planning.plan import Plan, StagePlan
from ..utils.progress import Progress
from ..utils.signals import StopSignal

ENOUGH = 8  # clips of a class from which its features are compared with each other, not with the whole data set's


@dataclass
class Figures:
    """What is measured of one clip; NaN for what is not cached.

    score: mean score of the joints, of whichever person has the best, 0 for an absent one. empty: share of the heat
    maps, over frames and joints, that are all zero. energy: root mean square of the global grid, over everything.
    contrast: how much the grid varies over space, as a share of its energy. strange: how far energy or contrast is from
    the other clips', in robust standard deviations.
    """

    score: float = np.nan
    empty: float = np.nan
    energy: float = np.nan
    contrast: float = np.nan
    strange: float = 0.0


@dataclass
class Outlier:
    """One clip to look at, and why."""

    video: Video
    figures: Figures
    reasons: list[str] = field(default_factory=list)


def worst(planned: Plan, count: int, *, quiet: bool = False) -> list[Outlier]:
    """Up to `count` clips: those with broken features first, then by turns the worst by joints, heat maps, features.

    Raises MissingFeatures where nothing is cached, Interrupted after Ctrl-C.
    """
    found = measure(planned, quiet=quiet)
    if not found:
        raise MissingFeatures(f"cache.root: {planned.recipe.cache.root} has no clip; run `star extract` first")
    videos = {video.id: video for video in planned.manifest.videos if video.id in found}
    _compare(found, videos)
    chosen: dict[str, Outlier] = {}
    for turn in zip_longest(*_ranked(found, count)):
        for ranked in turn:
            if ranked is not None:
                name, reason = ranked
                if name in chosen:
                    chosen[name].reasons.append(reason)
                elif len(chosen) < count:
                    chosen[name] = Outlier(videos[name], found[name], [reason])
    broken = [clip for clip in chosen.values() if not np.isfinite(clip.figures.strange)]
    return [*broken, *(clip for clip in chosen.values() if np.isfinite(clip.figures.strange))]


def measure(planned: Plan, *, quiet: bool = False) -> dict[str, Figures]:
    """The figures of every video's first view that has any."""
    found: dict[str, Figures] = defaultdict(Figures)
    stages = [planned.stages[name] for name in MEASURES if name in planned.stages]
    places = {stage.name: _first_views(stage) for stage in stages}
    total = sum(len(rows) for segments in places.values() for rows in segments.values())
    with StopSignal("stopping") as stop, Progress("inspect", total, "rows", quiet=quiet) as bar:
        for stage in stages:
            array, take = MEASURES[stage.name]
            for video, values in _rows(stage, places[stage.name], array):
                if stop.asked:
                    raise Interrupted(f"interrupted: {bar.done:,} of {total:,} rows read; nothing was drawn")
                take(found[video], values)
                bar.advance()
    return dict(found)


def _first_views(stage: StagePlan) -> dict[str, list[tuple[int, str]]]:
    """Segment -> the rows of first views in it, with their videos."""
    segments: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for (video, view), place in stage.places.items():
        if view == 0:
            segments[place.segment].append((place.row, video))
    return segments


def _rows(
    stage: StagePlan, segments: Mapping[str, list[tuple[int, str]]], array: str
) -> Iterator[tuple[str, np.ndarray]]:
    for segment in sorted(segments):
        for row, video in sorted(segments[segment]):
            yield video, stage.stage_store.read([RowLocation(segment, row)], array, [stage.row_of(video, 0)])[0]


def _joints(figures: Figures, keypoints: np.ndarray) -> None:
    """keypoints: (T, P, N, 3)."""
    figures.score = float(np.nan_to_num(keypoints[..., 2]).max(1).mean())


def _heat(figures: Figures, maps: np.ndarray) -> None:
    """maps: (T, N, y, x)."""
    figures.empty = 1 - float(maps.any(axis=(2, 3)).mean())


def _features(figures: Figures, grid: np.ndarray) -> None:
    """grid: (T, C, y, x)."""
    values = grid.astype(np.float32).reshape(*grid.shape[:2], -1)
    squares = np.einsum("tci,tci->tc", values, values) / values.shape[-1]
    energy = float(np.sqrt(squares.mean()))
    varied = float(np.sqrt((squares - values.mean(-1) ** 2).clip(0).mean()))
    figures.energy, figures.contrast = energy, varied / energy if energy else 0.0
    if not np.isfinite(energy) or figures.contrast < 1e-3:
        figures.strange = np.inf


MEASURES: Mapping[str, tuple[str, Callable[[Figures, np.ndarray], None]]] = {
    "pose": ("keypoints", _joints),
    "heatmaps": ("joint_heatmap", _heat),
    "backbone": ("global_grid", _features),
}


def _compare(found: Mapping[str, Figures], videos: Mapping[str, Video]) -> None:
    """Set `strange`: against the clips of the class, or of the data set where the class has few."""
    sound = {name: figures for name, figures in found.items() if np.isfinite([figures.energy, figures.strange]).all()}
    classes: dict[int, list[Figures]] = defaultdict(list)
    for name, figures in sound.items():
        classes[videos[name].label].append(figures)
    few = [figures for clips in classes.values() if len(clips) < ENOUGH for figures in clips]
    large = [clips for clips in classes.values() if len(clips) >= ENOUGH]
    for clips, others in [*((clips, clips) for clips in large), (few, list(sound.values()))]:
        for name in ("energy", "contrast"):
            values, common = (np.log([getattr(one, name) for one in part]) for part in (clips, others))
            for one, far in zip(clips, _deviations(values, common), strict=True):
                one.strange = max(one.strange, float(far))


def _deviations(values: np.ndarray, common: np.ndarray) -> np.ndarray:
    """How far values are from the median of `common`, in standard deviations estimated by its median deviation."""
    if not len(values):
        return values
    middle = np.median(common)
    return np.abs(values - middle) / max(1.4826 * float(np.median(np.abs(common - middle))), 1e-3)


def _ranked(found: Mapping[str, Figures], count: int) -> list[list[tuple[str, str]]]:
    """Three lists of (video, reason), the worst first, up to `count` each: by features, joints, heat maps.

    Clips with perfect joints or without an empty heat map are in none of the latter two.
    """
    score, empty = (_median([getattr(one, name) for one in found.values()]) for name in ("score", "empty"))
    joints = sorted((one.score, name) for name, one in found.items() if one.score < min(score, 1.0))
    heat = sorted((-one.empty, name) for name, one in found.items() if one.empty > max(empty, 0.0))
    strange = sorted((-one.strange, name) for name, one in found.items() if one.strange > 0)
    return [
        [(name, _of_features(found[name])) for _, name in strange[:count]],
        [(name, f"joints: mean score {value:.2f}, of the median clip {score:.2f}") for value, name in joints[:count]],
        [(name, f"heat maps: {-value:.1%} empty, of the median clip {empty:.1%}") for value, name in heat[:count]],
    ]


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else np.nan


def _of_features(figures: Figures) -> str:
    if not np.isfinite(figures.energy):
        return "features: not finite; `star verify` says where"
    if not np.isfinite(figures.strange):
        return "features: the same everywhere in the picture"
    return (
        f"features: energy {figures.energy:.3g}, contrast {figures.contrast:.2g}, {figures.strange:.1f} deviations off"
    )
