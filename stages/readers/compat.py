"""What star needs of PyAV beyond its public interface; tried on PyAV 17 and 18."""

from __future__ import annotations

from av.sidedata.sidedata import Type


def accept_unknown_side_data() -> None:
    """Let `frame.side_data` list also what FFmpeg attaches and PyAV has no name for.

    FFmpeg's newer decoders attach EXIF data to pictures, for one; PyAV then raises ValueError for all side data of the
    frame, the display matrix included. A value without a name becomes a member of PyAV's enumeration.
    """

    def named(cls: type[Type], value: object) -> Type:
        member = object.__new__(cls)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    setattr(Type, "_missing_", classmethod(named))  # noqa: B010 (a plain assignment is refused by type checkers)
