"""The door: help, exit codes, one line for every mistake, JSON and nothing else on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from star.cli import main


def star(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def commands(group: click.Group = main, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*prefix, name))
        else:
            yield (*prefix, name), command


@pytest.mark.parametrize(("words", "command"), commands(), ids=str)
def test_every_command_has_help_with_an_example(words: tuple[str, ...], command: click.Command) -> None:
    """The example begins with the command itself, so it can be copied."""
    result = star(*words, "--help")
    assert result.exit_code == 0
    assert f"Example: star {' '.join(words)}" in result.output
    assert all(option.help for option in command.params if isinstance(option, click.Option) and option.name != "help")


def test_starting_up_imports_nothing_heavy() -> None:
    """`star --help` must answer at once: no torch, numpy, h5py or pydantic before a command runs."""
    script = (
        "import sys; from click.testing import CliRunner; from star.cli import main; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0; "
        "heavy = {'torch', 'numpy', 'h5py', 'pydantic', 'cv2', 'av', 'dask', 'mmpose'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_init_prints_a_recipe_that_works(drawn: Path, tmp_path: Path) -> None:
    """What `star init` prints goes into a file and is accepted by the next command."""
    result = star("init", "drawn", "--root", drawn, "--cache", tmp_path / "cache")
    assert result.exit_code == 0
    recipe = tmp_path / "star.yaml"
    recipe.write_text(result.stdout)
    status = star("status", recipe, "--json")
    assert status.exit_code == 0
    document = json.loads(status.stdout)
    assert document["videos"] == 24
    assert {stage["stage"] for stage in document["stages"]} == {"decode", "pose", "backbone", "heatmaps", "tokens"}


def test_extract_says_nothing_but_json_on_stdout(extracted: Path) -> None:
    """Logs and progress go to stderr; a script can parse stdout."""
    result = star("extract", extracted, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["computed"] == {}


def test_a_mistake_with_json_is_json(extracted: Path) -> None:
    """A script learns the exit code and the message from the document as well."""
    command = [sys.executable, "-m", "star.cli", "status", str(extracted), "--set", "model.width=31", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    expected = f"{extracted}: model.width: 31 is not a multiple of model.heads (2)"
    assert json.loads(result.stdout) == {"error": expected, "exit_code": 2}


def test_what_is_written_may_be_named_in_two_ways() -> None:
    """`-o` and `--out`, in every command that writes a file of its own."""
    named = [set(o.opts) for _, command in commands() for o in command.params if "-o" in o.opts or "--out" in o.opts]
    assert named == [{"-o", "--out"}] * 7
