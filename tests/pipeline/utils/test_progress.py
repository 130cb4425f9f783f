"""What a person sees of a long job."""

from __future__ import annotations

import pytest

from star.pipeline.utils import progress


def test_rate_and_time_left_are_those_of_late(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """A job that was slow for its first ten minutes is told by its last one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress("extract", 3000) as bar:
        for rate, seconds in ((1, 600), (10, 120)):
            for _ in range(seconds):
                now[0] += 1
                bar.advance(rate)
    lines = capsys.readouterr().err.splitlines()
    assert lines[119] == "extract: 600 of 3,000 clips, 1.0/s, 40 min 00 s left"
    assert lines[-1] == "extract: 1,800 of 3,000 clips, 10.0/s, 2 min 00 s left"


def test_quiet_is_silent(capsys: pytest.CaptureFixture) -> None:
    """-q says nothing."""
    with progress.Progress("extract", 1, quiet=True) as bar:
        bar.advance()
    assert capsys.readouterr().err == ""
