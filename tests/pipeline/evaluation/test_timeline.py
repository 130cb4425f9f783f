"""Time lines: every window says what `star predict` says of a film cut to it; files; bad films; interruptions."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from star.errors import StorageError
from star.pipeline.evaluation.timeline import WindowAnswer
from star.pipeline.evaluation.timeline_files import open_timeline_file

RATE = 20  # of the films of conftest.py


def test_a_window_is_a_film_cut_to_it(
    estimated_run: Path, long_film: Path, joined: Sequence[np.ndarray], tmp_path: Path, star, write_film
) -> None:
    """Windows that overlap share frames and joints, and each says what a film of its frames alone says."""
    result = star("predict", long_film, "--run", estimated_run, "--window", 1.5, "--every", 0.75, "--json")
    assert result.exit_code == 0, result.output
    [answer] = json.loads(result.stdout)
    windows = answer["windows"]
    assert [window["start"] for window in windows] == [0.75 * number for number in range(len(windows))]
    assert len(windows) == int((len(joined) / RATE - 1.5) / 0.75) + 1
    for number in (0, 3, len(windows) - 1):
        first = round(0.75 * number * RATE)
        cut = write_film(tmp_path / f"{number}.mp4", joined[first : first + round(1.5 * RATE)])
        [alone] = json.loads(star("predict", cut, "--run", estimated_run, "--json").stdout)
        assert [top["class"] for top in alone["top"]] == [top["class"] for top in windows[number]["top5"]]
        found = [top["probability"] for top in windows[number]["top5"]]
        assert found == pytest.approx([top["probability"] for top in alone["top"]], abs=1e-6)
        assert windows[number]["label"] == alone["top"][0]["class"] and windows[number]["probability"] == found[0]


def test_a_film_of_the_data_set_has_its_annotated_joints(annotated_run: Path, drawn: Path, star) -> None:
    """One window over all of a film is the film; one half of it is the film's clip with that span."""
    film = next((drawn / "videos").glob("wave_*.mp4"))
    [whole] = json.loads(star("predict", film, "--run", annotated_run, "--window", 60, "--json").stdout)
    [plain] = json.loads(star("predict", film, "--run", annotated_run, "--json").stdout)
    [window] = whole["windows"]
    assert window["start"] == 0 and [top["class"] for top in window["top5"]] == [top["class"] for top in plain["top"]]
    assert window["probability"] == pytest.approx(plain["top"][0]["probability"], abs=1e-6)


def test_a_film_without_annotations_is_refused(annotated_run: Path, long_film: Path, star) -> None:
    result = star("predict", long_film, "--run", annotated_run, "--window", 1)
    assert result.exit_code == 3 and "--set pose.source=mmpose" in result.output


@pytest.mark.parametrize("ending", ["csv", "json", "srt"])
def test_files(estimated_run: Path, long_film: Path, tmp_path: Path, ending: str, star) -> None:
    """Each kind of file holds what --json prints."""
    out = tmp_path / f"out.{ending}"
    arguments = ("predict", long_film, "--run", estimated_run, "--window", 2, "--every", 1, "-o", out, "--json")
    document = json.loads(star(*arguments).stdout)
    windows = document[0]["windows"]
    assert len(windows) > 3
    if ending == "json":
        assert json.loads(out.read_text()) == document
    elif ending == "csv":
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(float(row["start"]), row["label"]) for row in rows] == [(w["start"], w["label"]) for w in windows]
        assert float(rows[0]["probability5"]) == pytest.approx(windows[0]["top5"][4]["probability"], abs=1e-6)
        assert rows[0]["video"] == str(long_film) and rows[0]["person"] == ""
    else:
        labels = [w["label"] for n, w in enumerate(windows) if not n or windows[n - 1]["label"] != w["label"]]
        found = re.findall(r"(\d+)\n(\d\d:\d\d:\d\d,\d{3}) --> (\d\d:\d\d:\d\d,\d{3})\n(.+)\n\n", out.read_text())
        assert [text for *_, text in found] == labels
        assert [int(number) for number, *_ in found] == list(range(1, len(labels) + 1))
        assert found[0][1] == "00:00:00,000" and all(a[2] <= b[1] for a, b in pairwise(found))


def answer(start: float, label: str = "wave") -> WindowAnswer:
    return WindowAnswer(start, start + 1, [{"class": label, "probability": 0.5}])


def test_a_json_file_is_whole_after_every_row(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    with open_timeline_file(path, 1.0) as file:
        assert json.loads(path.read_text()) == []
        file.begin("a.mp4")
        assert json.loads(path.read_text()) == [{"video": "a.mp4", "windows": []}]
        file.add(answer(0))
        file.add(answer(1))
        assert [window["start"] for window in json.loads(path.read_text())[0]["windows"]] == [0, 1]
        file.begin("b.mp4")
        file.add(answer(0, 'a "b"'))
        assert json.loads(path.read_text())[1]["windows"][0]["label"] == 'a "b"'


def test_a_full_disk_is_one_line(disk, tmp_path: Path) -> None:
    folder = disk(1)
    file = open_timeline_file(folder / "out.csv", 1.0)
    with pytest.raises(StorageError, match=r"out\.csv: cannot be written"), file:
        for start in range(100_000):
            file.add(answer(start))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--every", 1), "--every: is of a time line; add --window S"),
        (("-o", "x.csv"), "-o: is of a time line; add --window S"),
        (("--window", 1, "-o", "x.txt"), "x.txt: a time line is written as .csv, .json or .srt"),
        (("--window", 0), "--window"),
    ],
)
def test_options_that_cannot_be(
    options: tuple[object, ...], said: str, estimated_run: Path, long_film: Path, star
) -> None:
    result = star("predict", long_film, "--run", estimated_run, *options)
    assert result.exit_code == 2 and said in result.output


def test_a_cut_film_gives_the_windows_before_the_cut(
    estimated_run: Path, long_film: Path, tmp_path: Path, star
) -> None:
    """An MPEG transport stream without its end: what was whole is answered, then one line says what is wrong."""
    import av

    whole = tmp_path / "whole.ts"
    with av.open(str(long_film)) as source, av.open(str(whole), "w", format="mpegts") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    result = star("predict", cut, "--run", estimated_run, "--window", 1, "--json")
    [document] = json.loads(result.stdout)
    assert result.exit_code == 0 or "error" in document
    assert 1 <= len(document["windows"]) < 6


def test_what_is_no_film(estimated_run: Path, tmp_path: Path, star) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no film" * 100)
    result = star("predict", bad, tmp_path / "none.mp4", "--run", estimated_run, "--window", 1, "--json")
    assert result.exit_code == 3
    assert [document["windows"] for document in json.loads(result.stdout)] == [[], []]
    assert all("error" in document for document in json.loads(result.stdout))


def test_an_interruption_keeps_what_was_written(
    estimated_run: Path, joined: Sequence[np.ndarray], tmp_path: Path, write_film
) -> None:
    """Ctrl-C in mid film: exit code 130, and the file holds whole rows."""
    film, out = (
        write_film(tmp_path / "film.mp4", (picture for _ in range(12) for picture in joined)),
        tmp_path / "o.csv",
    )
    arguments = ["predict", film, "--run", estimated_run, "--window", "1", "--every", "0.1", "-o", out, "-q"]
    command = [sys.executable, "-m", "star.cli", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and (not out.exists() or out.read_text().count("\n") < 3):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 130, said
    assert "interrupted" in said
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert 2 <= len(rows) < 12 * len(joined) / RATE / 0.1 - 10
    assert all(row["label"] and row["probability5"] for row in rows)
