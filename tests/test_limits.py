"""Every numeric setting at its limits and just beyond, through the commands: never a traceback, at most one line."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import annotated_types
import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from star.cli import main
from star.pipeline.recipe.schema import Recipe

LOOKS = (("status",), ("extract", "--dry-run"), ("model",), ("split",))
ENDLESS = {"train.epochs": 100}  # settings whose upper limit is a matter of time alone, and what is tried instead


class Setting(NamedTuple):
    """A numeric setting: its dotted name, whether it is whole, and the least and the greatest value that is allowed."""

    name: str
    is_whole: bool
    low: float
    high: float
    step: int


def numeric(section: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[Setting]:
    """All numeric settings of the recipe, from its own schema."""
    for name, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from numeric(kind, f"{prefix}{name}.")
        elif kind in (int, float):
            is_whole, low, high, step = kind is int, -math.inf, math.inf, 1
            for limit in field.metadata:
                if isinstance(limit, annotated_types.Ge):
                    low = limit.ge
                elif isinstance(limit, annotated_types.Gt):
                    low = limit.gt + 1 if is_whole else math.nextafter(limit.gt, math.inf)
                elif isinstance(limit, annotated_types.Le):
                    high = limit.le
                elif isinstance(limit, annotated_types.Lt):
                    high = limit.lt - 1 if is_whole else math.nextafter(limit.lt, -math.inf)
                elif isinstance(limit, annotated_types.MultipleOf):
                    step = int(limit.multiple_of)
            yield Setting(prefix + name, is_whole, low, high, step)


SETTINGS = list(numeric())


def beyond(setting: Setting) -> list[float]:
    """The first values that are not allowed."""
    if setting.is_whole:
        return [setting.low - setting.step, setting.high + setting.step]
    return [math.nextafter(setting.low, -math.inf), math.nextafter(setting.high, math.inf)]


def inside(setting: Setting) -> list[float]:
    """The first values that are."""
    return [setting.low, ENDLESS.get(setting.name, setting.high)]


def written(value: float) -> str:
    return repr(value) if isinstance(value, int) or math.isfinite(value) else ".inf" if value > 0 else "-.inf"


@pytest.fixture(scope="module")
def place(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a full cache of its own, which all cases share: nothing is written but runs."""
    folder = tmp_path_factory.mktemp("limits")
    shutil.copytree(extracted.parent / "cache", folder / "cache")
    path = folder / "star.yaml"
    path.write_text(extracted.read_text().replace(str(extracted.parent), str(folder)))
    return path


def star(path: Path, command: tuple[str, ...], values: dict[str, float]) -> Result:
    """A command with settings laid over the recipe: it ends well, or in one line."""
    over = [word for name, value in values.items() for word in ("--set", f"{name}={written(value)}")]
    result = CliRunner().invoke(main, [command[0], str(path), *command[1:], *over, "-q"])
    about = (command, values, result.output[-2000:], result.stderr[-2000:])
    assert result.exception is None or isinstance(result.exception, SystemExit), (about, result.exc_info)
    diverged = result.exit_code == 1 and result.stderr.startswith("star: train: the ")
    assert result.exit_code in (0, 2, 3, 4, 5) or diverged, about
    if result.exit_code not in (0, 3):
        assert len(result.stderr.splitlines()) == 1, about
    return result


def try_values(path: Path, values: dict[str, float]) -> None:
    """All commands whose work depends on these settings."""
    sections = {name.partition(".")[0] for name in values}
    for command in LOOKS:
        star(path, command, values)
    run = path.parent / "run"
    if sections & {"model", "train", "test"}:
        trained = star(path, ("train", "--run", str(run), "--device", "cpu"), values)
        if trained.exit_code == 0:
            star(path, ("test", "--run", str(run), "--device", "cpu"), values)
    elif sections <= {"heatmaps", "pose"} and all(math.isfinite(value) for value in values.values()):
        star(path, ("extract", "--stage", "heatmaps", "--workers", "1", "--device", "cpu"), values)
    shutil.rmtree(run, ignore_errors=True)


CASES = [(setting, value) for setting in SETTINGS for value in inside(setting)]


def test_the_schema_has_limits() -> None:
    """Every numeric setting has both, but seeds that may be any number; so there is a value just beyond."""
    assert len(SETTINGS) > 50
    assert [one.name for one in SETTINGS if not math.isfinite(one.low) or not math.isfinite(one.high)] == []


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_just_beyond_is_one_line(place: Path, setting: Setting) -> None:
    """It names the setting; and so do values that are no numbers, and numbers that no machine holds."""
    for value in (*beyond(setting), math.inf, -math.inf, 10**400, -(10**400)):
        result = star(place, ("status",), {setting.name: value})
        assert result.exit_code == 2 and setting.name in result.stderr, (value, result.stderr)


@given(case=st.sampled_from(CASES))
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_at_the_limits(place: Path, case: tuple[Setting, float]) -> None:
    """Some of all; `make soak` tries each."""
    try_values(place, {case[0].name: case[1]})


@pytest.mark.soak
@pytest.mark.parametrize(("setting", "value"), CASES, ids=lambda case: getattr(case, "name", repr(case)))
def test_at_every_limit(place: Path, setting: Setting, value: float) -> None:
    try_values(place, {setting.name: value})


@pytest.mark.soak
@given(cases=st.lists(st.sampled_from(CASES), min_size=2, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_at_several_limits(place: Path, cases: list[tuple[Setting, float]]) -> None:
    """Two to four settings at once."""
    try_values(place, {setting.name: value for setting, value in cases})


def ranges() -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """(words of a command, option, its range) of every numeric option."""
    groups = [((), main)]
    for words, group in groups:
        for name, command in group.commands.items():
            if isinstance(command, click.Group):
                groups.append(((*words, name), command))
            for option in command.params:
                if isinstance(option.type, (click.IntRange, click.FloatRange)):
                    yield (*words, name), option.opts[-1], option.type


@pytest.mark.parametrize(("words", "option", "span"), ranges(), ids=str)
def test_an_option_beyond_its_range_is_refused(words: tuple[str, ...], option: str, span: Any) -> None:
    """By the command line, before anything is read."""
    assert span.min is not None
    for value in itertools.chain([span.min - 1], [] if span.max is None else [span.max + 1]):
        result = CliRunner().invoke(main, [*words, option, str(value)])
        assert result.exit_code == 2 and "Invalid value for '" in result.output + result.stderr
