"""`star predict`: the likeliest classes of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.predictor import Predictions, predict
from ..extraction.execution import ExecutionConfig


def run_predict(
    videos: Sequence[Path], run: Path, *, overrides: tuple[str, ...] = (), device: str = "auto", quiet: bool = False
) -> Predictions:
    """`star predict`: exit code 3 where a video is unreadable."""
    return predict(videos, run, overrides=overrides, execution=ExecutionConfig(device), quiet=quiet)
