"""A page for pictures and text, placed pixel by pixel.

Small pictures are enlarged by whole numbers: nobody sees a blur that is not there. Captions stand as text. matplotlib
is imported where it is used.

Shapes: H height, W width, C colours (1 or 3), h and w the same as shown.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysim.disk import write
from raysim.report.figures.fonts import cover, drawable
from raysim.report.figures.plots import literal

Array = NDArray[Any]
GAP = 4
"""Pixels between two tiles."""
INK, FAINT = "black", "0.45"
_DPI = 300
_CAPTION_LINES = 5
_MARGIN = 24
"""Pixels that a caption leaves free beside it."""
_LEAST = 0.85
"""Of the wanted size, what a small picture is enlarged to at least."""
_SPREAD = 1.25


@dataclass(frozen=True)
class Look:
    """Sizes of a kind of grid: pixels for pictures and captions, points for letters."""

    picture: int
    caption: int
    letters: float
    heading: float = 8.0


@dataclass(frozen=True)
class _Text:
    """Lines below each other from (x, y) on, in pixels; `align` says what of a line is at x."""

    x: int
    y: int
    lines: Sequence[str]
    points: float
    align: str
    ink: str


@dataclass
class Sheet:
    """A page of pixels, with text upon it; x runs to the right, y down."""

    width: int
    height: int
    _texts: list[_Text] = field(init=False, default_factory=list[_Text])
    _pictures: list[tuple[int, int, Array]] = field(init=False, default_factory=list[tuple[int, int, Array]])

    def text(self, x: int, y: int, lines: Sequence[str], points: float, align: str = "left", ink: str = INK) -> None:
        """Lines below each other from y on."""
        self._texts.append(_Text(x, y, lines, points, align, ink))

    def put(self, x: int, y: int, cell: Any, tile: tuple[int, int], look: Look) -> None:
        """A picture (H, W, C) or a caption, in the middle of its tile (height, width)."""
        if isinstance(cell, str):
            words = " ".join(cell.split())
            lines = wrapped(words, tile[1] - _MARGIN, look.letters, _CAPTION_LINES) or ["(empty)"]
            middle = y + (tile[0] - len(lines) * pitch(look.letters)) // 2
            self.text(x, middle, lines, look.letters, ink=INK if words else FAINT)
            return
        shown = _sized(cell, look.picture)
        top, left = y + (tile[0] - shown.shape[0]) // 2, x + (tile[1] - shown.shape[1]) // 2
        self._pictures.append((top, left, shown))

    def save(self, path: Path) -> None:
        """Writes a PNG; replaced as a whole."""
        pixels = self._lettered()
        for top, left, shown in self._pictures:  # a figure would draw them just as they are, in ten times the time
            pixels[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
        from PIL import Image  # matplotlib depends on it

        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "png", dpi=(_DPI, _DPI))
        write(path, content.getvalue())

    def _lettered(self) -> Array:
        """The page with its text alone, (height, width, 3)."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        cover(line for text in self._texts for line in text.lines)
        figure = Figure(figsize=((self.width + 0.5) / _DPI, (self.height + 0.5) / _DPI), dpi=_DPI)
        for text in self._texts:
            style: dict[str, Any] = {"size": text.points, "color": text.ink, "ha": text.align, "va": "center_baseline"}
            for place, line in enumerate(text.lines):
                y = text.y + (place + 0.5) * pitch(text.points)
                figure.text(text.x / self.width, 1 - y / self.height, literal(line), **style)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3].copy()


def tile_of(cells: Array, look: Look) -> tuple[int, int]:
    """(height, width) of a sample as it is shown."""
    if cells.dtype.kind == "U":
        return (_CAPTION_LINES + 1) * pitch(look.letters), look.caption
    height, width = _sized(cells[0], look.picture).shape[:2]
    return height, width


def _sized(picture: Array, wanted: int) -> Array:
    """(H, W, C) in colours, (h, w, 3): enlarged by a whole number to about `wanted`; above twice that made smaller."""
    most = max(picture.shape[:2])
    colours = np.broadcast_to(picture, (*picture.shape[:2], 3))
    if most <= 2 * wanted:
        factor = math.ceil(_LEAST * wanted / most)
        return colours.repeat(factor, 0).repeat(factor, 1)
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(colours)).reduce(-(-most // (2 * wanted))))


def pitch(points: float) -> int:
    """The height of a line of text, in pixels."""
    return round(_SPREAD * points * _DPI / 72)


def extent(text: str, points: float) -> int:
    """How many pixels a text takes, as it will be drawn."""
    return round(sum(map(_advance, drawable(text))) * points * _DPI / 72)


@cache
def _advance(character: str) -> float:
    """The width of a character, as a share of the size of the letters."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    cover([character])
    style = FontProperties(size=1)
    alone, between = (
        text_to_path.get_text_width_height_descent(text, style, ismath=False)[0] for text in ("||", f"|{character}|")
    )
    return between - alone


def wrapped(text: str, width: int, points: float, most: int) -> list[str]:
    """The text in at most so many lines; words that are too long are broken, what does not fit is left out."""
    lines: list[str] = []
    for word in drawable(text).split(" "):
        if lines and extent(f"{lines[-1]} {word}", points) <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and extent(lines[-1] + letter, points) > width:
                lines.append("")
            lines[-1] += letter
    lines = [line for line in lines if line]
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][:-1]}…"]
