"""The slice header of H.264: which picture a slice belongs to.

ITU-T H.264 (08/2021), 7.3.3. In a picture's first slice every field is read and checked against its range: a picture
whose header is sound is one that a decoder puts out, however damaged its content may be; one whose header is not may
be missing from what comes out, and would shift every index after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .bits import BitReader, UnprovableOrder
from .h264_parameters import PictureParameters, SequenceParameters

HEADER_BYTES = 160  # no sane slice header is longer; running out of them is a doubt
_MOST = 24  # bytes of nearly all of them; short numbers are read several times faster
IDR = 5  # nal_unit_type of a slice that needs nothing before it
_B, _I = 1, 2


class SliceHeader(NamedTuple):
    """What one slice says of its picture. first: it begins the picture. reference: other pictures refer to it."""

    first: bool
    reference: bool
    idr: bool
    frame_num: int
    order_lsb: int
    order_delta: int

    @property
    def picture(self) -> tuple[bool, bool, int, int, int]:
        """What all slices of one picture have in common (7.4.1.2.4)."""
        return self.reference, self.idr, self.frame_num, self.order_lsb, self.order_delta


def read_slice_header(
    nal: bytes, sequences: Mapping[int, SequenceParameters], picture_sets: Mapping[int, PictureParameters]
) -> SliceHeader:
    """Read a slice header; of the NAL unit only the first HEADER_BYTES are looked at."""
    try:
        return _read(nal, BitReader(nal[1:_MOST]), sequences, picture_sets)
    except UnprovableOrder:
        if len(nal) <= _MOST:
            raise
        return _read(nal, BitReader(nal[1:HEADER_BYTES]), sequences, picture_sets)


def _read(
    nal: bytes,
    bits: BitReader,
    sequences: Mapping[int, SequenceParameters],
    picture_sets: Mapping[int, PictureParameters],
) -> SliceHeader:
    idr, reference = nal[0] & 31 == IDR, bool(nal[0] & 0x60)
    first = bits.ue(1 << 24) == 0
    kind = bits.ue(9) % 5
    pictures = picture_sets.get(bits.ue(255))
    sequence = sequences.get(pictures.sequence) if pictures else None
    if pictures is None or sequence is None:
        raise UnprovableOrder("a slice refers to an unknown parameter set")
    if kind > _I or (idr and not (kind == _I and reference)):
        raise UnprovableOrder("a slice of an unusual kind")
    frame_num = bits.u(sequence.frame_num_bits)
    if idr:
        bits.ue()  # idr_pic_id
    lsb = bits.u(sequence.order_bits)
    delta = bits.se(-(1 << 30), 1 << 30) if pictures.bottom_order and sequence.order_type == 0 else 0
    if pictures.redundant and bits.ue(127):
        raise UnprovableOrder("redundant pictures")
    header = SliceHeader(first, reference, idr, frame_num, lsb, delta)
    if not first:  # damage to what follows costs no picture in a later slice: that is mended
        return header
    if kind != _I:
        _read_references(bits, kind, pictures, sequence.has_chroma)
    if reference:
        _read_marking(bits, idr)
    if pictures.cabac and kind != _I:
        bits.ue(2)  # cabac_init_idc
    base = pictures.quantiser + sequence.extra_qp
    bits.se(-base, 51 + sequence.extra_qp - base)
    if pictures.deblocking and bits.ue(2) != 1:
        bits.skip_se(2, -6, 6)
    return header


def _read_references(bits: BitReader, kind: int, pictures: PictureParameters, has_chroma: bool) -> None:
    """Lists of reference pictures: their lengths, their reordering (7.3.3.1), their weights (7.3.3.2)."""
    lists = 2 if kind == _B else 1
    if kind == _B:
        bits.flag()  # direct_spatial_mv_pred_flag
    counts = pictures.references[:lists]
    if bits.flag():
        counts = tuple(bits.ue(31) + 1 for _list in range(lists))
    if max(counts) > 16:
        raise UnprovableOrder("more reference pictures than a frame may have")
    for count in counts:
        if bits.flag():
            for _entry in range(count + 1):
                if bits.ue(3) == 3:
                    break
                bits.ue()
            else:
                raise UnprovableOrder("a reference list is reordered without end")
    if pictures.weighted[kind]:
        bits.skip_ue(2 if has_chroma else 1, 7)
        for _reference in range(sum(counts)):
            if bits.flag():
                bits.skip_se(2, -128, 127)
            if has_chroma and bits.flag():
                bits.skip_se(4, -128, 127)


def _read_marking(bits: BitReader, idr: bool) -> None:
    """Which reference pictures are kept (7.3.3.3). Raises UnprovableOrder where pictures are dropped."""
    if idr:
        if bits.u(2):
            raise UnprovableOrder("an IDR picture drops earlier ones or is a long-term reference")
        return
    if not bits.flag():
        return
    for _operation in range(66):
        operation = bits.ue(6)
        if operation == 0:
            return
        if operation == 5:
            raise UnprovableOrder("a picture resets the picture order")
        if operation in {1, 3}:
            bits.ue(1 << 31)
        if operation != 1:
            bits.ue(15)
    raise UnprovableOrder("memory operations without end")
