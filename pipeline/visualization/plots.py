"""Pictures as PNG bytes. Matplotlib is imported when the first is drawn, and draws without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..training.metrics import ReliabilityBin
from ..utils.text import drawable

COLOURS = ("#2563eb", "#dc6803", "#0f8a5f", "#9333ea", "#be123c", "#0e7490", "#a16207", "#4b5563")
NUMBERS_UP_TO = 30  # classes for which a confusion matrix has its counts written in
NAMES_UP_TO = 60  # ... and its classes named


def confusion_picture(table: np.ndarray, classes: Sequence[str]) -> bytes:
    """A confusion matrix (k, k), rows the true class, coloured by the share of the row."""
    k = len(classes)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = min(4 + 0.32 * k, 16)
    figure, axes = _figure(side, side)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if k <= NUMBERS_UP_TO:
        for row, column in zip(*np.nonzero(table), strict=True):
            colour = "white" if share[row, column] > 0.55 else "#1f2937"
            axes.text(column, row, int(table[row, column]), ha="center", va="center", color=colour, fontsize=7)
    if k <= NAMES_UP_TO:
        names = [drawable(name) for name in classes]
        axes.set_xticks(range(k), names, rotation=90, fontsize=7)
        axes.set_yticks(range(k), names, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _png(figure)


def curves_picture(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], lines: Sequence[tuple[str, str]], title: str
) -> bytes:
    """Figures of metrics.jsonl over the epochs: one colour a run, one style a line.

    runs: name -> rows. lines: (name in the rows, what to call it).
    """
    figure, axes = _figure(5.2, 3.1)
    for number, (name, rows) in enumerate(runs.items()):
        for style, (key, called) in zip(("-", "--", ":"), lines, strict=False):
            points = [(row["epoch"], row[key]) for row in rows if isinstance(row.get(key), (int, float))]
            label = f"{name}, {called}" if len(runs) > 1 else called
            if points:
                colour = COLOURS[number % len(COLOURS)]
                axes.plot(*zip(*points, strict=True), style, color=colour, lw=1.6, label=label)
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="#e5e7eb", lw=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False, fontsize=7)
    return _png(figure)


def frames_picture(attention: Mapping[str, np.ndarray]) -> bytes:
    """How much is looked at each frame, one row of cells a module: the paper's qualitative figure.

    attention: module -> (t,) shares that add up to 1.
    """
    t = len(next(iter(attention.values())))
    figure, axes = _figure(0.28 * t + 1.6, 0.26 * len(attention) + 0.9)
    shares = np.stack(list(attention.values()))
    axes.imshow(shares * t, cmap="magma", vmin=0, vmax=max(2.0, float(shares.max()) * t), aspect="auto")
    axes.set_yticks(range(len(attention)), list(attention), fontsize=7)
    axes.set_xticks(range(t), [str(frame + 1) for frame in range(t)], fontsize=7)
    axes.set_xlabel("frame", fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _png(figure)


def reliability_picture(bins: Sequence[ReliabilityBin], error: float) -> bytes:
    """How often answers are right, by how sure the network was: on the diagonal it knows how sure it may be.

    error: the expected calibration error.
    """
    figure, axes = _figure(4.4, 4.0)
    axes.plot([0, 1], [0, 1], "--", color="#9ca3af", lw=1)
    most = max((one.videos for one in bins), default=1)
    for one in bins:
        shade = 0.25 + 0.75 * one.videos / most
        axes.bar((one.low + one.high) / 2, one.accuracy, 0.92 * (one.high - one.low), color=COLOURS[0], alpha=shade)
        axes.plot([one.confidence] * 2, [one.confidence, one.accuracy], color=COLOURS[4], lw=1.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share of answers that are right")
    axes.set_title(f"Calibration error {error:.1%}", loc="left", fontsize=10, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def embeddings_picture(
    points: np.ndarray, shares: np.ndarray, labels: np.ndarray, right: np.ndarray, classes: Sequence[str]
) -> bytes:
    """Videos (v, 2) as points, one colour a class; crosses are wrong answers. shares: (2,) of the variance, by axis."""
    from matplotlib import colormaps

    present = np.unique(labels)
    figure, axes = _figure(7.6, 5.6)
    colours = colormaps["turbo"](np.linspace(0.04, 0.96, max(len(present), 2)))
    for number, label in enumerate(present):
        for kind, marker in ((True, "o"), (False, "x")):
            own = points[(labels == label) & (right == kind)]
            name = drawable(classes[int(label)]) if kind or not ((labels == label) & right).any() else None
            axes.scatter(*own.T, s=18, marker=marker, color=colours[number], label=name, alpha=0.85, linewidths=1.1)
    for axis, share, named in ((axes.set_xlabel, shares[0], "first"), (axes.set_ylabel, shares[1], "second")):
        axis(f"{named} principal component, {share:.0%} of the variance", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    if len(present) <= NUMBERS_UP_TO:
        axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of this size in inches that belongs to no window and to no global list."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=140)
    return content.getvalue()
