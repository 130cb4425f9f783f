"""A run as a folder for others: weights, recipe, figures, and a model card (README.md) made from them.

What tells of this machine alone (paths, the command line, names of videos) stays here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ...errors import StorageError, UsageError
from ...untrusted_files import LARGE, UntrustedFile, parse_json, read_bytes
from ...version import __version__
from ..recipe import schema as recipes
from ..recipe.run_recipe import run_recipe
from ..recipe.schema import WORDS, Recipe
from ..training import checkpoint
from ..training.run_dir import RunFolder

FIGURES = {"top1": "Top-1 accuracy", "top5": "Top-5 accuracy", "mean_class": "Mean class accuracy"}
OF_MACHINE = ("command", "system", "left_out", "start")  # of environment.json
OF_VIDEOS = ("worst", "surest")  # of metrics.json
COPIED = ("metrics.jsonl", "test/per_class.csv", "test/confusion.csv", "test/confusion.png", "test/reliability.png")
FILES = ("README.md", "recipe.yaml", "environment.json", "test/metrics.json", *COPIED)  # beside the weights
LARGEST = 200  # classes that are listed in a card


def shared_files(run: Path, license_name: str, title: str) -> dict[str, bytes]:
    """Path -> content of everything that is shared of a run, README.md among it.

    license_name: the card's `license:` field, an SPDX name in small letters as the hub has them. title: of the card.
    Raises UsageError for a folder that is no run, StorageError.
    """
    recipe = portable(recipes.load(run_recipe(run)))
    which = recipe.test.checkpoint
    weights = run / which / "weights.safetensors"
    _, note = checkpoint.read_note(weights, checkpoint.NETWORK)
    environment = {name: value for name, value in RunFolder(run).read_environment().items() if name not in OF_MACHINE}
    files = {
        "recipe.yaml": recipes.dump(recipe).encode(),
        "environment.json": json.dumps(environment, indent=1).encode(),
        f"{which}/weights.safetensors": _content(weights),
    }
    files |= {name: _content(run / name) for name in COPIED if (run / name).is_file()}
    judged, path = {}, run / "test" / "metrics.json"
    if path.is_file():
        try:
            judged = parse_json(read_bytes(path, LARGE))
        except (UntrustedFile, OSError) as error:
            raise UsageError(f"{path}: {error}; run `star test` again, or delete it") from None
        judged = judged if isinstance(judged, dict) else {}
    if judged:
        judged = {name: value for name, value in judged.items() if name not in OF_VIDEOS}
        files["test/metrics.json"] = json.dumps(judged, indent=1).encode()
    files["README.md"] = card(recipe, note, environment, judged, license_name, title).encode()
    return files


def portable(recipe: Recipe) -> Recipe:
    """The recipe without paths of this machine: folders by their last name; weights files too, whose sha256 it has."""
    dataset = {
        name: Path(value.name or "data") for name, value in dict(recipe.dataset).items() if isinstance(value, Path)
    }
    weights = {
        section: {
            name: Path(value).name
            for name, value in dict(getattr(recipe, section)).items()
            if name in ("weights", "checkpoint", "detector_weights") and isinstance(value, str) and value not in WORDS
        }
        for section in ("backbone", "pose")
    }
    return recipe.model_copy(
        update={
            "dataset": recipe.dataset.model_copy(update=dataset),
            "cache": recipe.cache.model_copy(update={"root": Path("cache")}),
            **{name: getattr(recipe, name).model_copy(update=own) for name, own in weights.items() if own},
        }
    )


def card(
    recipe: Recipe,
    note: Mapping[str, Any],
    environment: Mapping[str, Any],
    judged: Mapping[str, Any],
    license_name: str,
    title: str,
) -> str:
    """The model card: the hub's fields in front, then what it is, on what, how well, and how it is used."""
    head: dict[str, Any] = {
        "license": license_name,
        "library_name": "star",
        "pipeline_tag": "video-classification",
        "tags": ["action-recognition", "skeleton", "star-transformer"],
    }
    if judged:
        figures = ((name, round(judged[key], 4)) for key, name in FIGURES.items())
        result = {
            "task": {"type": "video-classification"},
            "dataset": {"name": _data(recipe), "type": recipe.dataset.kind, "split": "test"},
            "metrics": [{"type": "accuracy", "name": name, "value": value} for name, value in figures],
        }
        head["model-index"] = [{"name": title, "results": [result]}]
    fields = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    settings = f"## Recipe\n\n```yaml\n{recipes.dump(recipe).strip()}\n```"
    body = "\n".join([*_what(recipe, note, environment, title), *_figures(judged), *_use(recipe), settings])
    return f"---\n{fields}---\n\n{body}\n"


def _data(recipe: Recipe) -> str:
    return f"{recipe.dataset.kind} ({recipe.dataset.split})"


def _what(recipe: Recipe, note: Mapping[str, Any], environment: Mapping[str, Any], title: str) -> Iterator[str]:
    classes = list(note["classes"])
    shown = ", ".join(classes[:LARGEST]) + (", …" if len(classes) > LARGEST else "")
    clips = {name: str(environment.get("features", {}).get(f"{name} clips", "?")).split(",")[0] for name in
             ("train", "test")}  # fmt: skip
    yield f"# {title}\n"
    yield "A STAR-Transformer (Ahn et al., WACV 2023) for human action recognition, trained by star on features.\n"
    yield "| | |\n|---|---|"
    yield f"| data | {_data(recipe)}, {clips['train']} training clips, {clips['test']} for judging |"
    yield f"| classes | {len(classes)} |"
    yield f"| takes | {', '.join(note['arrays'])}; {recipe.decode.frames} frames of a clip, {recipe.decode.sampling} |"
    yield f"| joints | {recipe.pose.source}{f', {recipe.pose.model}' if recipe.pose.source != 'annotations' else ''} |"
    yield f"| backbone | {recipe.backbone.model}, {recipe.backbone.weights}, {recipe.backbone.size} px |"
    yield f"| network | {environment.get('parameters', 0):,} parameters, width {note['network']['width']} |"
    yield f"| trained | epoch {note['epoch']} of {recipe.train.epochs}, star {environment.get('star', __version__)} |\n"
    yield f"Classes: {shown}\n"


def _figures(judged: Mapping[str, Any]) -> Iterator[str]:
    yield "## Figures\n"
    if not judged:
        yield "Not judged on a test split.\n"
        return
    yield "On the test split" + (f", {judged['videos']:,} videos" if "videos" in judged else "") + ":\n"
    yield "| | | 95 % |\n|---|---|---|"
    for key, name in FIGURES.items():
        low_high = (judged.get("intervals") or {}).get(key)
        yield f"| {name} | {judged[key]:.1%} | {f'{low_high[0]:.1%} to {low_high[1]:.1%}' if low_high else ''} |"
    if "calibration" in judged:
        yield f"| Calibration error | {judged['calibration']['error']:.1%} | |"
    yield ""
    rows = [row for row in judged.get("per_class", ()) if row["videos"]]
    if rows and len(rows) <= LARGEST:
        yield "| class | videos | accuracy | mostly taken for |\n|---|---|---|---|"
        for row in rows:
            yield f"| {row['class']} | {row['videos']} | {row['accuracy']:.1%} | {row['taken_for']} |"
        yield ""


def _use(recipe: Recipe) -> Iterator[str]:
    estimated = "" if recipe.pose.source != "annotations" else " --set pose.source=mmpose"
    yield "## Use\n"
    yield "```\nstar pull THIS runs/pulled"
    yield f"star predict clip.mp4 --run runs/pulled{estimated}\n```\n"
    files = [
        f"`{name}`"
        for section in (recipe.backbone, recipe.pose)
        for key, name in dict(section).items()
        if key in ("weights", "checkpoint", "detector_weights") and name not in WORDS
    ]
    if files:
        yield f"Needs weights files that are not here: {', '.join(files)} (their sha256 is in the recipe).\n"
    yield (
        "It knows the classes above and nothing else: whatever it is shown, it names one of them. Figures are those of "
        "its test split and say little of other cameras, people and places.\n"
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from None
