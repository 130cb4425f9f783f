"""What holds for every key, every name of a row and every index, on inputs that nobody chose."""

from __future__ import annotations

import json
import os.path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from star.cache.checksum import Row, id_problem, row_head
from star.cache.index import index_of, join
from star.cache.keys import canonical, stage_key

settings.register_profile("star", deadline=None, max_examples=100, derandomize=True)
settings.load_profile("star")

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
SETTINGS = st.dictionaries(st.text(max_size=6), PLAIN, max_size=5)
ROWS = st.builds(Row, NAMES, st.text("0123456789abcdef", min_size=32, max_size=32), st.integers(0, 3))


def reversed_throughout(value: Any) -> Any:
    """The same value with every dict written in the other order, and lists as tuples."""
    if isinstance(value, dict):
        return {name: reversed_throughout(value[name]) for name in reversed(value)}
    return tuple(map(reversed_throughout, value)) if isinstance(value, list) else value


@given(SETTINGS)
def test_a_key_does_not_depend_on_how_settings_are_written(given_settings: dict[str, Any]) -> None:
    other = reversed_throughout(given_settings)
    assert stage_key("backbone", 1, given_settings, {}) == stage_key("backbone", 1, other, {})
    assert canonical(json.loads(canonical(given_settings))) == canonical(given_settings)


@given(SETTINGS, SETTINGS)
def test_other_settings_have_another_key(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Equal where they are equal as JSON: 1 and 1.0 are, 1 and true are not."""
    same = canonical(first) == canonical(second)
    assert (stage_key("pose", 1, first, {}) == stage_key("pose", 1, second, {})) == same
    if first != second:
        assert not same


@given(ROWS, ROWS)
def test_no_two_rows_have_one_name(first: Row, second: Row) -> None:
    """Whatever stands in an id, its length stands before it."""
    assert (row_head(first) == row_head(second)) == (first == second)


@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "a", "", "b.mp4"])).map("/".join))
def test_an_id_that_is_taken_stays_below_the_root(video_id: str) -> None:
    if id_problem(video_id) is None:
        inside = os.path.normpath(f"/root/{video_id}")
        assert inside == "/root" or inside.startswith("/root/")


@given(
    st.lists(st.lists(ROWS, min_size=1, max_size=5, unique=True), min_size=1, max_size=5), st.lists(ROWS, max_size=5)
)
def test_an_index_finds_each_row_where_it_lies_and_no_other(segments: list[list[Row]], others: list[Row]) -> None:
    """In any distribution over segments, rows that stand twice included: then the first segment counts."""
    held = {f"{number:032x}": rows for number, rows in enumerate(segments)}
    index = join([index_of(name, rows, np.array([row.source for row in rows], "S32")) for name, rows in held.items()])
    everything = [row for rows in segments for row in rows]
    assert len(index) == len(set(everything))
    columns = zip(*((row.video_id, row.view, row.source) for row in everything), strict=True)
    for row, place in zip(everything, index.find_many(*columns), strict=True):
        assert place is not None and held[place.segment][place.row] == row
        assert place.segment == next(name for name, rows in held.items() if row in rows)
        assert index.find(row) == place
    for row in set(others) - set(everything):
        assert index.find(row) is None
        assert index.find_many([row.video_id], [row.view], [row.source]) == [None]
