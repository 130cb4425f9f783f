"""star from Python: what `import star` offers, each the function behind the command of its name.

Importing this costs torch only where torch is needed. docs/api.md shows every one of them at work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cache.view import open_cache
from .errors import StarError
from .pipeline.planning.plan import Plan, plan
from .pipeline.recipe import schema
from .pipeline.recipe.run_recipe import run_recipe
from .pipeline.recipe.schema import Recipe

if TYPE_CHECKING:
    import numpy as np

    from .pipeline.extraction.runner import ExtractionResult
    from .pipeline.training.feature_dataset import FeatureDataset
    from .stages.end_to_end import EndToEnd
    from .stages.transformer import STARTransformer

__all__ = [
    "FeatureDataset", "Recipe", "STARTransformer", "StarError", "TrainedRun", "extract", "load_recipe", "load_run",
    "open_cache", "plan", "predict", "test", "train",
]  # fmt: skip


def load_recipe(path: str | Path, **settings: Any) -> Recipe:
    """Read a recipe (YAML). settings: laid over it, as `--set` does: `load_recipe(p, **{"heatmaps.sigma": 2})`.

    Raises RecipeError with the setting that is wrong and what it may be.
    """
    return schema.load(Path(path), _overrides(settings))


def _overrides(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings as `--set` takes them."""
    return tuple(f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in settings.items())


def extract(
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    device: str = "auto",
    workers: int = 0,
    scheduler: str | None = None,
    retry_failed: bool = False,
    quiet: bool = True,
) -> tuple[Plan, ExtractionResult]:
    """Compute what the recipe asks for and the cache lacks: stage one, `star extract`.

    only: some of the stages. device: torch's name, or several with commas. workers: processes that decode, 0 for one
    less than there are cores. scheduler: address of a Dask scheduler. Returns the plan that was carried out, and
    rows, bytes, seconds and failed videos. Called from a script, it belongs under `if __name__ == "__main__":`, since
    videos are decoded in processes of their own. Raises StarError.
    """
    from .pipeline.extraction.execution import ExecutionConfig
    from .pipeline.extraction.runner import extract as run

    execution = ExecutionConfig(device, workers, scheduler)
    return run(recipe, only=only, execution=execution, retry_failed=retry_failed, quiet=quiet)


def train(
    recipe: Recipe,
    run: str | Path,
    *,
    device: str = "auto",
    resume: bool = False,
    init: str | Path | None = None,
    freeze: bool = False,
    quiet: bool = True,
) -> dict[str, Any]:
    """Train on the cached features into the folder `run`: stage two, `star train`.

    init: another run's folder, whose weights it begins with, also for other classes; freeze: then only the head is
    trained. Returns what `star train --json` prints: the best epoch with its accuracies, steps, seconds. Raises
    StarError.
    """
    from .pipeline.commands.train import run_train

    begin = Path(init) if init else None
    result = run_train(recipe, Path(run), device=device, resume=resume, quiet=quiet, init=begin, freeze=freeze)
    return result.to_document()


def test(
    recipe: Recipe, run: str | Path, *, device: str = "auto", embeddings: bool = False, quiet: bool = True
) -> dict[str, Any]:
    """Judge a trained run on the test videos, as `star test`; returns what stands in RUN/test/metrics.json.

    All views' probabilities are in RUN/test/predictions.npz. embeddings: also write what the head sees of each clip.
    """
    from .pipeline.commands.test import run_test

    return run_test(recipe, Path(run), device=device, quiet=quiet, embeddings=embeddings).to_document()


def predict(
    videos: Sequence[str | Path], run: str | Path, *, device: str = "auto", quiet: bool = True, **settings: Any
) -> list[dict[str, Any]]:
    """The five likeliest classes of each video, as `star predict`; nothing is cached.

    Returns {"video", "top": [{"class", "probability"}, …]} for each, or {"video", "error"}. settings: laid over the
    run's recipe, as `load_recipe` takes them. Raises StarError.
    """
    from .pipeline.commands.predict import run_predict

    paths = [Path(video) for video in videos]
    return run_predict(paths, Path(run), overrides=_overrides(settings), device=device, quiet=quiet).to_document()


class TrainedRun:
    """A folder that `star train` filled: its recipe, its classes, its network.

    Raises UsageError for a folder that is no run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.recipe = schema.load(run_recipe(self.path))

    def network(self, checkpoint: str | None = None, device: str = "cpu") -> STARTransformer | EndToEnd:
        """The network with the weights of "best" or "last" (by default what the recipe's test.checkpoint names); of a
        run of `star finetune` with its backbone."""
        return self._load(checkpoint, device)[0]

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the network's outputs."""
        return tuple(self._load(None, "cpu")[1]["classes"])

    def predict(
        self, *videos: str | Path | np.ndarray, device: str = "auto", rate: float = 25.0, **settings: Any
    ) -> list[dict[str, Any]]:
        """See `predict`. A video may also be pictures in memory, (F, h, w, 3) uint8 RGB, `rate` of them a second."""
        films = [video for video in videos if isinstance(video, (str, Path))]
        answers = iter(predict(films, self.path, device=device, **settings) if films else [])
        arrays = [video for video in videos if not isinstance(video, (str, Path))]
        found = iter(self._pictures(arrays, rate, device, settings) if arrays else [])
        return [next(answers if isinstance(video, (str, Path)) else found) for video in videos]

    def timeline(
        self,
        video: str | Path | np.ndarray,
        window: float,
        every: float | None = None,
        *,
        each_person: bool = False,
        rate: float = 25.0,
        device: str = "auto",
        **settings: Any,
    ) -> Iterator[dict[str, Any]]:
        """A video window by window, as `star predict --window`; `every`: seconds from one's start to the next's.

        Yields {"start", "end", "label", "probability", "top5"} as they are made, with "person" where each_person.
        rate: pictures a second, of pictures in memory. Raises StarError.
        """
        from .pipeline.evaluation.timeline import TimelineOptions, open_timeline
        from .pipeline.extraction.execution import ExecutionConfig

        options = TimelineOptions(window, every or window, each_person)
        execution = ExecutionConfig(device)
        with open_timeline(self.path, options, overrides=_overrides(settings), execution=execution) as timeline:
            if isinstance(video, (str, Path)):
                answers = timeline.film(timeline.predictor.video(Path(video)))
            else:
                answers = timeline.pictures(video, rate)
            for answer in answers:
                yield answer.to_document()

    def _pictures(
        self, arrays: Sequence[np.ndarray], rate: float, device: str, settings: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The answers of arrays, each as one window."""
        from .pipeline.evaluation.timeline import WHOLE, TimelineOptions, open_timeline
        from .pipeline.extraction.execution import ExecutionConfig

        options, execution = TimelineOptions(WHOLE, WHOLE), ExecutionConfig(device)
        with open_timeline(self.path, options, overrides=_overrides(settings), execution=execution) as timeline:
            return [
                {"video": f"array {number}", "top": answer.top}
                for number, array in enumerate(arrays)
                for answer in timeline.pictures(array, rate)
            ]

    def _load(self, checkpoint: str | None, device: str) -> tuple[STARTransformer | EndToEnd, dict[str, Any]]:
        from .pipeline.training.model_factory import load

        return load(self.path, checkpoint or self.recipe.test.checkpoint, device)


def load_run(path: str | Path) -> TrainedRun:
    """The run in a folder; see `TrainedRun`."""
    return TrainedRun(path)


def __getattr__(name: str) -> Any:
    """The classes that need torch, when they are first asked for (PEP 562)."""
    if name == "FeatureDataset":
        from .pipeline.training.feature_dataset import FeatureDataset

        return FeatureDataset
    if name == "STARTransformer":
        from .stages.transformer import STARTransformer

        return STARTransformer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
