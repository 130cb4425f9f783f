"""The clips of a cache that a person should look at first: low joint scores, empty heat maps, strange features.

Only the first view of each video is read, segment by segment and row by row, and a few figures of each are kept: memory
does not grow with the arrays. NaN anywhere is for `star verify`; here a whole clip with it, or without any contrast,
comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

import numpy as np

from ...cache.store import RowLocation
from ...errors import Interrupted, MissingFeatures
from ..datasets.base import Video
from ..planning.plan import Plan
from ..utils.progress import Progress
from ..utils.signals import StopSignal

MEASURED = {"pose": "keypoints", "heatmaps": "joint_heatmap", "backbone": "global_grid"}
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

    def add(self, array: str, values: np.ndarray) -> None:
        """Measure an array: `keypoints` (T, P, N, 3), `joint_heatmap` (T, N, y, x) or `global_grid` (T, C, y, x)."""
        if array == "keypoints":
            self.score = float(np.nan_to_num(values[..., 2]).max(1).mean())
        elif array == "joint_heatmap":
            self.empty = 1 - float(values.any(axis=(2, 3)).mean())
        else:
            cells = values.astype(np.float32).reshape(*values.shape[:2], -1)
            squares = np.einsum("tci,tci->tc", cells, cells) / cells.shape[-1]
            energy = float(np.sqrt(squares.mean()))
            varied = float(np.sqrt((squares - cells.mean(-1) ** 2).clip(0).mean()))
            self.energy, self.contrast = energy, varied / energy if energy else 0.0
            if not np.isfinite(energy) or self.contrast < 1e-3:
                self.strange = np.inf

    @property
    def features_reason(self) -> str:
        """Why the features deserve a look."""
        if not np.isfinite(self.energy):
            return "features: not finite; `star verify RECIPE` says where"
        if not np.isfinite(self.strange):
            return "features: the same everywhere in the picture"
        return f"features: energy {self.energy:.3g}, contrast {self.contrast:.2g}, {self.strange:.1f} deviations off"


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
    known = ([v for one in found.values() if np.isfinite(v := getattr(one, name))] for name in ("score", "empty"))
    score, empty = (float(np.median(values)) if values else np.nan for values in known)
    # the worst first; clips with perfect joints or without an empty heat map are in none of the latter two
    strange = sorted((-one.strange, name) for name, one in found.items() if one.strange > 0)
    joints = sorted((one.score, name) for name, one in found.items() if one.score < min(score, 1.0))
    heat = sorted((-one.empty, name) for name, one in found.items() if one.empty > max(empty, 0.0))
    ranked_by = (
        [(name, found[name].features_reason) for _, name in strange[:count]],
        [(name, f"joints: mean score {value:.2f}, of the median clip {score:.2f}") for value, name in joints[:count]],
        [(name, f"heat maps: {-value:.1%} empty, of the median clip {empty:.1%}") for value, name in heat[:count]],
    )
    for turn in zip_longest(*ranked_by):
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
    rows = {  # segment by segment, and within it in order
        name: sorted((place.segment, place.row, video) for (video, view), place in stage.places.items() if view == 0)
        for name, stage in planned.stages.items()
        if name in MEASURED
    }
    total = sum(map(len, rows.values()))
    with StopSignal("stopping") as stop, Progress("inspect", total, "rows", quiet=quiet) as bar:
        for name in [name for name in MEASURED if name in rows]:
            stage, array = planned.stages[name], MEASURED[name]
            for segment, row, video in rows[name]:
                values = stage.stage_store.read([RowLocation(segment, row)], array, [stage.row_of(video, 0)])[0]
                if stop.asked:
                    raise Interrupted(f"interrupted: {bar.done:,} of {total:,} rows read; nothing was drawn")
                found[video].add(array, values)
                bar.advance()
    return dict(found)


def _compare(found: Mapping[str, Figures], videos: Mapping[str, Video]) -> None:
    """Set `strange`: against the clips of the class, or of the data set where the class has few."""
    sound = {name: figures for name, figures in found.items() if np.isfinite([figures.energy, figures.strange]).all()}
    classes: dict[int, list[Figures]] = defaultdict(list)
    for name, figures in sound.items():
        classes[videos[name].label].append(figures)
    few = [figures for clips in classes.values() if len(clips) < ENOUGH for figures in clips]
    large = [clips for clips in classes.values() if len(clips) >= ENOUGH]
    parts = [*((clips, clips) for clips in large), *([(few, list(sound.values()))] if few else [])]
    for clips, others in parts:
        for name in ("energy", "contrast"):
            values, common = (np.log([getattr(one, name) for one in part]) for part in (clips, others))
            middle = np.median(common)
            deviation = max(1.4826 * float(np.median(np.abs(common - middle))), 1e-3)  # the standard one, robustly
            for one, far in zip(clips, np.abs(values - middle) / deviation, strict=True):
                one.strange = max(one.strange, float(far))
