"""The ledger of failed videos."""

from __future__ import annotations

import json
import subprocess

import pytest

from star.cache.failures import Failure, Ledger
from star.errors import FormatError, StorageError


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "cache" / "failures.jsonl")


def test_attempts_are_counted(ledger):
    """One row for each video and stage: the newest failure, and how often it was tried."""
    assert ledger.load() == []
    ledger.record(
        [Failure("b", "decode", "timeout", "60 s", source="1", time=1.0), Failure("b", "pose", "crashed", "")]
    )
    ledger.record(
        [Failure("a\udcffä\n", "decode", "unreadable", "x"), Failure("b", "decode", "crashed", "y", time=2.0)]
    )
    rows = [
        Failure("a\udcffä\n", "decode", "unreadable", "x"),
        Failure("b", "decode", "crashed", "y", attempts=2, time=2.0),
        Failure("b", "pose", "crashed", ""),
    ]
    assert ledger.load() == rows
    assert len(ledger.path.read_text(encoding="utf-8").splitlines()) == 3
    assert [path.name for path in ledger.path.parent.iterdir()] == ["failures.jsonl"]


def test_cleared_videos_are_gone(ledger):
    """A video that went well is forgotten in all stages; the others stay."""
    ledger.record([Failure(video, stage, "timeout", "") for video in "ab" for stage in ("decode", "pose")])
    assert ledger.clear(["a"]) == ledger.load() == [Failure("b", stage, "timeout", "") for stage in ("decode", "pose")]
    assert ledger.clear([]) == ledger.load()


def test_broken_lines_cost_only_themselves(ledger):
    """A last line cut short, junk and fields of a wrong type are skipped; all other lines count, and more can come."""
    kept = [Failure("a", "decode", "timeout", ""), Failure("b", "decode", "timeout", "")]
    ledger.record(kept)
    line = json.dumps(
        {"video": "c", "stage": "decode", "kind": "x", "message": "", "attempts": "3", "source": "", "time": 0}
    )
    broken = b"\xff\xfe\n[]\n{}\n\n" + line.encode() + b"\n" + b"[" * 5000 + b'\n{"video": "d", "stage": "dec'
    ledger.path.write_bytes(ledger.path.read_bytes() + broken)
    assert ledger.load() == kept
    assert len(ledger.record([Failure("d", "decode", "x", "")])) == 3
    assert len(ledger.path.read_bytes().splitlines()) == 3


def test_what_cannot_be_written_or_read(ledger, tmp_path, small_disk):
    """A read-only disk, a folder in the ledger's place, a link: each one clear line."""
    full = Ledger(small_disk / "failures.jsonl")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError) as caught:
        full.record([Failure("a", "decode", "x", "")])
    remedy = "the file system is read-only; mount it writable or set cache.root to another folder"
    assert str(caught.value) == f"{small_disk}: {remedy}"
    link = Ledger(tmp_path / "link")
    link.path.symlink_to("/etc/passwd")
    for odd in (link, Ledger(tmp_path)):
        with pytest.raises(FormatError) as caught:
            odd.load()
        assert (
            str(caught.value) == f"{odd.path}: not a regular file; a cache holds no links, pipes or devices: remove it"
        )
