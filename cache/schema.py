"""What the arrays of a stage must be, so that a segment of something else is never taken for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .header import Header


@dataclass(frozen=True, slots=True)
class ArraySchema:
    """One array of a stage.

    dtype: numpy's name. units, axes: as in the attributes, axes with the leading "clip". shape: of one clip, None for
    a length that the settings do not tell, such as the number of joints.
    """

    dtype: str
    axes: str
    units: str
    shape: tuple[int | None, ...]


Schema = Mapping[str, ArraySchema]


def misfit(head: Header, schema: Schema) -> str | None:
    """The first thing in which a segment is not of a schema, as part of a sentence; None where it fits."""
    found = head.attributes
    if found.keys() != schema.keys():
        return f"has the arrays {', '.join(sorted(found))} where the stage has {', '.join(sorted(schema))}"
    for name, wanted in schema.items():
        layout, said = head.datasets[name], found[name]
        shape, told = layout.shape[1:], _shape(wanted.shape)
        fits = len(shape) == len(wanted.shape) and all(
            length in (None, there) for length, there in zip(wanted.shape, shape, strict=True)
        )
        if layout.dtype.name != wanted.dtype or not fits:
            return f"{name} is {layout.dtype.name} {_shape(shape)} a clip where the stage has {wanted.dtype} {told}"
        for attribute, value in (("axes", wanted.axes), ("units", wanted.units)):
            if said.get(attribute) != value:
                return f"{name} has {attribute} {said.get(attribute)!r} where the stage has {value!r}"
    return None


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if length is None else str(length) for length in shape)})"
