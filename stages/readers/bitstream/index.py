"""For each codec that can be skipped in: which packet holds which picture, and what a wanted picture needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .h264_order import Picture, choose_packets, display_order
from .h264_packets import Parser
from .h264_slices import Slice
from .mpeg4 import Vop, VopParser, choose_vops


class Plan(Protocol):
    """Takes in the packets of a stream in their order; `finish` proves their display order, or raises `Doubt`.

    displays: the place of every packet's picture in the display order.
    """

    displays: list[int]

    def read(self, packet: bytes) -> None:
        """Take in a packet with content. Raises Doubt for one that is not one sound picture."""
        ...

    def finish(self, delay: int) -> None:
        """All packets were read; delay: how many pictures the decoder holds back where the video does not say it."""
        ...

    def choose(self, wanted: set[int]) -> list[int]:
        """Which packets must be decoded for the wanted pictures (display indices), in the order of the stream."""
        ...


class H264Plan:
    """ITU-T H.264, see `order`."""

    def __init__(self, extradata: bytes) -> None:
        self._parser = Parser(extradata)
        self._headers: list[Slice] = []
        self._pictures: list[Picture] = []
        self.displays: list[int] = []

    def read(self, packet: bytes) -> None:
        """One header more."""
        self._headers.append(self._parser.read(packet))

    def finish(self, delay: int) -> None:
        """Order by picture order counts."""
        self._pictures = display_order(self._headers, self._parser.sequence, delay)
        self.displays = [picture.display for picture in self._pictures]

    def choose(self, wanted: set[int]) -> list[int]:
        """References up to the last wanted picture of each group, and the wanted ones."""
        return choose_packets(self._pictures, wanted)


class Mpeg4Plan:
    """MPEG-4 Visual, see `vops`."""

    def __init__(self, extradata: bytes) -> None:
        self._parser = VopParser(extradata)
        self._pictures: list[Vop] = []
        self.displays: list[int] = []

    def read(self, packet: bytes) -> None:
        """One picture more."""
        self._parser.read(packet)

    def finish(self, delay: int) -> None:
        """References are shown when the next one comes, whatever the delay."""
        self._pictures = self._parser.pictures()
        self.displays = [picture.display for picture in self._pictures]

    def choose(self, wanted: set[int]) -> list[int]:
        """The chains of references that the wanted pictures hang on."""
        return choose_vops(self._pictures, wanted)


PLANS: dict[str, Callable[[bytes], Plan]] = {"h264": H264Plan, "mpeg4": Mpeg4Plan}
