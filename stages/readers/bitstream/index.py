"""For each codec that can be skipped in: which packet holds which picture, and what a wanted picture needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .h264_order import H264Picture, choose_packets, display_order
from .h264_packets import H264Parser
from .h264_slices import SliceHeader
from .mpeg4 import Vop, VopParser, choose_vops


class PacketIndex(Protocol):
    """Takes in the packets of a stream in their order; `finish` proves their display order, or raises
    `UnprovableOrder`.

    displays: the place of every packet's picture in the display order.
    """

    displays: list[int]

    def read(self, packet: bytes) -> None:
        """Take in a packet with content. Raises UnprovableOrder for one that is not one sound picture."""
        ...

    def finish(self, delay: int) -> None:
        """All packets were read; delay: how many pictures the decoder holds back where the video does not say it."""
        ...

    def packets_for(self, wanted: set[int]) -> list[int]:
        """Which packets must be decoded for the wanted pictures (display indices), in the order of the stream."""
        ...


class H264PacketIndex:
    """ITU-T H.264, see `order`."""

    def __init__(self, extradata: bytes) -> None:
        self._parser = H264Parser(extradata)
        self._headers: list[SliceHeader] = []
        self._pictures: list[H264Picture] = []
        self.displays: list[int] = []

    def read(self, packet: bytes) -> None:
        """One header more."""
        self._headers.append(self._parser.read(packet))

    def finish(self, delay: int) -> None:
        """Order by picture order counts."""
        self._pictures = display_order(self._headers, self._parser.sequence, delay)
        self.displays = [picture.display for picture in self._pictures]

    def packets_for(self, wanted: set[int]) -> list[int]:
        """References up to the last wanted picture of each group, and the wanted ones."""
        return choose_packets(self._pictures, wanted)


class Mpeg4PacketIndex:
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

    def packets_for(self, wanted: set[int]) -> list[int]:
        """The chains of references that the wanted pictures hang on."""
        return choose_vops(self._pictures, wanted)


PACKET_INDEXES: dict[str, Callable[[bytes], PacketIndex]] = {"h264": H264PacketIndex, "mpeg4": Mpeg4PacketIndex}
