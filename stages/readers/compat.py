"""What star needs of PyAV beyond its public interface; tried on PyAV 17 and 18."""

from __future__ import annotations

from functools import cache
from logging import NullHandler, getLogger

from av import logging
from av.sidedata.sidedata import Type


@cache
def prepare_pyav() -> None:
    """Once per process, before the first file is opened: FFmpeg's messages can be captured and go nowhere else.

    They say where a file was cut short, and damaged pictures concealed. Side data without a name raises no error.
    """
    logging.set_level(logging.INFO)
    logging.set_skip_repeated(False)
    getLogger("libav").addHandler(NullHandler())
    getLogger("libav").propagate = False

    # FFmpeg's newer decoders attach EXIF data to pictures, for one; PyAV then raises ValueError for all side data of
    # the frame, the display matrix included. A value without a name becomes a member of PyAV's enumeration.
    def named(cls: type[Type], value: object) -> Type:
        member = object.__new__(cls)
        member._name_, member._value_ = f"UNKNOWN_{value}", value
        return member

    setattr(Type, "_missing_", classmethod(named))  # noqa: B010 (a plain assignment is refused by type checkers)
