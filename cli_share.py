"""`star push` and `star pull`: their options."""

from __future__ import annotations

from pathlib import Path

import click

from .pipeline.commands.options import FILE, answer, output


@click.command()
@click.argument("run", type=FILE)
@click.argument("target")
@click.option(
    "--license", "license_name", required=True, metavar="NAME", help="Of the weights, as the hub names it: apache-2.0."
)
@click.option("--private", is_flag=True, help="A repository that is made is private.")
@output
def push(run: Path, target: str, license_name: str, private: bool, as_json: bool, quiet: bool) -> None:
    """Share RUN: weights, recipe, figures and a model card, in the folder TARGET or the hub's repository OWNER/NAME.

    Paths of this machine and names of videos stay here. A target that begins with . ~ or / is a folder.

    \b
    Example: star push runs/first ./shared/first --license apache-2.0
    star push runs/first somebody/penn-action-star --license cc-by-4.0
    """
    from .pipeline.commands.share import run_push

    answer(run_push(run, target, license_name, private=private), as_json)


@click.command()
@click.argument("source")
@click.argument("run", type=FILE)
@output
def pull(source: str, run: Path, as_json: bool, quiet: bool) -> None:
    """Get what was pushed, from a folder or the hub's repository OWNER/NAME, as the new folder RUN.

    Example: star pull somebody/penn-action-star runs/pulled
    """
    from .pipeline.commands.share import run_pull

    answer(run_pull(source, run), as_json)
