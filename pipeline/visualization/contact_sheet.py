"""`star inspect --worst N`: a contact sheet of the clips that most deserve a look, and the same as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ..checks.outliers import Outlier, worst
from ..planning.plan import Plan, plan
from ..recipe.schema import Recipe
from .canvas import GREY, Canvas
from .clip_figure import cached, inspect
from .clip_view import Viewer

COLUMNS = 4
WIDE, SIDE, GAP = 200, 150, 6  # px: the frame's width, the height of both pictures, between them
CELL = WIDE + GAP + SIDE + 4 * GAP, SIDE + 72  # px of a clip on the sheet
TOP, EDGE = 44, 16


@dataclass(frozen=True)
class Inspection:
    """The picture that was drawn. worst: the clips on the sheet; None where it is of one video. classes: by label."""

    picture: Path
    worst: tuple[Outlier, ...] | None = None
    classes: Sequence[str] = ()
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        if self.worst is None:
            return {"picture": str(self.picture)}
        clips = []
        for clip in self.worst:
            figures = {
                name: round(float(value), 5) if np.isfinite(value) else None
                for name, value in vars(clip.figures).items()
            }
            name, video = clip.video.named(self.classes), clip.video
            clips.append({"video": video.id, "class": name, "split": video.split, "reasons": clip.reasons, **figures})
        return {"picture": str(self.picture), "worst": clips}

    def to_lines(self) -> list[str]:
        """One line per clip, and where the picture is."""
        clips = [f"{clip.video.id}: {'; '.join(clip.reasons)}" for clip in self.worst or ()]
        return [*clips, f"picture: {self.picture}"]


def look(recipe: Recipe, video: str | None, out: Path, *, count: int | None, quiet: bool = False) -> Inspection:
    """`star inspect`: one video's picture, or with `count` the sheet of so many clips.

    Raises UsageError unless exactly one of both is asked for, and what `inspect` and `worst` raise.
    """
    if (video is None) == (count is None):
        raise UsageError("inspect: name one VIDEO, or give --worst N for the N clips that most deserve a look")
    if video is not None:
        return Inspection(inspect(recipe, video, out))
    planned = plan(recipe)
    clips = worst(planned, count or 0, quiet=quiet)
    draw(planned, clips).save(out)
    return Inspection(out, tuple(clips), planned.manifest.classes)


def draw(planned: Plan, clips: list[Outlier]) -> Canvas:
    """The sheet: of each clip the middle frame with joints and crop, what the network saw with heat maps, and why."""
    rows, width = -(-len(clips) // COLUMNS), min(COLUMNS, max(2, len(clips)))
    sheet = Canvas(2 * EDGE + width * CELL[0], TOP + rows * CELL[1] + EDGE)
    title = f"{planned.manifest.name}: {len(clips)} clips to look at, their middle frames"
    sheet.write(title, EDGE, 12, fontsize=11, fontweight="bold")
    for number, clip in enumerate(clips):
        row, column = divmod(number, COLUMNS)
        x, y = EDGE + column * CELL[0], TOP + row * CELL[1]
        arrays = cached(planned, clip.video.id, 0)
        frame = seen = None
        if "frame_index" in arrays:
            viewer, t = Viewer(planned, clip.video, 0, arrays), len(arrays["frame_index"]) // 2
            frame = viewer.frames([t]).get(t)
            seen = viewer.seen(frame, t, SIDE)
            if frame is not None:
                picture = viewer.scene(frame, t, WIDE, SIDE)
                sheet.paste(picture, x + (WIDE - picture.shape[1]) // 2, y + (SIDE - picture.shape[0]) // 2)
        if frame is None:
            sheet.blank(x, y, WIDE, SIDE, "the video is not at hand")
        if seen is not None:
            sheet.paste(seen, x + WIDE + GAP, y)
        named = f"{clip.video.id}: {clip.video.named(planned.manifest.classes) or 'no label'}, {clip.video.split}"
        sheet.write(textwrap.shorten(named, 60, placeholder=" …"), x, y + SIDE + 5, fontweight="bold", fontsize=7.5)
        reasons = [line for reason in clip.reasons for line in textwrap.wrap(reason, 66)]
        sheet.write("\n".join(reasons[:4]), x, y + SIDE + 20, color=GREY, fontsize=7)
    return sheet
