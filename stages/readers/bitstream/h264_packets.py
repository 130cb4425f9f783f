"""Cutting the packets of an H.264 stream into NAL units, and making sure that each holds exactly one picture."""

from __future__ import annotations

from .bits import UnprovableOrder
from .h264_parameters import PictureParameters, SequenceParameters, read_picture_parameters, read_sequence_parameters
from .h264_slices import IDR, SliceHeader, read_slice_header

_SLICE, _MESSAGES, _SEQUENCE, _PICTURES, _DELIMITER, _FILLER = 1, 6, 7, 8, 9, 12
# A recovery point (6) changes nothing after an IDR picture, with which all videos here must begin.
_UNSURE_MESSAGES = {47: "a display orientation"}


class H264Parser:
    """Reads the packets of one stream in their order.

    extradata: the codec's private data: an avcC box (ISO/IEC 14496-15, 5.3.3.1) or NAL units after start codes.
    """

    def __init__(self, extradata: bytes) -> None:
        self._sequences: dict[int, SequenceParameters] = {}
        self._pictures: dict[int, PictureParameters] = {}
        self._known: set[bytes] = set()
        self._begun = False
        self._length_size = 0
        if extradata[:1] == b"\1":  # an avcC box: the size of the lengths before NAL units, and parameter sets
            units: list[bytes] = []
            place = 5
            for mask in (31, 255):
                count, place = int.from_bytes(extradata[place : place + 1], "big") & mask, place + 1
                for _unit in range(count):
                    start = place + 2
                    place = start + int.from_bytes(extradata[place:start], "big")
                    units.append(extradata[start:place])
            if place > len(extradata) or not all(units):
                raise UnprovableOrder("the avcC box is cut off")
            self._length_size = (extradata[4] & 3) + 1
        else:
            units = _split_at_codes(extradata)
        for unit in units:
            self._add(unit)

    @property
    def sequence(self) -> SequenceParameters:
        """The one sequence parameter set. Raises UnprovableOrder where there is none."""
        for sequence in self._sequences.values():
            return sequence
        raise UnprovableOrder("no sequence parameter set")

    def read(self, packet: bytes) -> SliceHeader:
        """The header of the one picture in a packet. Raises UnprovableOrder where it holds anything else."""
        slices: list[SliceHeader] = []
        units = _split_by_length(packet, self._length_size) if self._length_size else _split_at_codes(packet)
        for unit in units:
            kind = unit[0] & 31
            if unit[0] & 0x80:
                raise UnprovableOrder("a NAL unit is marked as damaged")
            if kind in {_SLICE, IDR}:
                slices.append(read_slice_header(unit, self._sequences, self._pictures))
            elif kind in {_SEQUENCE, _PICTURES}:
                self._add(unit)
            elif kind == _MESSAGES:
                # supplemental messages (7.3.2.3.1) may not change which pictures are put out, or how they are shown
                payload, place = unit[1:].replace(b"\0\0\3", b"\0\0").rstrip(b"\0"), 0
                while place < len(payload) - 1:
                    message, place = _number(payload, place)
                    size, place = _number(payload, place)
                    if message in _UNSURE_MESSAGES:
                        raise UnprovableOrder(_UNSURE_MESSAGES[message])
                    place += size
            elif kind not in {_DELIMITER, _FILLER}:
                raise UnprovableOrder(f"a NAL unit of type {kind}")
        if not slices or not slices[0].first:
            raise UnprovableOrder("a packet does not begin a picture")
        if any(part.first or part.picture != slices[0].picture for part in slices[1:]):
            raise UnprovableOrder("a packet holds more than one picture")
        self._begun = True
        return slices[0]

    def _add(self, unit: bytes) -> None:
        """Take in a parameter set; after the first picture only known ones may be repeated."""
        unit = unit.rstrip(b"\0")
        if unit in self._known:
            return
        if self._begun:
            raise UnprovableOrder("the parameters change in mid stream")
        self._known.add(unit)
        if unit[0] & 31 == _SEQUENCE:
            sequence = read_sequence_parameters(unit)
            self._sequences[sequence.id] = sequence
        else:
            pictures = read_picture_parameters(unit)
            self._pictures[pictures.id] = pictures
        if len(self._sequences) + len(self._pictures) != len(self._known) or len(self._sequences) > 1:
            raise UnprovableOrder("several sequence parameter sets")


def length_size(codec: str, extradata: bytes) -> int:
    """How many bytes the lengths before NAL units have; 0 where they begin with start codes, or for other codecs.

    codec: FFmpeg's name of it. extradata: an avcC or hvcC box (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1).
    """
    place = {"h264": 4, "hevc": 21}.get(codec)
    if place is None or extradata[:1] != b"\1" or len(extradata) <= place:
        return 0
    return (extradata[place] & 3) + 1


def is_whole(packet: bytes, size: int) -> bool:
    """Whether NAL units with lengths of `size` bytes fill a packet exactly; where not, decoders give up at it."""
    try:
        _split_by_length(packet, size)
    except UnprovableOrder:
        return False
    return True


def begins_anew(packet: bytes, size: int) -> bool:
    """Whether a packet of H.264 holds an IDR picture, before which nothing is needed; size: as in `is_whole`."""
    try:
        units = _split_by_length(packet, size) if size else _split_at_codes(packet)
    except UnprovableOrder:
        return False
    return any(unit[0] & 31 == IDR for unit in units)


def _split_by_length(packet: bytes, size: int) -> list[bytes]:
    units: list[bytes] = []
    place = 0
    while place < len(packet):
        start = place + size
        place = start + int.from_bytes(packet[place:start], "big")
        if not start < place <= len(packet):
            raise UnprovableOrder("a packet is not made of whole NAL units")
        units.append(packet[start:place])
    return units


def _split_at_codes(data: bytes) -> list[bytes]:
    before, *units = data.split(b"\0\0\1")
    if before.strip(b"\0") or not all(units):
        raise UnprovableOrder("a packet is not made of whole NAL units")
    return units


def _number(payload: bytes, place: int) -> tuple[int, int]:
    """A number written as bytes of 255 and a rest, and the place after it."""
    number = 0
    while payload[place : place + 1] == b"\xff":
        number, place = number + 255, place + 1
    return number + int.from_bytes(payload[place : place + 1], "big"), place + 1
