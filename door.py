"""What all commands share: errors as one line and an exit code, common options, one way of printing."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .errors import StarError

Function = TypeVar("Function", bound=Callable[..., Any])


class Door(click.Group):
    """Turns star's own errors into one line on stderr and the documented exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a bug keeps its traceback and exit code 1."""
        try:
            return super().invoke(ctx)
        except StarError as error:
            if "--json" in sys.argv:
                _print({"error": str(error), "exit_code": error.exit_code})
            click.echo(f"star: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("star: interrupted; what was finished is kept", err=True)
            ctx.exit(130)


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
        "-v", "--verbose", is_flag=True, help="Log more, on stderr.", callback=_log, expose_value=False
    )(function)


def _log(context: click.Context, parameter: click.Parameter, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


def _print(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def show(document: Any, lines: Sequence[str], as_json: bool) -> None:
    """Print a command's result: the document as JSON, or lines for a person. Under torchrun one process speaks."""
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK") != "0":
        return
    if as_json:
        _print(document)
    else:
        click.echo("\n".join(lines))
