"""Small files beside segments and weights: recipes, lists of videos, notes, metrics. Others may have written them.

One way of reading them all: a regular file, of at most so many bytes, of a known depth, of the shape that it should
have; and one way of writing JSON. Recipes have a schema of their own (pipeline/recipe/schema.py); for everything else
the shapes below serve, since names of files may be any bytes, which pydantic's texts may not.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import yaml

SMALL = 1 << 20  # bytes of a file that a person could read
LARGE = 1 << 30  # ... of a list of millions of videos
DEEP = 32  # lists and objects within each other
LONG = 4096  # letters of a name
LARGEST = 2**63 - 1  # of whole numbers: more has no place in an array

Shape = Callable[[Any, str], None]
"""Raises UntrustedFile where a value is not of the shape; the text is the value's place, for the message."""


class UntrustedFile(ValueError):
    """A file that is not what star reads. The message says why, as the part of a sentence after the file's name."""


def open_file(path: str | Path) -> BinaryIO:
    """A regular file, or what a link to one names, opened for reading.

    Never waits, as opening a pipe would. Raises UntrustedFile for a pipe or device, OSError.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise UntrustedFile("is no regular file")
    return os.fdopen(handle, "rb")


def read_bytes(path: str | Path, limit: int = SMALL) -> bytes:
    """All bytes of a file, see `open_file`. Raises UntrustedFile also for one that is larger than `limit`, OSError."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(limit + 1) if size <= limit else b""
        if size > limit or len(content) > limit:
            raise UntrustedFile(f"has {max(size, len(content)):,} bytes, at most {limit:,} are read")
        return content


def read_text(path: Path, limit: int = SMALL) -> str:
    """The same as text in UTF-8. Raises UntrustedFile, OSError."""
    try:
        return read_bytes(path, limit).decode()
    except UnicodeDecodeError as error:
        raise UntrustedFile(f"is no text in UTF-8 (byte {error.start})") from None


def parse_json(content: str | bytes) -> Any:
    """A JSON document. Raises UntrustedFile for what is none, is too deep, or has a number that is not finite."""
    try:
        found = json.loads(content, parse_constant=_not_finite, parse_float=_finite)
    except UntrustedFile:
        raise
    except RecursionError:
        raise UntrustedFile("is nested without end") from None
    except ValueError as error:
        raise UntrustedFile(f"is no JSON ({error})") from None
    level = [found]  # all lists and objects of one depth
    for _ in range(DEEP):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [one for values in inner for one in values if isinstance(one, (dict, list))]
        if not level:
            return found
    raise UntrustedFile(f"is nested more than {DEEP} deep")


def _not_finite(text: str) -> float:
    raise UntrustedFile(f"has a number that is not finite ({text})")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_finite(text[:20])


def parse_yaml(text: str) -> Any:
    """A YAML document of plain values, without aliases: through them a few lines can mean billions.

    Raises UntrustedFile.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(text, loader):
            if isinstance(event, yaml.AliasEvent):
                raise UntrustedFile(f"has the alias *{event.anchor[:40]}; write out what it stands for")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEP:
                raise UntrustedFile(f"is nested more than {DEEP} deep")
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise UntrustedFile(f"not YAML: {' '.join(str(error).split())}") from None
    except UntrustedFile:
        raise
    except (ValueError, OverflowError, RecursionError) as error:  # a date that is none, a number of 5,000 digits
        raise UntrustedFile(f"not YAML: {' '.join(str(error).split())}") from None


def json_text(document: Any, indent: int | None = None, *, ascii_only: bool = True) -> str:
    """A document as JSON; a number that is not finite, for which JSON has no word, becomes null."""
    try:
        return json.dumps(document, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        return json.dumps(_with_null(document), indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def _with_null(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _with_null(one) for name, one in value.items()}
    return [_with_null(one) for one in value] if isinstance(value, (list, tuple)) else value


def shown(value: Any) -> str:
    """A value of a stranger's in a message: short, on one line, nothing in it that a terminal obeys."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes
        text = f"a {type(value).__name__} too long to be shown"
    return text if len(text) <= 80 else f"{text[:77]}…"


def _refuse(value: Any, place: str, wanted: str) -> None:
    raise UntrustedFile(f"has {place or 'a document'} {shown(value)} where {wanted} is expected")


def whole(low: int = 0, high: int = LARGEST) -> Shape:
    """A whole number from `low` to `high`."""

    def check(value: Any, place: str) -> None:
        if type(value) is not int or not low <= value <= high:
            _refuse(value, place, f"a whole number from {low} to {high}")

    return check


def number(value: Any, place: str) -> None:
    """A finite number."""
    if not (math.isfinite(value) if type(value) is float else type(value) is int and abs(value) <= LARGEST):
        _refuse(value, place, "a number")


def text(longest: int = LONG) -> Shape:
    """A text of at most so many letters."""

    def check(value: Any, place: str) -> None:
        if type(value) is not str or len(value) > longest:
            _refuse(value, place, f"a text of at most {longest} letters")

    return check


def plain(value: Any, place: str) -> None:
    """Anything that JSON has; `parse_json` has looked at its depth and numbers."""


def truth(value: Any, place: str) -> None:
    """true or false."""
    if type(value) is not bool:
        _refuse(value, place, "true or false")


def optional(shape: Shape) -> Shape:
    """null, or the shape."""
    return lambda value, place: None if value is None else shape(value, place)


def one_of(*words: str) -> Shape:
    """One of some texts."""

    def check(value: Any, place: str) -> None:
        if value not in words:
            _refuse(value, place, f"one of {', '.join(words)}")

    return check


def each(shape: Shape, most: int = 1 << 24, least: int = 0) -> Shape:
    """A list of `least` to `most` values of one shape."""

    def check(value: Any, place: str) -> None:
        if type(value) is not list or not least <= len(value) <= most:
            _refuse(value, place, f"a list of {least:,} to {most:,} values")
        for index, one in enumerate(value):
            shape(one, f"{place}[{index}]")

    return check


def named(shape: Shape) -> Shape:
    """An object whose values all have one shape."""

    def check(value: Any, place: str) -> None:
        if type(value) is not dict:
            _refuse(value, place, "an object")
        for name, one in value.items():
            shape(one, f"{place}.{name[:40]}".lstrip("."))

    return check


def record(needed: Mapping[str, Shape], others: Mapping[str, Shape] | None = None, *, closed: bool = False) -> Shape:
    """An object with these values. others: that may be absent. closed: has no further ones."""
    known = {**needed, **(others or {})}

    def check(value: Any, place: str) -> None:
        if type(value) is not dict:
            _refuse(value, place, "an object")
        if lacking := [name for name in needed if name not in value]:
            raise UntrustedFile(f"lacks {f'{place}.{lacking[0]}'.lstrip('.')}")
        if closed and (strange := sorted(value.keys() - known.keys())):
            raise UntrustedFile(f"has {place or 'an entry'} {shown(strange[0])}, which star does not write")
        for name, shape in known.items():
            if name in value:
                shape(value[name], f"{place}.{name}".lstrip("."))

    return check


def read_json(path: Path, shape: Shape, limit: int = SMALL) -> Any:
    """The JSON document in a file, of a shape. Raises UntrustedFile, OSError."""
    found = parse_json(read_bytes(path, limit))
    shape(found, "")
    return found
