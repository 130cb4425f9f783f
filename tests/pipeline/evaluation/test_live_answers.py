"""Live sources: a film fed in real time through a pipe, and as an MPEG transport stream over the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from star.errors import UnreadableVideo
from star.stages.readers.live_source import AHEAD_S, STILL, LiveReader, SourceClock, live_source

RATE = 20  # pictures a second of the films here

# Sends a film as it would come from a camera, over and over: python feed.py FILM WHERE ROUNDS
FEED = """
import sys, time
from fractions import Fraction
import av
film, where, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
target = sys.stdout.buffer if where == "-" else where
with av.open(film) as source, av.open(target, "w", format="mpegts") as out:
    pictures = [frame.to_ndarray(format="yuv420p") for frame in source.decode(video=0)]
    stream = out.add_stream("libx264", rate=20, options={"preset": "ultrafast", "tune": "zerolatency", "g": "10"})
    stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0] * 2 // 3, "yuv420p"
    began = time.monotonic()
    for number in range(rounds * len(pictures)):
        frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, 20)
        time.sleep(max(0.0, began + number / 20 - time.monotonic()))
        try:
            out.mux(stream.encode(frame))
            if where == "-":
                target.flush()
        except (OSError, ValueError):
            break
"""


def feed(folder: Path, film: Path, where: str, rounds: int) -> subprocess.Popen[bytes]:
    program = folder / "feed.py"
    program.write_text(FEED)
    command = [sys.executable, str(program), str(film), where, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE if where == "-" else None, stderr=subprocess.DEVNULL)


def predict(source: str, run: Path, *options: object, **process: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "star.cli", "predict", source, "--run", run, *options, "--json"]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **process
    )


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_pipe_in_real_time(estimated_run: Path, long_film: Path, tmp_path: Path) -> None:
    """It ends with the source, exit code 0; every window has a delay, the summary adds up, rows are in the file."""
    source = feed(tmp_path, long_film, "-", 3)
    out = tmp_path / "live.csv"
    process = predict("-", estimated_run, "--window", 1, "--every", 0.5, "-o", out, stdin=source.stdout)
    said, errors = process.communicate(timeout=900)
    source.wait()
    assert process.returncode == 0, errors
    *answers, last = documents(said)
    assert len(answers) >= 2 and last["summary"]["answers"] == len(answers)
    starts = [answer["start"] for answer in answers]
    assert starts == sorted(set(starts)) and all(start % 0.5 == 0 for start in starts)
    assert all(answer["delay"] > 0 and len(answer["top5"]) == 5 for answer in answers)
    assert answers[-1]["rate"] == pytest.approx(20, abs=1.5)
    assert last["summary"]["dropped"] <= last["summary"]["frames"] and last["source"] == "-"
    assert len(out.read_text().splitlines()) == len(answers) + 1


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def test_a_stream_of_the_network_until_ctrl_c(estimated_run: Path, long_film: Path, tmp_path: Path) -> None:
    """UDP on the loopback: answers come while it is sent; Ctrl-C ends with the summary, exit code 130."""
    address = f"udp://127.0.0.1:{free_port()}"
    process = predict(address, estimated_run, "--window", 1)
    source = feed(tmp_path, long_film, f"{address}?pkt_size=1316", 300)
    assert process.stdout is not None
    try:
        answers = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=900)
    finally:
        source.kill()
        source.wait()
    assert process.returncode == 130, errors
    assert all(answer["label"] and answer["end"] - answer["start"] == 1 for answer in answers)
    assert documents(said)[-1]["summary"]["answers"] >= 3


def test_what_cannot_be_opened(estimated_run: Path, annotated_run: Path, star: Callable) -> None:
    for source in ("camera:77", "rtsp://127.0.0.1:1/none", "http://127.0.0.1:1/film.mp4"):
        result = star("predict", source, "--run", estimated_run)
        assert result.exit_code == 3 and f"{source}: cannot be opened" in result.output, result.output
    refused = star("predict", "camera:0", "--run", annotated_run)
    assert refused.exit_code == 2 and "--set pose.source=mmpose" in refused.output
    assert "a live source stands alone" in star("predict", "camera:0", "a.mp4", "--run", estimated_run).output
    drawn = star("predict", "camera:0", "--run", estimated_run, "--overlay", "x.mp4")
    assert drawn.exit_code == 2 and "--overlay: is of a file" in drawn.output


@pytest.mark.parametrize(
    "name", ["film.mp4", "folder/film.mp4", "file:///etc/passwd", "concat:a|b", "data:text,x", "a:b"]
)
def test_names_that_are_no_live_source(name: str) -> None:
    assert live_source(name) is None


def test_no_source_may_open_files() -> None:
    """Whatever a stream names, only the protocols of its own kind are allowed."""
    sources = [live_source(name) for name in ("udp://h:1", "rtsp://h/x", "http://h/x", "https://h/x", "tcp://h:1", "-")]
    for source in sources:
        assert source is not None and source.protocols
        assert not {"file", "data", "concat", "subfile", "crypto"} & set(source.protocols.split(","))


def test_a_stream_that_names_a_file_does_not_open_it(tmp_path: Path, server: tuple[str, dict[str, bytes]]) -> None:
    """A play list that a web server sends, with a film of this machine in it, is refused."""
    address, files = server
    files["/list.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    source = live_source(f"{address}/list.m3u8")
    assert source is not None
    with pytest.raises(UnreadableVideo, match="cannot be opened"):
        LiveReader(source, 5.0)


def test_pictures_of_a_pipe_are_those_of_the_film(
    joined: Sequence[np.ndarray], tmp_path: Path, write_film: Callable
) -> None:
    """A pipe is read no faster than real time, and gives every picture with its time."""
    film = write_film(tmp_path / "film.mkv", joined[:24])
    reading, writing = os.pipe()
    os.set_blocking(writing, True)
    if not os.fork():
        os.close(reading)
        os.write(writing, film.read_bytes())
        os._exit(0)
    os.close(writing)
    source = live_source("-", reading)
    assert source is not None
    reader = LiveReader(source, 10.0)
    frames = list(reader.frames())
    reader.close()
    os.wait()
    assert [round(frame.time * 20) for frame in frames] == list(range(24))
    assert [frame.index for frame in frames] == list(range(24))
    assert all(np.array_equal(frame.frame.to_ndarray(format="yuv420p"), picture)
               for frame, picture in zip(frames, joined, strict=False))  # fmt: skip
    assert all(frame.best <= frame.arrived <= time.monotonic() for frame in frames)
    assert frames[-1].arrived - frames[0].arrived >= frames[-1].time - AHEAD_S - 0.01


def without_times(film: Path, target: Path) -> Path:
    """The same pictures, each a key picture, all at time 0."""
    with av.open(str(film)) as source, av.open(str(target), "w", format="matroska") as out:
        stream, shown = out.add_stream("mjpeg", rate=RATE), source.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuvj420p"
        for frame in source.decode(video=0):
            for packet in stream.encode(frame.reformat(format="yuvj420p")):
                packet.pts = packet.dts = 0
                out.mux(packet)
    return target


def raw(film: Path, target: Path) -> Path:
    """The same pictures as a raw H.264 stream, which has no times, only a rate."""
    with av.open(str(film)) as source, av.open(str(target), "w", format="h264") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency"})
        shown = source.streams.video[0]
        stream.width, stream.height, stream.pix_fmt = shown.width, shown.height, "yuv420p"
        for frame in source.decode(video=0):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p")))
        out.mux(stream.encode())
    return target


@pytest.mark.parametrize("change", [without_times, raw])
def test_a_pipe_without_times_is_counted_at_its_rate(
    change: Callable, estimated_run: Path, joined: Sequence[np.ndarray], tmp_path: Path, write_film: Callable
) -> None:
    """It is answered as ever, and one line says how its pictures were timed."""
    film = change(write_film(tmp_path / "film.mkv", joined[:70]), tmp_path / "without")
    note = "standard input: the times of its pictures are missing or stand still; they are counted at the 20 a second"
    for as_json in (True, False):
        with film.open("rb") as pipe:
            command = ["predict", "-", "--run", estimated_run, "--window", "1", *(["--json"] if as_json else [])]
            done = subprocess.run(
                [sys.executable, "-m", "star.cli", *command], stdin=pipe, capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, done.stderr
        if as_json:
            *answers, last = documents(done.stdout)
            assert last["summary"]["note"].startswith(note) and last["summary"]["answers"] == len(answers) >= 2
            assert answers[-1]["rate"] == pytest.approx(RATE, abs=0.01)
        else:
            assert done.stdout.count(note) == 1


def test_a_source_that_ends_before_its_first_window(
    estimated_run: Path, joined: Sequence[np.ndarray], tmp_path: Path, write_film: Callable
) -> None:
    with write_film(tmp_path / "film.mkv", joined[:10]).open("rb") as pipe:
        command = [sys.executable, "-m", "star.cli", "predict", "-", "--run", estimated_run, "--window", "2"]
        done = subprocess.run(command, stdin=pipe, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    why = "ended before its first window of 2 s did (10 pictures in 0.45 s; give a shorter --window)"
    assert f"standard input: {why}\n" in done.stdout


def test_a_stream_of_the_network_without_times_is_timed_as_it_arrives(
    joined: Sequence[np.ndarray], tmp_path: Path, write_film: Callable, server: tuple[str, dict[str, bytes]]
) -> None:
    address, files = server
    files["/film"] = without_times(write_film(tmp_path / "film.mkv", joined[:40]), tmp_path / "without").read_bytes()
    source = live_source(f"{address}/film")
    assert source is not None
    reader = LiveReader(source, 10.0)
    frames = list(reader.frames())
    reader.close()
    assert reader.clock.note.endswith("; they are timed as they arrive") and len(frames) > 2 * STILL
    counted = [(frame.time, frame.arrived) for frame in frames[STILL:]]
    for (time_before, before), (time_after, after) in pairwise(counted):
        assert time_after - time_before == pytest.approx(after - before)


def test_a_clock() -> None:
    """A repeated or missing time is that of the picture before; a pipe that stands and states no rate is refused."""
    source = live_source("-")
    assert source is not None
    clock = SourceClock(source, None)
    given = [clock.seconds(stamp, 0.0) for stamp in (7.0, 7.05, 7.05, None, 7.2)]
    assert given == pytest.approx([0, 0.05, 0.05, 0.05, 0.2]) and not clock.note
    with pytest.raises(UnreadableVideo, match="stand still, and it states no rate; send it with times"):
        for _ in range(STILL):
            clock.seconds(7.2, 0.0)
