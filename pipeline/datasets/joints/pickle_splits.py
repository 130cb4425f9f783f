"""The splits that a pickle of pyskl's names, and which of them a recipe asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ....errors import DatasetError

if TYPE_CHECKING:
    from ...recipe.schema import DatasetSettings

SIDE = re.compile(r"^(?:(?P<before>.*?)[_-])?(?P<side>train|val|test)(?:[_-]?(?P<after>.+))?$", re.IGNORECASE)


def sides_of(settings: DatasetSettings, splits: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """Name of a sequence -> "train" or "test" under the protocol that the recipe names; None without any splits.

    `train` and `val` (or `test`) are the only protocol of their pickle; `xsub_train` and `xsub_val` belong to protocol
    xsub, `train1` and `test1` to fold 1. What a pickle calls val is what its results are published on, where it has no
    test of its own. Raises DatasetError where the recipe's is not among them, or names leave it open.
    """
    if not splits:
        return None
    protocols = _protocols(splits)
    if not protocols:
        raise DatasetError(f"dataset.root: its splits ({', '.join(splits)}) are not called train, val or test")
    chosen = _chosen(settings, protocols)
    parts = protocols[chosen]
    if "train" not in parts or len(parts) < 2:
        raise DatasetError(f"dataset.split: {chosen or 'official'} has only {', '.join(parts)} in this pickle")
    testing = parts.get("test") or parts["val"]
    found = dict.fromkeys(splits[parts["train"]], "train")
    both = sum(name in found for name in splits[testing])
    if both:
        raise DatasetError(
            f"dataset.split: {both:,} sequences stand in both {parts['train']} and {testing}; correct the pickle"
        )
    if parts.get("test") and parts.get("val"):
        found |= dict.fromkeys(splits[parts["val"]], "val")
    return found | dict.fromkeys(splits[testing], "test")


def known_protocols(splits: Mapping[str, Sequence[str]]) -> list[str]:
    """The protocols that these splits belong to; "official" where there is only one without a name, or numbered folds
    of which `dataset.fold` chooses."""
    found = list(_protocols(splits))
    numbered = all(name.isdecimal() for name in found)
    return ["official"] if "" in found or numbered else found


def _protocols(splits: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Protocol ("" where only one is named) -> side -> the split's name."""
    found: dict[str, dict[str, str]] = {}
    for name in splits:
        match = SIDE.match(name)
        if match:
            protocol = (match["before"] or match["after"] or "").lower()
            found.setdefault(protocol, {})[match["side"].lower()] = name
    return found


def _chosen(settings: DatasetSettings, protocols: Mapping[str, Mapping[str, str]]) -> str:
    wanted = settings.split if settings.split != "official" else ""
    if wanted in protocols:
        return wanted
    if not wanted:
        fold = str(settings.fold)
        for name in protocols:
            if re.sub(r"\D", "", name) == fold:
                return name
        if len(protocols) == 1:
            return next(iter(protocols))
    named = ", ".join(name or "official" for name in protocols)
    raise DatasetError(f"dataset.split: {settings.split!r} is not among the pickle's protocols; choose one of {named}")
