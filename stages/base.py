"""The contract of a stage.

A stage is a name, a version number, JSON-able settings and a pure computation: arrays in, arrays out. It never
touches the cache, the recipe or the data set. The same name, version and settings on the same input promise the same
output; whoever changes what comes out raises the version, and every cached row of the old version is left alone
under its old key.

A stage is a frozen dataclass. Its fields are exactly what stands in its key; whatever cannot change the output
(batch sizes, readers, worker counts, devices) is an argument of its methods instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

Settings = Mapping[str, Any]  # JSON: str, int, float, bool, None, lists and dicts of them


@dataclass(frozen=True)
class Array:
    """What one stored array is; written into the attributes of every segment.

    axes: the names of one clip's axes, in order, without the leading clip axis ("t c y x").
    dtype: numpy's name of the stored type.
    units: the unit of the values ("px", "s", "1").
    about: one sentence for a reader who has only the file.
    """

    axes: str
    dtype: str
    units: str
    about: str

    def attributes(self) -> dict[str, str]:
        """The attributes of the HDF5 dataset, as text."""
        return {"axes": f"clip {self.axes}".strip(), "units": self.units, "about": self.about}


class Stage(Protocol):
    """What the pipeline needs to know of every stage; what it computes differs and is in each stage's own file."""

    name: ClassVar[str]
    version: ClassVar[int]
    arrays: ClassVar[Mapping[str, Array]]

    def settings(self) -> Settings:
        """What stands in the key, as plain JSON."""
        ...
