"""`star predict`: the likeliest classes of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.predictor import lines, predict
from ..extraction.execution import ExecutionConfig
from .result import Result


def run_predict(
    videos: Sequence[Path], run: Path, *, overrides: tuple[str, ...] = (), device: str = "auto", quiet: bool = False
) -> Result:
    """`star predict`: exit code 3 where a video is unreadable."""
    answers = predict(videos, run, overrides=overrides, execution=ExecutionConfig(device), quiet=quiet)
    return Result(answers, lines(answers), 3 if any("error" in answer for answer in answers) else 0)
