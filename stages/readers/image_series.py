"""Which pictures of a folder are the frames of its video, and in which order: one series, or none.

A name is text and numbers. Names of one text and one kind of file are a series, numbered by what changes in them.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ...errors import UnreadableVideo

_PARTS = re.compile(r"\d+|\D+")
# Words in names of pictures that show something else than the scene: what lies beside frames in many data sets.
_BESIDE = re.compile(
    r"(?:^|[^a-z])(masks?|depths?|segs?|segmentations?|labels?|mattes?|alphas?|flows?|flow_?[xy]|ir|infrared|thermal|"
    r"thumbs?|thumbnails?|previews?|normals?|overlays?|heatmaps?|gt|annot\w*|disp|disparity)(?:$|[^a-z])"
)
_KINDS = {"jpeg": "jpg", "tiff": "tif"}
_PREFERRED = ("jpg", "png", "webp", "bmp", "tif")
ADVICE = "leave the frames of one series in the folder"


@dataclass
class ImageSeries:
    """The names of a folder's frames in their order, and what should be said of the choice."""

    names: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Name:
    name: str
    texts: tuple[str, ...]  # "#" for a number
    digits: tuple[str, ...]
    kind: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers in the name, from left to right."""
        return tuple(map(int, self.digits))


def choose_series(folder: Path, names: Iterable[str]) -> ImageSeries:
    """The frames among the names of a folder's pictures. Raises UnreadableVideo where they are not one series."""
    parsed: list[_Name] = []
    for name in sorted(names):
        stem, _, suffix = name.rpartition(".")
        parts = _PARTS.findall(stem.lower())
        texts = tuple("#" if part.isdecimal() else part for part in parts)
        kind = _KINDS.get(suffix.lower(), suffix.lower())
        parsed.append(_Name(name, texts, tuple(part for part in parts if part.isdecimal()), kind))
    notes: list[str] = []
    numbered = [name for name in parsed if name.digits]
    if len(numbered) < 2:
        kept = _one_kind(parsed, notes)
        if len(kept) > 1:
            notes.append(f"its {len(kept):,} pictures are not numbered; they are taken in the order of their names")
        return ImageSeries(sorted(name.name for name in kept), notes)
    _leave_out([name for name in parsed if not name.digits], "not numbered", notes)
    kept = _one_text(folder, numbered, notes)
    kept = _one_kind(kept, notes)
    return _in_order(folder, kept, notes)


def _leave_out(names: Sequence[_Name], why: str, notes: list[str]) -> None:
    if names:
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        notes.append(f"{names[0].name}{more} left out of its frames: {why}")


def _one_text(folder: Path, names: list[_Name], notes: list[str]) -> list[_Name]:
    """The names of one text: those of masks and the like are left out, and lone ones beside many."""
    groups: dict[tuple[str, ...], list[_Name]] = defaultdict(list)
    for name in names:
        groups[name.texts].append(name)
    most = max(map(len, groups.values()))
    for texts, group in list(groups.items()):
        shown = _BESIDE.search("".join(texts).replace("#", " "))
        if len(groups) > 1 and (shown or (len(group) == 1 and most > 2)):
            _leave_out(group, f"by its name {shown[1]!r}" if shown else "no other is named so", notes)
            del groups[texts]
    if not groups:
        return _one_text_of(folder, names)
    return _one_text_of(folder, [name for group in groups.values() for name in group])


def _one_text_of(folder: Path, names: list[_Name]) -> list[_Name]:
    firsts = {name.texts: name.name for name in reversed(names)}
    if len(firsts) > 1:
        raise UnreadableVideo(f"{folder}: {_listed(list(firsts.values()))} are frames of different series; {ADVICE}")
    return names


def _listed(names: Sequence[str]) -> str:
    some = sorted(names)[:3]
    return ", ".join(some[:-1]) + f" and {some[-1]}"


def _one_kind(names: list[_Name], notes: list[str]) -> list[_Name]:
    """The names of one kind of file: the larger series, of equal ones JPEG before PNG."""
    kinds: dict[str, list[_Name]] = defaultdict(list)
    for name in names:
        kinds[name.kind].append(name)
    ranks = {kind: _PREFERRED.index(kind) if kind in _PREFERRED else len(_PREFERRED) for kind in kinds}
    first = min(kinds, key=lambda kind: (-len(kinds[kind]), ranks[kind]))
    for kind, others in kinds.items():
        if kind != first:
            _leave_out(others, f"the frames are taken from its {len(kinds[first]):,} .{first} files", notes)
    return kinds[first]


def _in_order(folder: Path, names: list[_Name], notes: list[str]) -> ImageSeries:
    fields = range(len(names[0].digits))
    varying = [place for place in fields if len({name.numbers[place] for name in names}) > 1] or list(fields)[-1:]
    if len(varying) > 1:
        texts = names[0].texts
        places = [place for place, text in enumerate(texts) if text == "#"]
        first, second = places[varying[0]], places[varying[-1]]
        # one number with decimals, like seconds: 0.96, 1.00
        if len(varying) == 2 and second == first + 2 and texts[first + 1] == ".":
            return _decimals(folder, names, notes)
        _refuse_product(folder, names, varying)
    ordered = sorted(names, key=lambda name: ([name.numbers[place] for place in varying], name.name))
    for one, next_one in itertools.pairwise(ordered):
        if all(one.numbers[place] == next_one.numbers[place] for place in varying):
            raise UnreadableVideo(f"{folder}: {one.name} and {next_one.name} have the same number; {ADVICE}")
    if len(varying) == 1:
        numbers = [name.numbers[varying[0]] for name in ordered]
        steps = [b - a for a, b in itertools.pairwise(numbers)]
        step = min(steps, default=1)
        missing = sum(width // step - 1 for width in steps)
        if missing:
            where = next(place for place, width in enumerate(steps) if width > step)
            notes.append(
                f"{missing:,} numbers are missing among its frames, the first behind {numbers[where]}; "
                "the frames are taken to follow each other without a gap"
            )
    return ImageSeries([name.name for name in ordered], notes)


def _decimals(folder: Path, names: list[_Name], notes: list[str]) -> ImageSeries:
    """In the order of the numbers, where those can be read in one way alone."""
    wholes = sorted(names, key=lambda name: name.numbers)
    decimals = sorted(names, key=lambda name: [Fraction(".".join(name.digits[-2:])), name.name])
    if len({len(name.digits[-1]) for name in names}) > 1 and wholes != decimals:
        pair = next((one, two) for one, two in zip(wholes, decimals, strict=True) if one != two)
        raise UnreadableVideo(
            f"{folder}: {pair[0].name} and {pair[1].name} can be read as numbers with decimals or as two numbers; "
            "rename the frames 000001, 000002, …"
        )
    return ImageSeries([name.name for name in decimals], notes)


def _refuse_product(folder: Path, names: list[_Name], varying: Sequence[int]) -> None:
    """Refuse several series in which the same numbers come again, as of two cameras."""
    counted = max(varying, key=lambda place: len({name.numbers[place] for name in names}))
    series: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for name in names:
        others = tuple(name.numbers[place] for place in varying if place != counted)
        series[others].add(name.numbers[counted])
    common = set.intersection(*series.values())
    if 2 * len(common) > max(map(len, series.values())):
        number = min(common)
        same = [name.name for name in names if name.numbers[counted] == number]
        raise UnreadableVideo(f"{folder}: {_listed(same)} are frames of different series; {ADVICE}")
