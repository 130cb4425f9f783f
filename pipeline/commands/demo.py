"""`star demo`: the whole way, on a data set that star draws itself, through the very code of the other commands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import StarError
from ..datasets.synthetic import dataset as drawn
from ..datasets.synthetic.motion import ACTIONS
from ..evaluation.report import report
from ..planning.plan import plan
from ..recipe import schema as recipes
from ..recipe.presets import ready
from ..utils.hardware import cores
from ..utils.progress import Progress, tell
from ..utils.text import clock
from ..visualization.clip_figure import inspect
from ..visualization.thumbnails import Thumbnails
from .extract import run_extract
from .test import run_test
from .train import run_train


@dataclass(frozen=True)
class Demo:
    """What the demo came to: accuracies on clips never seen, seconds by step, and where to look."""

    top1: float
    top5: float
    mean_class: float
    clips: int
    seconds: Mapping[str, float]
    total: float
    recipe: str
    report: str
    picture: str
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        document = asdict(self)
        del document["exit_code"]
        return document

    def to_lines(self) -> list[str]:
        """The figures as a short table, and where to look."""
        times = ", ".join(f"{name} {clock(seconds)}" for name, seconds in self.seconds.items())
        return [
            "",
            f"top-1 accuracy    {self.top1:.1%}   on clips whose figure, clothes and background were never seen",
            f"top-5 accuracy    {self.top5:.1%}",
            f"mean per class    {self.mean_class:.1%}",
            f"time              {clock(self.total)}   ({times})",
            f"recipe            {self.recipe}   (change it, then `star extract`, `star train`)",
            f"picture of a clip {self.picture}",
            f"report            {self.report}",
        ]


def run_demo(folder: Path, *, clips: int = 40, seed: int = 0, quiet: bool = False) -> Demo:
    """Draw, extract, train, test and report in `folder`; what is there already is not done again.

    clips: how many to draw per action. seed: of the drawing and of the training. Returns the figures for the table.
    Raises StarError.
    """
    began = time.monotonic()
    folder = folder.absolute()
    data, run, path = folder / "data", folder / "run", folder / "star.yaml"
    times = {}

    def step(name: str, text: str) -> None:
        """Say what begins, and when."""
        times[name] = time.monotonic()
        if not quiet:
            tell(f"[{len(times)}/4] {text}")

    step("draw", f"drawing 8 actions × {clips} clips into {data}")
    _draw(data, clips, seed, quiet)
    path.write_text(ready("drawn", data, folder / "cache"), encoding="utf-8")
    recipe = recipes.load(path, (f"train.seed={seed}",))
    step("extract", "decoding, joints by mmpose, mc3_18, heat maps, tokens")
    extracted = run_extract(recipe, quiet=quiet)
    if extracted.exit_code:
        raise StarError("demo: a drawn clip could not be extracted: " + "; ".join(extracted.to_lines()))
    step("train", f"training the STAR-Transformer for {recipe.train.epochs} epochs")
    run_train(recipe, run, resume=(run / "last").exists(), quiet=quiet)
    step("test", "testing on figures, clothes and backgrounds that training never saw")
    tested = run_test(recipe, run, quiet=quiet).evaluation.summary
    page = report([run], folder / "report.html", pictures=Thumbnails)
    first = plan(recipe).manifest.videos[0].id
    picture = inspect(recipe, first, folder / "clip.png")
    ends = [*list(times.values())[1:], time.monotonic()]
    return Demo(
        top1=tested["top1"],
        top5=tested["top5"],
        mean_class=tested["mean_class"],
        clips=extracted.outcome.clips,
        seconds={name: round(end - start, 1) for (name, start), end in zip(times.items(), ends, strict=True)},
        total=round(time.monotonic() - began, 1),
        recipe=str(path),
        report=str(page),
        picture=str(picture),
    )


def _draw(root: Path, clips: int, seed: int, quiet: bool) -> None:
    with Progress("draw", clips * len(ACTIONS), quiet=quiet) as bar:
        drawn.draw(
            root,
            clips_per_class=clips,
            seed=seed,
            workers=cores(),
            progress=lambda done, _: bar.advance(done - bar.done),
        )
