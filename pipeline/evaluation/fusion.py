"""Late fusion: the mean of what several runs answer, judged as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import UsageError
from ..planning.selection import Selection
from ..recipe import schema as settings
from ..training.trainer import SCORES
from .results import EvaluationResult, judge, write


def fuse(
    runs: Sequence[Path],
    evaluations: Sequence[EvaluationResult],
    selection: Selection,
    asked: settings.TestSettings,
    folder: Path,
) -> EvaluationResult:
    """The mean of the runs' probabilities, each averaged over views before: write it like a test, return it.

    evaluations: of the runs, in their order. selection: the test clips of the first run, for groups of videos. folder:
    where the files go. A video that one of the runs lacks is left out. Raises UsageError where the runs know different
    classes or have no video in common.
    """
    first = evaluations[0]
    for run, other in zip(runs[1:], evaluations[1:], strict=True):
        if list(other.classes) != list(first.classes):
            raise UsageError(f"--run {run}: knows other classes than {runs[0]}; fuse runs of one data set")
    places = [{video: index for index, video in enumerate(one.videos)} for one in evaluations]
    common = [video for video in first.videos if all(video in place for place in places)]
    if not common:
        raise UsageError(f"--run {runs[1]}: has no test video in common with {runs[0]}; fuse runs of one data set")
    fused = np.mean(
        [one.probabilities[[place[video] for video in common]] for one, place in zip(evaluations, places, strict=True)],
        axis=0,
    )
    several = {one.targets.ndim == 2 for one in evaluations}
    if len(several) > 1:
        raise UsageError(f"--run {runs[1]}: of it and {runs[0]} one gives a clip several labels; fuse runs of one kind")
    selection = replace(selection, multilabel=several.pop())
    chosen = selection.pick([selection.clips_of[video][0] for video in common])
    epochs = [one.summary["checkpoint"]["epoch"] for one in evaluations]
    evaluation = judge(fused, chosen, {"epoch": epochs}, asked)
    summary = evaluation.summary
    summary["left_out"] += len(first.videos) - len(common)
    summary["runs"] = [
        {"run": str(run), **{name: one.summary[name] for name in (*SCORES, "loss") if name in one.summary}}
        for run, one in zip(runs, evaluations, strict=True)
    ]
    write(folder, evaluation)
    return evaluation
