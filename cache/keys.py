"""The key of a stage: a name that follows from its settings.

A key depends on nothing but plain settings, so a cache made on one machine is found on another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

DIGEST_BYTES = 16


def canonical(value: Any) -> bytes:
    """Canonical JSON (FORMAT.md "Keys"): equal settings give equal bytes, on every machine and version of Python.

    value: None, bool, int, float, str, and lists, tuples and dicts of them. Raises TypeError for anything else and
    ValueError for NaN and infinity.
    """
    plain = _plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def stage_key(name: str, version: int, settings: Mapping[str, Any], upstream: Mapping[str, str]) -> str:
    """The key of a stage: 32 hex digits over its name, version, settings and the keys of the stages it reads."""
    text = canonical({"stage": name, "version": version, "settings": settings, "upstream": upstream})
    return blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


def _plain(value: Any) -> Any:
    """The same value in JSON's own types; whole floats as integers."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot stand in a key")
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item) for name, item in value.items()}
    raise TypeError(f"{value!r} cannot stand in a key: settings are plain JSON")
