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


def wrong(tmp_path: Path, extracted: Path) -> dict[str, tuple[list[str | Path], int, str]]:
    """Name -> (arguments, exit code, the one line on stderr)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    gone = tmp_path / "gone"
    return {
        "no recipe": (
            ["extract", gone / "star.yaml"], 2,
            f"star: {gone}/star.yaml: No such file or directory; "
            "`star init NAME --root DIR > star.yaml` makes a recipe",
        ),
        "unknown key": (
            ["extract", extracted, "--set", "heatmaps.sigmas=1"], 2,
            f"star: {extracted}: heatmaps.sigmas: unknown key; did you mean 'sigma'?",
        ),
        "wrong type": (
            ["status", extracted, "--set", "decode.frames=many"], 2,
            f"star: {extracted}: decode.frames: 'many': input should be a valid integer, "
            "unable to parse string as an integer",
        ),
        "wrong ready recipe": (
            ["init", "drawing", "--root", gone], 2,
            "star: init drawing: no such recipe; did you mean 'drawn'? there are drawn, ntu120-xset, ntu120-xsub, "
            "ntu60-xsub, ntu60-xview, penn-action, videos",
        ),
        "wrong share": (
            ["extract", extracted, "--max-failures", "few"], 2,
            "star: --max-failures few: expected a number like 20, or a share like 1%",
        ),
        "unknown video": (
            ["inspect", extracted, "zzz", "-o", tmp_path / "zzz.png"], 2,
            "star: zzz: no such video in data; ids are paths below ",
        ),
        "not extracted": (
            ["train", extracted, "--run", tmp_path / "run", "--set", f"cache.root={empty}"], 4,
            f"star: cache.root: {empty} has no train clip with all of backbone, tokens; "
            "run `star extract` with this recipe first",
        ),
        "no weights file": (
            ["extract", extracted, "--set", f"backbone.weights={gone}.pth"], 2,
            f"star: backbone.weights: no file {gone}.pth; give a file, or one of kinetics400, official, random",
        ),
    }  # fmt: skip


NAMES = (
    "no recipe", "unknown key", "wrong type", "wrong ready recipe", "wrong share", "unknown video", "not extracted",
    "no weights file",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_one_line_and_an_exit_code(name: str, tmp_path: Path, extracted: Path) -> None:
    """Which value, what to do, the documented exit code, never a traceback."""
    arguments, code, line = wrong(tmp_path, extracted)[name]
    result = star(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    said = result.stderr.splitlines()
    assert len(said) == 1
    assert said[0].startswith(line)


def test_a_mistake_with_json_is_json(extracted: Path) -> None:
    """A script learns the exit code and the message from the document as well."""
    command = [sys.executable, "-m", "star.cli", "status", str(extracted), "--set", "model.width=31", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    expected = f"{extracted}: model.width: 31 is not a multiple of model.heads (2)"
    assert json.loads(result.stdout) == {"error": expected, "exit_code": 2}
