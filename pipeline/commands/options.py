"""What the commands share on the command line: options, how an answer is printed, and how an error ends."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...errors import MachineError, StarError, machine_fault
from ..utils.text import printable, readable_json

if TYPE_CHECKING:
    from ..recipe.schema import Recipe
    from .result import CommandResult

FILE = click.Path(path_type=Path)
RECIPE = click.argument("recipe", type=FILE)
RUN = click.option("--run", type=FILE, required=True, help="Folder of the trained network.")
DEVICE = click.option("--device", default="auto", show_default=True, help="cpu or cuda.")
SECONDS = click.FloatRange(min=0, min_open=True)
STAGES = ("decode", "pose", "frames", "backbone", "heatmaps", "tokens")
STUDIES = (
    "tokens",
    "modules",
    "depth",
    "joint-token",
    "position",
    "no-attention",
    "frames",
    "training",
    "backbones",
    "folds",
    "data",
)

Function = TypeVar("Function", bound=Callable[..., Any])


class ErrorHandlingGroup(click.Group):
    """Turns star's own errors into one line on stderr and the documented exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a bug keeps its traceback and exit code 1."""
        try:
            return super().invoke(ctx)
        except StarError as error:
            _end(ctx, error)
        except MemoryError:
            _end(ctx, MachineError("out of memory; lower --workers or the batch, or free some"))
        except Exception as error:
            fault = machine_fault(error)
            if fault is None:
                raise
            _end(ctx, fault)
        except KeyboardInterrupt:
            click.echo("star: interrupted; what was finished is kept", err=True)
            ctx.exit(130)


def _end(context: click.Context, error: StarError) -> None:
    """Say an error, unless another process did, and end with its exit code."""
    if "--json" in sys.argv and not error.said:
        _print_json({"error": str(error), "exit_code": error.exit_code})
    if not error.said:
        click.echo(printable(f"star: {error}").replace("\n", " "), err=True)
    context.exit(error.exit_code)


def common(function: Function) -> Function:
    """The options that every command with a recipe has."""
    function = click.option(
        "--set", "overrides", multiple=True, metavar="A.B=C", help="Lay a setting over the recipe."
    )(function)
    return output(function)


def output(function: Function) -> Function:
    """The options that every command has."""
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, nothing else.")(
        function
    )
    function = click.option("-q", "--quiet", is_flag=True, help="No progress.")(function)
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        help="Log more, on stderr.",
        callback=lambda context, parameter, verbose: logging.basicConfig(
            level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
        ),
        expose_value=False,
    )(function)


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """The recipe at `path` with the settings of --set laid over it. Raises RecipeError."""
    from ..recipe import schema

    return schema.load(path, overrides)


def _print_json(document: Any) -> None:
    click.echo(readable_json(document, 2))


def answer(result: CommandResult, as_json: bool) -> None:
    """Print a result, as JSON or for a person, and end with its exit code. Under torchrun one process speaks."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK") == "0":
        if as_json:
            _print_json(result.to_document())
        else:
            lines = result.to_lines()
            if lines:  # a time line's answers were shown as they came
                click.echo(printable("\n".join(lines)))
    if result.exit_code:
        sys.exit(result.exit_code)
