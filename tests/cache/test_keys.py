"""Keys of stages."""

from __future__ import annotations

from hashlib import blake2b

import pytest

from star.cache.keys import canonical, stage_key


def test_canonical_json_is_pinned():
    """Equal settings give equal bytes: sorted, without spaces, whole floats as integers, text as it is."""
    value = {"b": [1.0, 0.1, -0.0, True, None], "a": "Bär", "c": {"z": (1, 2)}}
    assert canonical(value) == '{"a":"Bär","b":[1,0.1,0,true,null],"c":{"z":[1,2]}}'.encode()


def test_key_is_the_digest_of_what_it_stands_for():
    """A key is blake2b over canonical JSON, so anybody can make it from stage.json alone."""
    text = b'{"settings":{"sigma":1},"stage":"heatmaps","upstream":{"pose":"' + b"0" * 32 + b'"},"version":2}'
    expected = blake2b(text, digest_size=16).hexdigest()
    assert stage_key("heatmaps", 2, {"sigma": 1.0}, {"pose": "0" * 32}) == expected
    assert expected == "2bc2948644f72d01825cc4e08262d6ca"  # pinned: changing it loses every cache there is


@pytest.mark.parametrize(
    "other",
    [
        ("heatmap", 2, {"sigma": 1}, {"pose": "0"}),
        ("heatmaps", 3, {"sigma": 1}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": 1.5}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": "1"}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": True}, {"pose": "0"}),
        ("heatmaps", 2, {"sigma": 1}, {"pose": "1"}),
        ("heatmaps", 2, {"sigma": 1}, {}),
    ],
)
def test_everything_counts_in_a_key(other):
    """Another name, version, setting, type of a setting or upstream key is another key."""
    assert stage_key(*other) != stage_key("heatmaps", 2, {"sigma": 1}, {"pose": "0"})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_key_over_nan(value):
    """NaN is not equal to itself and so cannot name anything."""
    with pytest.raises(ValueError, match=rf"^{value} cannot stand in a key$"):
        canonical({"a": [value]})


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, b"x", object])
def test_no_key_over_what_is_no_json(value):
    """Only plain JSON stands in a key: no pickles, no bytes, no objects."""
    with pytest.raises(TypeError, match=r"cannot stand in a key: settings are plain JSON$"):
        canonical(value)
