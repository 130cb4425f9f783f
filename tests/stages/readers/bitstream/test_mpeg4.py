"""MPEG-4's picture headers: the display order, what a picture needs, and what is doubted."""

from __future__ import annotations

import av
import pytest

from star.stages.readers.bitstream.bits import UnprovableOrder
from star.stages.readers.bitstream.mpeg4 import Vop, VopParser, choose_vops

I, P, B, S = 0, 1, 2, 3


def bits(*fields: tuple[int, int]) -> bytes:
    """(value, width) fields as bytes, filled up with zeros."""
    text = "".join(f"{int(value):0{int(width)}b}" for value, width in fields if width)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def layer(
    *, delays: bool = True, interlaced: bool = False, sprite: int = 0, partitions: int = 0, cplx: int = 1
) -> bytes:
    """A video object layer of 25 ticks a second."""
    control = [(1, 1), (1, 2), (not delays, 1), (0, 1)]
    head = [(0, 1), (1, 8), (0, 1), (1, 4), *control, (0, 2), (1, 1), (25, 16), (1, 1), (0, 1)]
    sides = [(1, 1), (320, 13), (1, 1), (240, 13), (1, 1), (interlaced, 1), (1, 1)]
    tools = [(sprite, 1), (0, 1), (0, 1), (cplx, 1), (1, 1), (partitions, 1), (0, 1)]
    return b"\0\0\1\x20" + bits(*head, *sides, *tools)


def picture(kind: int, tick: int, *, coded: int = 1, quantiser: int = 5, code: int = 1, second: int = 0) -> bytes:
    """A picture at a tick (1/25 s) after the second of the last reference before it, `second` seconds later."""
    time = [*[(1, 1)] * second, (0, 1), (1, 1), (tick, 5), (1, 1)]
    rest = [(0, kind == P), (0, 3), (quantiser, 5), *[(code, 3)] * kind, (0x155, 9)]
    return b"\0\0\1\xb6" + bits((kind, 2), *time, (coded, 1), *rest)


def read(*packets: bytes, head: bytes | None = None) -> list[Vop]:
    """What a parser makes of packets."""
    parser = VopParser(layer() if head is None else head)
    for packet in packets:
        parser.read(packet)
    return parser.pictures()


STREAM = [picture(kind, tick) for kind, tick in ((I, 0), (P, 3), (B, 1), (B, 2), (I, 6), (B, 4), (B, 5), (P, 7))]


def test_a_reference_is_shown_when_the_next_one_comes():
    """Stream I P b b I b b P, shown I b b P b b I P."""
    assert [vop.display for vop in read(*STREAM)] == [0, 3, 1, 2, 6, 4, 5, 7]


def test_what_a_picture_needs():
    """A P-picture the reference before it, a B-picture the two before it, an I-picture none; packet 0 always."""
    pictures = read(*STREAM)
    assert choose_vops(pictures, {0}) == [0]
    assert choose_vops(pictures, {3}) == [0, 1]
    assert choose_vops(pictures, {2}) == [0, 1, 3]
    assert choose_vops(pictures, {6}) == [0, 4]
    assert choose_vops(pictures, {5}) == [0, 1, 4, 6]
    assert choose_vops(pictures, {7}) == [0, 4, 7]
    assert choose_vops(pictures, set(range(8))) == list(range(8))


def test_repeated_headers_are_no_change():
    """Key pictures of many files bring the layer again, and the time; the first one may bring users' data."""
    group = b"\0\0\1\xb3" + bits((0, 5), (0, 6), (1, 1), (0, 6), (1, 1), (0, 1))
    first = layer() + b"\0\0\1\xb2Lavc" + group + picture(I, 0)
    assert len(read(first, picture(P, 1), layer() + group + picture(I, 2), head=b"")) == 3


def test_seconds_count():
    """A B-picture between references of two seconds."""
    assert len(read(picture(I, 24), picture(P, 1, second=1), picture(B, 0, second=1))) == 3


DOUBTS = {
    "no video object layer": lambda: read(picture(I, 0), head=b""),
    "the video does not begin with an I-picture": lambda: read(picture(P, 0)),
    "a sprite": lambda: read(picture(I, 0), picture(S, 1)),
    "sprites": lambda: read(picture(I, 0), head=layer(sprite=1)),
    "data partitions": lambda: read(picture(I, 0), head=layer(partitions=1)),
    "an estimate of complexity": lambda: read(picture(I, 0), head=layer(cplx=0)),
    "a picture that is not coded": lambda: read(picture(I, 0), picture(P, 1, coded=0)),
    "a packet that is not one picture": lambda: read(picture(I, 0), picture(P, 2) + picture(B, 1)),
    "a packet without a picture": lambda: read(picture(I, 0), layer()),
    "a packet that does not begin with a start code": lambda: read(picture(I, 0), b"\x7f"),
    "the headers change in mid stream": lambda: read(picture(I, 0), layer(delays=False) + picture(I, 1)),
    "packed B-pictures": lambda: read(picture(I, 0), head=layer() + b"\0\0\1\xb2DivX503b1393p"),
    "a header is cut off": lambda: read(picture(I, 0)[:5]),
    "no pictures": read,
}


@pytest.mark.parametrize("reason", DOUBTS)
def test_what_cannot_be_proved_is_doubted(reason):
    """Each condition of the proof, broken alone."""
    with pytest.raises(UnprovableOrder) as caught:
        DOUBTS[reason]()
    assert str(caught.value) == reason


@pytest.mark.parametrize("head", [layer(delays=False), layer(interlaced=True)])
def test_a_b_picture_where_none_should_be_is_doubted(head):
    """A decoder that holds nothing back, or fields."""
    with pytest.raises(UnprovableOrder, match="a B-picture that decoders may leave out"):
        read(*STREAM[:3], head=head)


def test_a_b_picture_needs_two_references_around_it():
    """Without two references before it, or outside their time, FFmpeg leaves it out."""
    with pytest.raises(UnprovableOrder, match="may leave out"):
        read(picture(I, 0), picture(B, 1))
    for tick in (0, 3, 4):
        with pytest.raises(UnprovableOrder, match="does not lie between its references"):
            read(picture(I, 0), picture(P, 3), picture(B, tick))


@pytest.mark.parametrize("wrong", [{"quantiser": 0}, {"code": 0}])
def test_numbers_that_decoders_refuse_are_doubted(wrong):
    """A quantiser or a range of motion of 0: the picture would be missing from what comes out."""
    with pytest.raises(UnprovableOrder, match="out of range"):
        read(picture(I, 0), picture(P, 1, **wrong))


@pytest.mark.parametrize("flags", ["", "+qpel", "+mv4+aic"])
def test_headers_of_an_encoder(make, tmp_path, flags):
    """FFmpeg's own time stamps give the same order."""
    options = {"bf": "2", "g": "12", **({"flags": flags} if flags else {})}
    path = make(tmp_path / "a.mp4", "mpeg4", options=options)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        parser = VopParser(bytes(stream.codec_context.extradata))
        packets = [packet for packet in container.demux(stream) if packet.size]
        for packet in packets:
            parser.read(bytes(packet))
    pictures = parser.pictures()
    stamps = sorted(packet.pts for packet in packets)
    assert [vop.display for vop in pictures] == [stamps.index(packet.pts) for packet in packets]
    assert 15 < sum(not vop.reference for vop in pictures) < 30
