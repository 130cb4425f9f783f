"""`star report`: one HTML page about one run or several side by side, with everything in it and nothing fetched."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ...untrusted_files import UntrustedFile, parse_yaml, read_bytes, read_json, read_text
from ..training.run_dir import RunFolder, differences
from ..utils.atomic import replace_bytes
from ..utils.text import clock
from ..visualization.plots import curves_picture, frames_picture
from . import results

Pictures = Callable[[str], bytes | None]  # video id -> PNG or JPEG bytes, None where there is none

CURVES = (
    ("Loss", (("test_loss", "test"), ("train_loss", "training"))),
    ("Mean average precision", (("mean_average_precision", "test"),)),
    ("Top-1 accuracy", (("top1", "test"), ("train_top1", "training"))),
    ("Loss of the pose head", (("test_pose_loss", "test"),)),
    ("Learning rate", (("lr", "learning rate"),)),
)
MOST_BYTES = 1 << 26  # of a picture, or of the scores of a test
MODULES, FRAMES = 64, 200  # of a picture of what is looked at
FIGURES = (
    ("mean_average_precision", "Mean average precision"),
    ("top1", "Top-1"),
    ("top5", "Top-5"),
    ("mean_class", "Mean over classes"),
)


@dataclass(frozen=True)
class Run:
    """What a run's folder says. test: metrics.json, {} before `star test`; the pictures are data URIs or ""."""

    name: str
    path: Path
    recipe: dict[str, Any]
    recipe_text: str
    environment: dict[str, Any]
    rows: Sequence[dict[str, Any]]
    test: dict[str, Any]
    confusion: str
    reliability: str
    clips: Sequence[dict[str, Any]]

    @property
    def best(self) -> dict[str, Any]:
        """The row of the epoch that is best by `train.best_by`, as training chose it; {} where none was judged."""
        by = _setting(self.recipe, "train.best_by")
        by = by if by in ("top1", "mean_class", "loss", "mean_average_precision") else "top1"
        judged = [row for row in self.rows if "top1" in row] or [{}]

        def merit(row: Mapping[str, Any]) -> tuple[float, float]:
            loss = -_float(row.get("test_loss"), math.inf)
            return (loss if by == "loss" else _float(row.get(by), -math.inf)), loss

        return max(judged, key=merit)

    @property
    def seconds(self) -> float | None:
        """Time spent on training and on judging."""
        return self.rows[-1].get("seconds") if self.rows else None


def report(runs: Sequence[Path], out: Path, *, pictures: Callable[[Path], Pictures] | None = None) -> Path:
    """Write the page about these runs to `out` and return its path.

    pictures: run -> what gives a picture of a video's clip, where the media are at hand (`Thumbnails`); asked for
    the few clips that are shown.
    Raises UsageError for a folder that holds no run, StorageError where the page cannot be written.
    """
    if not runs:
        raise UsageError("report: no run given; `star report RUN…`")
    names = [path.resolve().name for path in runs]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}/{path.resolve().name}" for path in runs]
    read = [read_run(path, name, pictures(path) if pictures else None) for path, name in zip(runs, names, strict=True)]
    replace_bytes(out, render(read).encode("utf-8", "replace"))
    return out


def read_run(path: Path, name: str, pictures: Pictures | None = None) -> Run:
    """Read a run's folder. Raises UsageError where it holds no run."""
    folder = RunFolder(path)
    environment = folder.read_environment()
    try:
        text = read_text(folder.recipe)
        recipe = parse_yaml(text)
    except (OSError, UntrustedFile):
        raise UsageError(f"{path}: no run of star's (recipe.yaml cannot be read)") from None
    test = path / "test"
    scores: dict[str, Any] = {}
    with suppress(OSError, UntrustedFile):
        scores = read_json(test / "metrics.json", results.SCORES, MOST_BYTES)
    clips: list[dict[str, Any]] = []  # the surest right and wrong answers, with frames looked at and pictures
    for kind, group in (("wrong", "worst"), ("right", "surest")):
        for clip in scores.get(group, [])[: results.SHOWN]:
            picture = pictures(clip["video"]) if pictures else None
            attention = {name: np.asarray(share) for name, share in [*clip.get("frames", {}).items()][:MODULES]}
            lengths = {len(share) for share in attention.values()}
            shows = len(lengths) == 1 and 0 < min(lengths) <= FRAMES  # else there is no picture of it to draw
            looked = _data_uri(frames_picture(attention)) if shows else ""
            clips.append({**clip, "kind": kind, "picture": _data_uri(picture) if picture else "", "looked": looked})
    return Run(
        name=name,
        path=path,
        recipe=recipe,
        recipe_text=text,
        environment=environment,
        rows=folder.rows(),
        test=scores,
        confusion=_image(test / "confusion.png"),
        reliability=_image(test / "reliability.png"),
        clips=clips,
    )


def render(runs: Sequence[Run]) -> str:
    """The page as text."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    environment.filters |= {
        "percent": lambda value: f"{100 * value:.1f} %" if isinstance(value, (int, float)) else "–",
        "number": lambda value, places=0: f"{value:,.{places}f}" if isinstance(value, (int, float)) else "–",
        "clock": clock,
    }
    rows = {run.name: run.rows for run in runs}
    there = {key for run in runs for row in run.rows for key in row}
    names = dict.fromkeys(name for run in runs[1:] for name, _, _ in differences(runs[0].recipe, run.recipe))
    return environment.get_template("report.html").render(
        runs=runs,
        title=", ".join(run.name for run in runs),
        figures=FIGURES if any(FIGURES[0][0] in (run.test or run.best) for run in runs) else FIGURES[1:],
        curves=[
            (title, _data_uri(curves_picture(rows, lines, title)))
            for title, lines in CURVES
            if any(key in there for key, _ in lines)
        ],
        different=[(name, [_setting(run.recipe, name) for run in runs]) for name in names],
    )


def _setting(recipe: Any, name: str) -> Any:
    for part in name.split("."):
        recipe = recipe.get(part) if isinstance(recipe, dict) else None
    return recipe


def _image(path: Path) -> str:
    try:
        return _data_uri(read_bytes(path, MOST_BYTES))
    except (OSError, UntrustedFile):
        return ""


def _float(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, (int, float)) else otherwise


def _data_uri(content: bytes) -> str:
    kind = "jpeg" if content[:2] == b"\xff\xd8" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
