"""A page of pictures and words: pictures are pasted pixel by pixel, words are set by matplotlib."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.text import drawable

PAPER, INK, GREY, EMPTY = (255, 255, 255), "#111827", "#6b7280", (229, 231, 235)
DPI = 100


class Canvas:
    """A white page of (width, height) px; x to the right and y down, from the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.canvas = np.full((height, width, 3), PAPER, np.uint8)
        self.words: list[tuple[int, int, str, dict[str, Any]]] = []

    def paste(self, picture: np.ndarray, x: int, y: int) -> None:
        """Put a picture (h, w, 3) uint8 RGB with its upper left corner at (x, y), unscaled."""
        height, width = picture.shape[:2]
        self.canvas[y : y + height, x : x + width] = picture

    def blank(self, x: int, y: int, width: int, height: int, why: str) -> None:
        """A grey field in place of a picture that is not at hand."""
        self.paste(np.full((height, width, 3), EMPTY, np.uint8), x, y)
        self.write(why, x + width // 2, y + height // 2, ha="center", va="center", color=GREY, fontsize=7)

    def write(self, text: str, x: int, y: int, **style: Any) -> None:
        """Words whose upper left corner is at (x, y); style: of matplotlib's text."""
        self.words.append((x, y, text, {"ha": "left", "va": "top", "color": INK, "fontsize": 8} | style))

    def save(self, path: Path) -> None:
        """Write the page as PNG; the folder is made if it is not there."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height, width = self.canvas.shape[:2]
        figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        figure.figimage(self.canvas, 0, 0, origin="upper")
        for x, y, text, style in self.words:
            figure.text(x / width, 1 - y / height, drawable(text), **style)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
