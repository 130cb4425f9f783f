"""Small files of strangers: bounded, plain, and of the shape that they should have; what is written is JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from star import untrusted_files
from star.untrusted_files import UntrustedFile


def pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(path)


def device(path: Path) -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (pipe, "is no regular file"),
        (device, "is no regular file"),
        (huge, "has 3,221,225,472 bytes, at most 1,048,576 are read"),
    ],
)
def test_what_is_no_small_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    """Neither waited for nor read."""
    make(tmp_path / "file")
    with pytest.raises(UntrustedFile) as caught:
        untrusted_files.read_bytes(tmp_path / "file")
    assert str(caught.value) == told


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    """One byte more is refused; what is absent is the system's error."""
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert untrusted_files.read_bytes(tmp_path / "file", 10) == b"x" * 10
    with pytest.raises(UntrustedFile):
        untrusted_files.read_bytes(tmp_path / "file", 9)
    with pytest.raises(FileNotFoundError):
        untrusted_files.read_bytes(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        untrusted_files.read_bytes(tmp_path)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("NaN", "has a number that is not finite (NaN)"),
        ('{"a": [-Infinity]}', "has a number that is not finite (-Infinity)"),
        ("1e999", "has a number that is not finite (1e999)"),
        (nested(40), "is nested more than 32 deep"),
        ('{"a":' * 40 + "1" + "}" * 40, "is nested more than 32 deep"),
        (nested(100_000), "is nested without end"),
        ("{", "is no JSON ("),
        ("1" * 5000, "is no JSON ("),
        ("\ud800", "is no JSON ("),
    ],
)
def test_json_that_is_none(text: str, told: str) -> None:
    """Each is one reason; the deepest that is allowed is read."""
    with pytest.raises(UntrustedFile) as caught:
        untrusted_files.parse_json(text.encode(errors="surrogatepass") if text == "\ud800" else text)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)
    assert untrusted_files.parse_json(nested(32)) is not None


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "has the alias *a; write out what it stands for"),
        ("a: &a [*a]", "has the alias *a; write out what it stands for"),
        (nested(500), "is nested more than 32 deep"),
        (nested(50_000), "not YAML: "),
        ("a: " * 3, "not YAML: "),
        ("a: 2024-13-45", "not YAML: "),
        ("a: " + "1" * 5000, "not YAML: "),
        ("!!python/object/apply:os.system ['true']", "not YAML: "),
        ("a: [1", "not YAML: "),
        ("\x00", "not YAML: "),
    ],
)
def test_yaml_that_is_none(text: str, told: str) -> None:
    """Aliases are refused whatever they stand for; the parser's own errors are one line."""
    with pytest.raises(UntrustedFile) as caught:
        untrusted_files.parse_yaml(text)
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_json_has_no_nan() -> None:
    """null in its place, wherever it stands; all else as it was."""
    document = {"a": [float("nan"), 1.5, {"b": float("-inf")}], "c": (1, "é\udcff")}
    found = untrusted_files.json_text(document)
    assert json.loads(found, parse_constant=pytest.fail) == {"a": [None, 1.5, {"b": None}], "c": [1, "é\udcff"]}
    assert untrusted_files.json_text({"a": 1.5}) == json.dumps({"a": 1.5})


SHAPE = untrusted_files.record(
    {"epoch": untrusted_files.whole(0, 100), "names": untrusted_files.each(untrusted_files.text(3), 2)},
    {"rate": untrusted_files.number, "on": untrusted_files.truth, "kind": untrusted_files.one_of("a", "b"),
     "note": untrusted_files.optional(untrusted_files.named(untrusted_files.number))},
    closed=True,
)  # fmt: skip
GOOD = {"epoch": 3, "names": ["abc"], "rate": 1.5, "on": True, "kind": "a", "note": {"x": 2}}


def changes() -> Iterator[tuple[dict[str, object], str]]:
    yield {"epoch": 10**9}, "has epoch 1000000000 where a whole number from 0 to 100 is expected"
    yield {"epoch": True}, "has epoch True where a whole number from 0 to 100 is expected"
    yield {"epoch": 10**5000}, "has epoch a int too long to be shown where a whole number from 0 to 100 is expected"
    yield {"names": "abc"}, "has names 'abc' where a list of 0 to 2 values is expected"
    yield {"names": [1]}, "has names[0] 1 where a text of at most 3 letters is expected"
    yield {"names": ["a", "b", "c"]}, "has names ['a', 'b', 'c'] where a list of 0 to 2 values is expected"
    yield {"rate": float("nan")}, "has rate nan where a number is expected"
    yield {"rate": 10**400}, f"has rate {str(10**400)[:77]}… where a number is expected"
    yield {"on": 1}, "has on 1 where true or false is expected"
    yield {"kind": "\x1b]0;x\x07"}, r"has kind '\x1b]0;x\x07' where one of a, b is expected"
    yield {"note": {"x": "y"}}, "has note.x 'y' where a number is expected"
    yield {"other": 1}, "has an entry 'other', which star does not write"


@pytest.mark.parametrize(("change", "told"), changes())
def test_a_value_of_another_shape_is_named(change: dict[str, object], told: str) -> None:
    """Where it stands, what it is, what was expected."""
    SHAPE(GOOD, "")
    SHAPE({**GOOD, "note": None}, "")
    with pytest.raises(UntrustedFile) as caught:
        SHAPE({**GOOD, **change}, "")
    assert str(caught.value) == told


def test_what_is_lacking_is_named() -> None:
    """And what is no object at all."""
    with pytest.raises(UntrustedFile, match=r"^lacks epoch$"):
        SHAPE({"names": []}, "")
    with pytest.raises(UntrustedFile, match=r"where an object is expected$"):
        SHAPE([], "")
