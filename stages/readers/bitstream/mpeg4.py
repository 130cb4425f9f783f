"""The headers of MPEG-4 Visual (XviD, DivX): which packet holds which picture, and what a picture needs.

ISO/IEC 14496-2:2004, 6.2.3 VideoObjectLayer, 6.2.5 VideoObjectPlane. As in `order`, the display order is accepted only
where it can be proved that a sequential decode puts out one picture a packet, in that order. Whatever is unusual
(packed B-pictures, pictures that are not coded, sprites, data partitions) raises `UnprovableOrder`, and so do
B-pictures in
interlaced video: FFmpeg's rounding there depends on the times of all pictures before.
"""

from __future__ import annotations

from typing import NamedTuple

from .bits import BitReader, UnprovableOrder

_I, _B = 0, 2  # vop_coding_type; 1 is P
_LAYERS, _OBJECTS, _USER, _GROUP, _PICTURE = range(0x20, 0x30), range(0x20), 0xB2, 0xB3, 0xB6
_PLAIN = frozenset({*_OBJECTS, *_LAYERS, 0xB0, 0xB5, _USER})  # headers that must not change in mid stream
_HEADER_BYTES = 24


class VideoObjectLayer(NamedTuple):
    """What picture headers need from the video object layer.

    resolution: ticks a second. delays: the decoder holds one picture back; without, there may be no B-pictures.
    """

    resolution: int
    delays: bool
    interlaced: bool


class Vop(NamedTuple):
    """One picture: its place in the display order, and its kind."""

    display: int
    intra: bool
    reference: bool


class VopParser:
    """Reads the packets of one stream in their order; afterwards `pictures` are known.

    extradata: the codec's private data, start codes and all.
    """

    def __init__(self, extradata: bytes) -> None:
        self._known: set[bytes] = set()
        self._layer: VideoObjectLayer | None = None
        self._clock = _Clock()
        self._kinds: list[int] = []
        self._references = 0
        for unit in _split(extradata):
            if unit[0] not in _PLAIN:
                raise UnprovableOrder("a picture in the codec's private data")
            self._add(unit)

    def read(self, packet: bytes) -> None:
        """Take in a packet, which must be one coded picture. Raises UnprovableOrder where it is anything else."""
        count = len(self._kinds)
        for unit in _split(packet):
            if unit[0] == _PICTURE and count == len(self._kinds):
                self._kinds.append(self._picture(unit))
            elif unit[0] == _GROUP and count == len(self._kinds):
                self._clock.set(unit)
            elif unit[0] in _PLAIN and count == len(self._kinds):
                self._add(unit)
            else:
                raise UnprovableOrder("a packet that is not one picture")
        if len(self._kinds) == count:
            raise UnprovableOrder("a packet without a picture")

    def pictures(self) -> list[Vop]:
        """All pictures in the order of the stream. Raises UnprovableOrder where there is none."""
        if not self._kinds:
            raise UnprovableOrder("no pictures")
        places: list[int] = [0] * len(self._kinds)
        held, shown = 0, 0
        for index, kind in enumerate(self._kinds[1:], 1):  # a reference is shown when the next one comes
            places[index if kind == _B else held], shown = shown, shown + 1
            held = held if kind == _B else index
        places[held] = shown
        return [Vop(place, kind == _I, kind != _B) for place, kind in zip(places, self._kinds, strict=True)]

    def _add(self, unit: bytes) -> None:
        """Take in a header that is no picture; after the first picture only known ones may be repeated."""
        unit = unit[:1] + unit[1:].rstrip(b"\0")
        if unit in self._known:
            return
        if self._kinds:
            raise UnprovableOrder("the headers change in mid stream")
        if unit[0] == _USER and unit[1:5] == b"DivX" and unit.endswith(b"p"):
            raise UnprovableOrder("packed B-pictures")
        self._known.add(unit)
        if unit[0] in _LAYERS:
            if self._layer:
                raise UnprovableOrder("several video object layers")
            self._layer = _read_layer(BitReader(unit[1:]))

    def _picture(self, unit: bytes) -> int:
        """vop_coding_type, of a header that is sound to its end."""
        layer = self._layer
        if layer is None:
            raise UnprovableOrder("no video object layer")
        bits = BitReader(unit[1:_HEADER_BYTES])
        kind = bits.u(2)
        if kind > _B:
            raise UnprovableOrder("a sprite")
        if not self._kinds and kind != _I:
            raise UnprovableOrder("the video does not begin with an I-picture")
        # a B-picture needs two before it and a decoder that holds one back
        if kind == _B and (layer.interlaced or not layer.delays or self._references < 2):
            raise UnprovableOrder(
                "a B-picture that decoders may leave out, or that depends on more than its references"
            )
        self._references += kind != _B
        seconds = 0
        while bits.flag():
            seconds += 1
        _marker(bits)
        ticks = bits.u(max((layer.resolution - 1).bit_length(), 1))
        _marker(bits)
        self._clock.tick(kind, seconds, ticks, layer.resolution)
        if not bits.flag():
            raise UnprovableOrder("a picture that is not coded")
        bits.u((kind == 1) + 3 + 2 * layer.interlaced)  # rounding, threshold of intra DC, field order
        # a decoder refuses a quantiser or a range of motion of 0
        if not bits.u(5) or any(not bits.u(3) for _direction in range(kind)):
            raise UnprovableOrder("a header holds a number out of range")
        return kind


class _Clock:
    """The times of pictures as FFmpeg computes them: it leaves out B-pictures that are not between their references."""

    def __init__(self) -> None:
        self.base = self.last_base = self.last = self.gap = 0

    def set(self, unit: bytes) -> None:
        """A group header (6.2.4) says the time."""
        bits = BitReader(unit[1:])
        hours, minutes = bits.u(5), bits.u(6)
        _marker(bits)
        self.base = bits.u(6) + 60 * (minutes + 60 * hours)

    def tick(self, kind: int, seconds: int, ticks: int, resolution: int) -> None:
        """A picture's time. Raises UnprovableOrder for a B-picture outside its references."""
        if kind == _B:
            behind = self.last - ((self.last_base + seconds) * resolution + ticks)
            if not 0 < behind < self.gap:
                raise UnprovableOrder("a B-picture that does not lie between its references")
            return
        self.last_base, self.base = self.base, self.base + seconds
        time = self.base * resolution + ticks
        self.gap, self.last = time - self.last, time


def choose_vops(pictures: list[Vop], wanted: set[int]) -> list[int]:
    """Which packets must be decoded for the wanted pictures (display indices), in the order of the stream.

    A P-picture needs the reference before it, a B-picture the two before it. The first packet always: encoders write
    there what decoders need to know of them.
    """
    chosen: list[int] = []
    needed = 0  # how many of the references before this place
    for index in range(len(pictures) - 1, -1, -1):
        display, intra, reference = pictures[index]
        if display in wanted or (reference and needed) or index == 0:
            chosen.append(index)
            needed = max(needed - 1, 0 if intra else 1) if reference else max(needed, 2)
    return chosen[::-1]


def _split(data: bytes) -> list[bytes]:
    before, *units = data.split(b"\0\0\1")
    if before.strip(b"\0") or not all(units):
        raise UnprovableOrder("a packet that does not begin with a start code")
    return units


def _marker(bits: BitReader) -> None:
    if not bits.flag():
        raise UnprovableOrder("a marker is missing")


def _read_layer(bits: BitReader) -> VideoObjectLayer:
    """The video object layer (6.2.3), as far as it says what pictures have in their headers."""
    bits.u(1)
    bits.u(8)
    version = 1
    if bits.flag():
        version = bits.u(4)
        bits.u(3)
    if bits.u(4) == 15:  # pixel aspect ratio
        bits.u(16)
    delays = False
    if bits.flag():  # vol_control_parameters: whether the decoder is told to hold a picture back
        bits.u(2)
        delays = not bits.flag()
        if bits.flag():  # buffer model
            bits.u(79)
    if bits.u(2):
        raise UnprovableOrder("a shape that is not a rectangle")
    _marker(bits)
    resolution = bits.u(16)
    _marker(bits)
    if not resolution:
        raise UnprovableOrder("a header holds a number out of range")
    if bits.flag():  # fixed rate
        bits.u(max((resolution - 1).bit_length(), 1))
    for _side in range(2):
        _marker(bits)
        bits.u(13)
    _marker(bits)
    interlaced = bits.flag()
    _read_tools(bits, version)
    return VideoObjectLayer(resolution, delays, interlaced)


def _read_tools(bits: BitReader, version: int) -> None:
    """Raises UnprovableOrder for what would put more into the pictures' headers, or other pictures into the stream."""
    bits.u(1)  # overlapped motion
    if bits.u(1 if version == 1 else 2):
        raise UnprovableOrder("sprites")
    if bits.flag():
        raise UnprovableOrder("not 8 bits")
    if bits.flag():
        for _matrix in range(2):
            if bits.flag():
                for _number in range(64):
                    if not bits.u(8):
                        break
    if version != 1:
        bits.u(1)  # quarter samples
    if not bits.flag():
        raise UnprovableOrder("an estimate of complexity")
    bits.u(1)  # resync markers
    if bits.flag():
        raise UnprovableOrder("data partitions")
    if (version != 1 and bits.u(2)) or bits.flag():
        raise UnprovableOrder("new predictions, a reduced size, or several layers")
