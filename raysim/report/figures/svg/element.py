"""Elements, numbers and axes of hand-made SVG; lengths are in units of the view box, of which letters have 11."""

import math
from collections.abc import Callable, Sequence
from html import escape

from raysim.report.figures.looks import DASHES, MARKS, look
from raysim.report.text import size

LETTER = 5.8
"""About the mean width of a character of 11 units."""
_MARKS = {
    "s": "M-3-3h6v6h-6z", "^": "M0-4 3.8 3h-7.6z", "D": "M0-4 4 0 0 4-4 0z", "v": "M0 4 3.8-3h-7.6z",
    "P": "M-1.3-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z",
    "X": "M-4-2.2-2.2-4 0-1.8 2.2-4 4-2.2 1.8 0 4 2.2 2.2 4 0 1.8-2.2 4-4 2.2-1.8 0z",
    "*": "M0-4.6 1.1-1.5 4.4-1.4 1.8.6 2.7 3.8 0 1.9-2.7 3.8-1.8.6-4.4-1.4-1.1-1.5z",
    "o": "M-3.3 0a3.3 3.3 0 1 0 6.6 0a3.3 3.3 0 1 0-6.6 0z",
}  # fmt: skip


def element(name: str, *children: str, **attributes: str | float | None) -> str:
    """`<name attributes>children</name>`; `class_` is `class`, `font_size` is `font-size`; None is left out."""
    words = (
        f' {key.rstrip("_").replace("_", "-")}="{escape(value) if isinstance(value, str) else short(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    head = f"<{name}{''.join(words)}"
    return f"{head}>{''.join(children)}</{name}>" if children else f"{head}/>"


def text(
    x: float, y: float, words: str, class_: str | None = None, anchor: str | None = None, turn: str | None = None
) -> str:
    """Words, escaped; `anchor` is `middle` or `end`, `turn` a transform."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor, transform=turn)


def told(words: str) -> str:
    """What an element is, shown under the pointer and read out."""
    return element("title", escape(words))


def picture(width: float, height: float, title: str, *children: str) -> str:
    """The outermost element; `title` is what is read out in its stead."""
    return element(
        "svg", *children, viewBox=f"0 0 {short(width)} {short(height)}", role="img", aria_label=title,
        style=f"--w:{short(width)}",
    )  # fmt: skip


def arm(place: int, *children: str, **attributes: str | float | None) -> str:
    """What belongs to an arm and goes when the reader leaves it out."""
    chosen = look(place)
    return element("g", *children, class_=f"arm c{chosen.colour}", data_arm=str(place), **attributes)


def mark(place: int, x: float, y: float) -> str:
    """The arm's mark at a point."""
    return element("path", class_="mark", d=_MARKS[MARKS[look(place).mark]], transform=f"translate({at(x, y)})")


def dashes(place: int) -> str | None:
    """The arm's `stroke-dasharray`; None for a line without gaps."""
    return " ".join(short(2 * d) for d in DASHES[look(place).dash]) or None


def swatch(place: int) -> str:
    """A piece of the arm's line with its mark, for a legend."""
    line = element("path", class_="line", d="M1 6H29", stroke_dasharray=dashes(place))
    return element(
        "svg", arm(place, line, mark(place, 15, 6)), viewBox="0 0 30 12", class_="swatch", aria_hidden="true"
    )


def path(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    """The `d` of a line through points."""
    return f"M{'L'.join(at(x, y) for x, y in points)}{'z' if closed else ''}"


def at(x: float, y: float) -> str:
    """A point, in as few characters as show it."""
    return f"{short(x)} {short(y)}"


def short(value: float) -> str:
    """At most one decimal."""
    return f"{value:z.1f}".removesuffix(".0")


def cut(words: str, width: float) -> str:
    """As much of a label as fits into a width."""
    most = max(int(width / LETTER), 2)
    return words if len(words) <= most else f"{words[: most - 1]}…"


class Scale:
    """From figures to places along an axis, in a straight line or by the logarithm.

    Args:
        low, high: the figures that must be on the axis.
        start, end: where it begins and ends.
        whole: ticks are whole numbers.
        log: by the logarithm; all figures are above 0.
        bytes: ticks are amounts of bytes.
        room: what is left free at both ends, as a share of it.
    """

    def __init__(
        self, low: float, high: float, start: float, end: float, *,
        whole: bool = False, log: bool = False, bytes: bool = False, room: float = 0.05, most: int = 5,
    ) -> None:  # fmt: skip
        self._map: Callable[[float], float] = math.log10 if log else float
        first, last = self._map(low), self._map(high)
        spare = (last - first) * room or (0.1 if log else abs(last) * 0.1 or 1.0)
        self._first, self._last = first - spare, last + spare
        self._start, self._end = start, end
        if log:
            self.ticks = _powers(self._first, self._last)
        else:
            self.ticks = _even(self._first, self._last, most, whole=whole)
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        digits = max(-math.floor(math.log10(step) + 1e-9), 0)
        self.labels = [size(t) if bytes else f"{t:z,.{digits}f}" for t in self.ticks]

    def __call__(self, value: float) -> float:
        """Where a figure lies."""
        share = (self._map(value) - self._first) / (self._last - self._first)
        return self._start + share * (self._end - self._start)


def _even(low: float, high: float, most: int, *, whole: bool) -> list[float]:
    """At most `most` + 1 multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    step = max(step, 1.0) if whole else step
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 times each where there are few, between two logarithms."""
    exponents = range(math.floor(low) - 1, math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        found = [f * 10.0**e for e in exponents for f in factors if low <= math.log10(f * 10.0**e) <= high]
        if len(found) > 2:
            return found[:: -(-len(found) // 6)]
    return found or [10.0**low, 10.0**high]
