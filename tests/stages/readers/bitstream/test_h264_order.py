"""The display order of H.264 pictures, from headers written by hand and by an encoder."""

from __future__ import annotations

import av
import pytest

from star.stages.readers.bitstream.bits import BitReader, UnprovableOrder
from star.stages.readers.bitstream.h264_order import choose_packets, display_order
from star.stages.readers.bitstream.h264_packets import H264Parser
from star.stages.readers.bitstream.h264_parameters import SequenceParameters
from star.stages.readers.bitstream.h264_slices import SliceHeader

SEQUENCE = SequenceParameters(0, True, 0, frame_num_bits=4, order_type=0, order_bits=4, reorder=2)


def header(frame_num: int, lsb: int, reference: bool = True, idr: bool = False) -> SliceHeader:
    """The header of a picture of one slice."""
    return SliceHeader(True, reference, idr, frame_num, lsb, 0)


# I P B b b: shown 0, 3 (b), 4 (B), ...; as x264 writes it with a pyramid of references.
PYRAMID = [header(0, 0, idr=True), header(1, 8), header(2, 4), header(3, 2, False), header(3, 6, False)]


def test_pictures_are_ordered_by_their_counts():
    """Decoding order I P B b b, display order I b B b P."""
    assert [picture.display for picture in display_order(PYRAMID, SEQUENCE, 0)] == [0, 4, 2, 1, 3]


def test_groups_are_numbered_and_follow_each_other():
    """Every IDR picture begins a group, whose pictures are shown after all earlier ones."""
    pictures = display_order(PYRAMID + PYRAMID, SEQUENCE, 0)
    assert [picture.group for picture in pictures] == [0] * 5 + [1] * 5
    assert [picture.display for picture in pictures] == [0, 4, 2, 1, 3, 5, 9, 7, 6, 8]


def test_counts_run_over():
    """40 pictures counted by twos in 4 bits (8.2.1.1): the count runs over every 8 pictures, the order goes on."""
    headers = [header(index % 16, 2 * index % 16, idr=index == 0) for index in range(40)]
    assert [picture.display for picture in display_order(headers, SEQUENCE, 0)] == list(range(40))


def test_type_2_is_the_order_of_the_stream():
    """Picture order type 2 (8.2.1.3) allows no reordering."""
    sequence = SequenceParameters(0, True, 0, frame_num_bits=4, order_type=2, order_bits=0, reorder=None)
    headers = [header(index % 16, 0, idr=index == 0) for index in range(20)]
    assert [picture.display for picture in display_order(headers, sequence, 0)] == list(range(20))


DOUBTS = {
    "the video does not begin with an IDR picture": [header(0, 0)],
    "an IDR picture whose frame_num is not 0": [header(3, 0, idr=True)],
    "a reference picture is missing": [header(0, 0, idr=True), header(2, 4)],
    "two pictures have the same place in the display order": [header(0, 0, idr=True), header(1, 2), header(2, 2)],
    "a picture is shown before its IDR picture": [header(0, 4, idr=True), header(1, 2)],
    "pictures are reordered by more than the decoder holds back": [
        header(0, 0, idr=True),
        *[header(1 + index, lsb) for index, lsb in enumerate([7, 6, 5, 4])],
    ],
}


@pytest.mark.parametrize("reason", DOUBTS)
def test_what_cannot_be_proved_is_doubted(reason):
    """Each condition of the proof, broken alone."""
    with pytest.raises(UnprovableOrder) as caught:
        display_order(DOUBTS[reason], SEQUENCE, 0)
    assert str(caught.value) == reason


def test_the_depth_of_reordering_is_the_videos_own_or_the_decoders():
    """Two pictures overtaken need a depth of two, said by the video or, where it is silent, held by the decoder."""
    headers = [header(0, 0, idr=True), header(1, 6), header(2, 4), header(3, 2)]
    silent = SequenceParameters(0, True, 0, frame_num_bits=4, order_type=0, order_bits=4, reorder=None)
    assert [picture.display for picture in display_order(headers, silent, 2)] == [0, 3, 2, 1]
    with pytest.raises(UnprovableOrder, match="reordered by more"):
        display_order(headers, silent, 1)


def test_packets_that_are_needed():
    """References up to the last wanted picture of a group, the wanted ones, and always the first packet."""
    pictures = display_order(PYRAMID + PYRAMID, SEQUENCE, 0)
    assert choose_packets(pictures, {1}) == [0, 1, 2, 3]
    assert choose_packets(pictures, {2}) == [0, 1, 2]
    assert choose_packets(pictures, {8}) == [0, 5, 6, 7, 9]
    assert choose_packets(pictures, set(range(10))) == list(range(10))
    assert choose_packets(pictures, set()) == [0]


def test_exp_golomb_numbers():
    """Table 9-2: 1, 010, 011, 00100 … are 0, 1, 2, 3 …; signed 0, 1, -1, 2 (table 9-3)."""
    bits = BitReader(bytes([0b1_010_011_0, 0b0100_0010, 0b1_1111111]))
    assert [bits.ue() for _ in range(5)] == [0, 1, 2, 3, 4]
    bits = BitReader(bytes([0b1_010_011_0, 0b0100_1111]))
    assert [bits.se(-9, 9) for _ in range(4)] == [0, 1, -1, 2]


def test_a_header_that_ends_early_is_doubted():
    """Zeros without end, and a number over its limit."""
    with pytest.raises(UnprovableOrder, match=r"^a header is cut off$"):
        BitReader(b"\0\0").ue()
    with pytest.raises(UnprovableOrder, match=r"^a header holds a number out of range$"):
        BitReader(b"\x02\x80").ue(3)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_headers_of_an_encoder(make, tmp_path, name):
    """x264's own time stamps give the same order, and B-pictures that nothing refers to are found."""
    path = make(tmp_path / "a.mp4", params="bframes=3:b-pyramid=normal:keyint=20")
    if name == "a.avi":
        path = make(tmp_path / name, params="bframes=3:b-pyramid=normal:keyint=20")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        parser = H264Parser(stream.codec_context.extradata)
        packets = [packet for packet in container.demux(stream) if packet.size]
        headers = [parser.read(bytes(packet)) for packet in packets]
    pictures = display_order(headers, parser.sequence, 0)
    assert sorted(picture.display for picture in pictures) == list(range(40))
    if name == "a.mp4":
        stamps = sorted(packet.pts for packet in packets)
        assert [picture.display for picture in pictures] == [stamps.index(packet.pts) for packet in packets]
    assert 5 < sum(not picture.reference for picture in pictures) < 35


DAMAGES = {
    "a packet is not made of whole NAL units": lambda packet: packet[:-1],
    "a NAL unit is marked as damaged": lambda packet: packet[:4] + bytes([packet[4] | 0x80]) + packet[5:],
    "a NAL unit of type 20": lambda packet: packet[:4] + b"\x74" + packet[5:],
    "a packet does not begin a picture": lambda packet: b"\0\0\0\2\x09\x10",
    "a packet holds more than one picture": lambda packet: packet + packet,
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_damaged_packets_are_doubted(make, tmp_path, reason):
    """A packet that is not one whole picture."""
    path = make(tmp_path / "a.mp4", params="bframes=0", count=4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        parser = H264Parser(stream.codec_context.extradata)
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    parser.read(packets[0])
    with pytest.raises(UnprovableOrder) as caught:
        parser.read(DAMAGES[reason](packets[1]))
    assert str(caught.value) == reason
