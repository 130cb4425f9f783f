"""The display order of H.264 pictures, computed from their headers.

It is computed as ITU-T H.264 (08/2021), 8.2.1 prescribes (picture order count) and accepted only where it can
be proved that a sequential decode puts out the same pictures in the same order:
- every packet is exactly one progressive picture with a sound header (`packets`, `slices`), the first an IDR picture;
- no reference picture is missing (frame_num runs without a gap, 7.4.3);
- between two IDR pictures all order counts differ, the IDR picture's is the lowest, and no picture is overtaken by
  more pictures than the decoder holds back (max_num_reorder_frames, where the video says it): none comes out early.
Otherwise `UnprovableOrder` is raised, and the caller decodes everything in sequence.
"""

from __future__ import annotations

from bisect import bisect
from itertools import pairwise
from typing import NamedTuple

from .bits import UnprovableOrder
from .h264_parameters import SequenceParameters
from .h264_slices import SliceHeader


class NeedsProbe(UnprovableOrder):
    """A doubt that probing may settle: how many pictures the decoder holds back, or how many there are."""


class H264Picture(NamedTuple):
    """One packet: its place in the display order, its group (counted by IDR pictures), whether others refer to it."""

    display: int
    group: int
    reference: bool


def display_order(headers: list[SliceHeader], sequence: SequenceParameters, delay: int) -> list[H264Picture]:
    """The place of every packet's picture in the display order.

    headers: one per packet, in the order of the stream. delay: how many pictures the decoder holds back before the
    first, where the video does not say it itself. Raises UnprovableOrder where the order cannot be proved.
    """
    if not headers or not headers[0].idr:
        raise UnprovableOrder("the video does not begin with an IDR picture")
    depth = delay if sequence.reorder is None else sequence.reorder
    starts = [index for index, header in enumerate(headers) if header.idr]
    pictures: list[H264Picture] = []
    for group, (start, end) in enumerate(pairwise([*starts, len(headers)])):
        part = headers[start:end]
        if part[0].frame_num:
            raise UnprovableOrder("an IDR picture whose frame_num is not 0")
        last = 0  # frame_num is one more than that of the last reference picture (7.4.3)
        for header in part[1:]:
            if header.frame_num != (last + 1) % (1 << sequence.frame_num_bits):
                raise UnprovableOrder("a reference picture is missing")
            last = header.frame_num if header.reference else last
        counts = _order_counts(part, sequence)
        _check_reordering(counts, depth)
        places = {count: start + place for place, count in enumerate(sorted(counts))}
        pictures += [H264Picture(places[count], group, part[index].reference) for index, count in enumerate(counts)]
    return pictures


def _order_counts(headers: list[SliceHeader], sequence: SequenceParameters) -> list[int]:
    """Picture order counts: type 0 by 8.2.1.1; type 2 (8.2.1.3) is the order of the stream itself."""
    if sequence.order_type == 2:
        return list(range(len(headers)))
    modulus = 1 << sequence.order_bits
    high = low = 0
    counts: list[int] = []
    for header in headers:
        lsb = header.order_lsb
        turns = (low - lsb >= modulus // 2) - (lsb - low > modulus // 2)
        top = 0 if header.idr else high + turns * modulus
        counts.append(top + lsb + min(header.order_delta, 0))
        if header.reference:
            high, low = top, lsb
    return counts


def _check_reordering(counts: list[int], depth: int) -> None:
    shown: list[int] = []
    for count in counts:
        place = bisect(shown, count)
        if len(shown) - place > depth:
            raise NeedsProbe("pictures are reordered by more than the decoder holds back")
        if place and shown[place - 1] == count:
            raise UnprovableOrder("two pictures have the same place in the display order")
        shown.insert(place, count)
    if shown[0] != counts[0]:
        raise UnprovableOrder("a picture is shown before its IDR picture")


def choose_packets(pictures: list[H264Picture], wanted: set[int]) -> list[int]:
    """Which packets must be decoded for the wanted pictures (display indices), in the order of the stream.

    The first packet always: encoders write there what decoders need to know of them.
    """
    last = {picture.group: index for index, picture in enumerate(pictures) if picture.display in wanted}
    return [
        index
        for index, picture in enumerate(pictures)
        if index == 0 or (index <= last.get(picture.group, -1) and (picture.reference or picture.display in wanted))
    ]
