"""The parameter sets of an H.264 video, as far as its slice headers need them.

ITU-T H.264 (08/2021), 7.3.2.1 sequence parameter set, 7.3.2.2 picture parameter set, E.1.1 VUI. Whatever is unusual
(fields, picture order type 1, slice groups, separate colour planes) raises `UnprovableOrder`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bits import BitReader, UnprovableOrder

_HIGH_PROFILES = {44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244}


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What slice headers need from the sequence parameter set.

    extra_qp: by how much a bit depth over 8 widens the range of QP. order_bits: 0 for picture order type 2.
    reorder: max_num_reorder_frames, None where the video does not say it.
    """

    id: int
    has_chroma: bool
    extra_qp: int
    frame_num_bits: int
    order_type: int
    order_bits: int
    reorder: int | None


@dataclass(frozen=True, slots=True)
class PictureParameters:
    """What slice headers need from a picture parameter set; `weighted` is by slice type P, B."""

    id: int
    sequence: int
    cabac: bool
    bottom_order: bool
    references: tuple[int, int]
    weighted: tuple[bool, bool]
    quantiser: int
    deblocking: bool
    redundant: bool


def read_sequence_parameters(nal: bytes) -> SequenceParameters:
    """Read a sequence parameter set, NAL header included."""
    bits = BitReader(nal[1:])
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue(31)
    has_chroma, extra_qp = _chroma(bits) if profile in _HIGH_PROFILES else (True, 0)
    frame_num_bits = bits.ue(12) + 4
    order_type = bits.ue(2)
    if order_type == 1:
        raise UnprovableOrder("picture order type 1")
    order_bits = bits.ue(12) + 4 if order_type == 0 else 0
    bits.ue(16)  # max_num_ref_frames
    bits.flag()  # gaps_in_frame_num_value_allowed_flag
    bits.skip_ue(2)  # size in macroblocks
    if not bits.flag():
        raise UnprovableOrder("interlaced video")
    bits.flag()  # direct_8x8_inference_flag
    if bits.flag():
        bits.skip_ue(4)  # cropping
    reorder = _reorder(bits) if bits.flag() else None
    return SequenceParameters(number, has_chroma, extra_qp, frame_num_bits, order_type, order_bits, reorder)


def _chroma(bits: BitReader) -> tuple[bool, int]:
    """Whether there is chroma, and what the bit depth adds to QP."""
    chroma = bits.ue(3)
    if chroma == 3 and bits.flag():
        raise UnprovableOrder("separate colour planes")
    extra_qp = 6 * bits.ue(6)
    bits.ue(6)
    bits.flag()
    if bits.flag():
        for index in range(12 if chroma == 3 else 8):
            if bits.flag():
                last = following = 8
                for _ in range(16 if index < 6 else 64):
                    following = (last + bits.se(-128, 127)) % 256 if following else 0
                    last = following or last
    return chroma != 0, extra_qp


def _reorder(bits: BitReader) -> int | None:
    """max_num_reorder_frames of the VUI."""
    if bits.flag() and bits.u(8) == 255:  # sample aspect ratio
        bits.u(32)
    if bits.flag():  # overscan
        bits.u(1)
    if bits.flag():  # video signal type
        bits.u(4)
        if bits.flag():
            bits.u(24)
    if bits.flag():  # chroma location
        bits.skip_ue(2, 5)
    if bits.flag():  # timing
        bits.u(65)
    models = 0
    for _kind in ("NAL", "VCL"):
        if bits.flag():  # the parameters of a hypothetical reference decoder (E.1.2)
            models += 1
            count = bits.ue(31) + 1
            bits.u(8)
            for _ in range(count):
                bits.skip_ue(2, 1 << 32)
                bits.u(1)
            bits.u(20)
    if models:
        bits.u(1)
    bits.u(1)  # pic_struct_present_flag
    if not bits.flag():
        return None
    bits.u(1)
    bits.skip_ue(4)
    reorder = bits.ue(16)
    bits.ue(16)  # max_dec_frame_buffering
    return reorder


def read_picture_parameters(nal: bytes) -> PictureParameters:
    """Read a picture parameter set, NAL header included."""
    bits = BitReader(nal[1:])
    number, sequence = bits.ue(255), bits.ue(31)
    cabac, bottom_order = bits.flag(), bits.flag()
    if bits.ue():
        raise UnprovableOrder("slice groups")
    references = (bits.ue(31) + 1, bits.ue(31) + 1)
    weighted = (bits.flag(), bits.u(2) == 1)
    quantiser = 26 + bits.se(-62, 25)
    bits.se(-26, 25)
    bits.se(-12, 12)
    deblocking, _constrained, redundant = bits.flag(), bits.flag(), bits.flag()
    return PictureParameters(
        number, sequence, cabac, bottom_order, references, weighted, quantiser, deblocking, redundant
    )
