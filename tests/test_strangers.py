"""Side files of strangers, through the commands that read them: never a traceback, never a wait, one line at most.

Each file that star keeps beside segments and weights is replaced by what no file should be, or has one of its values
changed into what it should not be.
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from star.cli import main

WITHIN_S = 60  # nothing here takes more than a few seconds; what waits for ever is stopped then
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@contextmanager
def alarm() -> Iterator[None]:
    """Fails what waits for ever, as on a pipe."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_: object) -> None:
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(WITHIN_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def star(*words: object) -> Result:
    """A command that may succeed or fail in one line, and does nothing else."""
    with alarm():
        result = CliRunner().invoke(main, [*map(str, words), "-q"])
    assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exc_info)
    assert result.exit_code in (0, 2, 3, 4, 5), (words, result.output)
    assert not CONTROL.search(result.output + result.stderr), (words, result.output)
    if result.exit_code not in (0, 3) and words[0] != "verify":
        assert len(result.stderr.splitlines()) == 1, (words, result.stderr)
    return result


@pytest.fixture(scope="module")
def made(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its cache, and a run that was trained for one epoch and tested; copied to change it."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(extracted.parent / "cache", folder / "cache")
    text = extracted.read_text().replace(str(extracted.parent), str(folder))
    (folder / "star.yaml").write_text(text)
    assert star("train", folder / "star.yaml", "--run", folder / "run").exit_code == 0
    assert star("test", folder / "star.yaml", "--run", folder / "run").exit_code == 0
    assert star("status", folder / "star.yaml").exit_code == 0
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    shutil.copytree(made, tmp_path / "own", symlinks=True)
    path = tmp_path / "own" / "star.yaml"
    path.write_text(path.read_text().replace(str(made), str(path.parent)))
    (path.parent / "cache" / "failures.jsonl").touch()
    return path.parent


RECIPE, RUN = "{0}/star.yaml", "{0}/run"
READERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "star.yaml": (("status", RECIPE), ("train", RECIPE, "--run", "{0}/other")),
    "cache/catalogues/*.json": (("status", RECIPE), ("status", RECIPE, "--set", "dataset.root={0}/gone")),
    "cache/failures.jsonl": (("status", RECIPE), ("extract", RECIPE)),
    "cache/pose/*/stage.json": (("status", RECIPE), ("verify", RECIPE), ("cache", "ls", "{0}/cache")),
    "cache/pose/*/index": (("status", RECIPE), ("verify", RECIPE)),
    "run/recipe.yaml": (("report", RUN, "-o", "{0}/page.html"), ("export", "--run", RUN, "-o", "{0}/x.onnx")),
    "run/environment.json": (("report", RUN, "-o", "{0}/page.html"), ("train", RECIPE, "--run", RUN, "--resume")),
    "run/metrics.jsonl": (("report", RUN, "-o", "{0}/page.html"), ("train", RECIPE, "--run", RUN, "--resume")),
    "run/test/metrics.json": (("report", RUN, "-o", "{0}/page.html"),),
    "run/test/confusion.png": (("report", RUN, "-o", "{0}/page.html"),),
    "run/lock": (("train", RECIPE, "--run", RUN, "--resume"),),
    "run/last/state.safetensors": (("train", RECIPE, "--run", RUN, "--resume"),),
    "run/last/weights.safetensors": (
        ("test", RECIPE, "--run", RUN),
        ("train", RECIPE, "--run", "{0}/other", "--init", RUN),
    ),
}  # fmt: skip


def pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


STRANGE: dict[str, Callable[[Path], object]] = {
    "pipe": pipe,
    "3 GB": huge,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": Path.touch,
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 8),
    "list": lambda path: path.write_text("[]\n"),
    "depth": lambda path: path.write_text("[" * 100_000),
    "bomb": lambda path: path.write_text("a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
    "NaN": lambda path: path.write_text('{"epoch": NaN, "format": "star-catalogue", "format_version": 1}\n'),
    "escapes": lambda path: path.write_text('{"\\u001b]0;title\\u0007": "\\u009b31m"}\n'),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_none(place: Path, name: str) -> None:
    """Whatever lies in its place; and what else there is can still be used afterwards."""
    (path,) = place.glob(name)
    before = path.read_bytes()
    for strange in STRANGE.values():
        path.unlink()
        strange(path)
        for command in READERS[name]:
            star(*(word.format(place) for word in command))
        for other in (place / "other", place / "page.html"):
            shutil.rmtree(other, ignore_errors=True)
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(before)


VALUES: tuple[Any, ...] = (
    None, True, -1, 10**9, 10**30, 1e308, "", "x", "\x1b]0;title\x07\u009b31m", "../../etc", [], [[]], {}, {"x": 1},
    [1, "x"], "\udcff",
)  # fmt: skip


def places(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every value in a document, and the document."""
    yield at
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for name, value in list(inside)[:12]:
        yield from places(value, (*at, name))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value in one place."""
    if not at:
        return value
    found = copy.deepcopy(document)
    inside = found
    for name in at[:-1]:
        inside = inside[name]
    inside[at[-1]] = value
    return found


class JsonFile:
    """A document that is a file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = json.loads(path.read_text().splitlines()[0] if path.suffix == ".jsonl" else path.read_text())

    def write(self, document: Any) -> None:
        self.path.write_text(json.dumps(document) + "\n")


class Note(JsonFile):
    """The note of a checkpoint."""

    def __init__(self, path: Path) -> None:
        self.path, self.tensors = path, load_file(path)
        with safe_open(path, framework="pt") as file:
            self.about = file.metadata()
        self.document = json.loads(self.about["note"])

    def write(self, document: Any) -> None:
        save_file(self.tensors, self.path, {**self.about, "note": json.dumps(document)})


DOCUMENTS: dict[str, type[JsonFile]] = {
    "cache/catalogues/*.json": JsonFile,
    "cache/failures.jsonl": JsonFile,
    "cache/pose/*/stage.json": JsonFile,
    "run/environment.json": JsonFile,
    "run/metrics.jsonl": JsonFile,
    "run/test/metrics.json": JsonFile,
    "run/last/state.safetensors": Note,
    "run/last/weights.safetensors": Note,
}


def try_values(place: Path, name: str, most: int) -> None:
    """Up to `most` documents with one wrong value, each through the commands that read it."""
    (path,) = place.glob(name)
    if name == "cache/failures.jsonl":
        path.write_text(json.dumps({"video": "videos/bow_000.mp4", "stage": "decode", "kind": "timeout", "message": "x",
                                    "attempts": 1, "source": "", "time": 1.5}) + "\n")  # fmt: skip
    file = DOCUMENTS[name](path)
    wrong = [(at, value) for at in places(file.document) for value in VALUES]
    before = path.read_bytes()
    for at, value in random.Random(name).sample(wrong, min(most, len(wrong))):
        try:
            file.write(changed(file.document, at, value))
            for command in READERS[name]:
                star(*(word.format(place) for word in command))
        except AssertionError as error:
            raise AssertionError(f"{name}: {at} {value!r}") from error
        finally:
            shutil.rmtree(place / "other", ignore_errors=True)
            path.write_bytes(before)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_value_that_is_wrong(place: Path, name: str) -> None:
    """Of another type, out of all bounds, with escapes for the terminal; `make soak` tries all."""
    try_values(place, name, 12)


@pytest.mark.soak
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_value_that_is_wrong(place: Path, name: str) -> None:
    """The same, ten times as often and more."""
    try_values(place, name, 400)


def test_epochs_without_end(place: Path) -> None:
    """A state that says a billion epochs are done is no finished run; a network of a billion layers is not built."""
    state = Note(place / "run" / "last" / "state.safetensors")
    state.write(changed(state.document, ("counters", "epoch"), 10**9))
    told = star("train", place / "star.yaml", "--run", place / "run", "--resume").stderr
    assert "1,000,000,000 epochs and" in told and "take another folder" in told
    weights = Note(place / "run" / "last" / "weights.safetensors")
    for setting, value in (("encoder_layers", 2**20), ("width", 2**20), ("classes", 2**20), ("joints", 2**20)):
        weights.write(changed(weights.document, ("network", setting), value))
        assert star("test", place / "star.yaml", "--run", place / "run").exit_code == 2


def test_names_cannot_steer_the_terminal(place: Path, drawn: Path) -> None:
    """A label with escapes is shown written out, as a table and as JSON."""
    root = place / "data"
    shutil.copytree(drawn, root)
    listed = root / "clips.csv"
    rows = listed.read_text().splitlines()
    listed.write_text(
        "\n".join(row.replace("wave", "\x1b]0;title\x07wave\x9b31m") if "," in row else row for row in rows)
    )
    words = ("--set", f"dataset.root={root}", "--set", "dataset.kind=videos")
    for command in ("split", "scan", "status"):
        for more in ((), ("--json",)):
            star(command, place / "star.yaml", *words, *more)
