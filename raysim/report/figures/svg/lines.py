"""Curves with bands, and clouds of points with whiskers: a picture a pane."""

from raysim.report.figures.shown import Lines, Pane, Series
from raysim.report.figures.svg.element import Scale, arm, cut, dashes, element, mark, path, picture, text, told

_WIDTH, _HEIGHT = 400.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 12.0, 26.0, 40.0
_MARKS = 8
_NAMED = 8
"""Points in a cloud that bear their names."""


def lines_svg(lines: Lines) -> list[str]:
    """A picture a pane, all on the same axes where they show the same."""
    return [_pane(lines, pane, _limits(lines, pane)) for pane in lines.panes]


def _limits(lines: Lines, pane: Pane) -> tuple[float, float, float, float]:
    """The least and greatest x and y of all panes that show what this one shows."""
    alike = [s for p in lines.panes if p.y == pane.y for s in (*p.series, *p.behind)]
    xs, lows, highs = ([v for s in alike for v in getattr(s, name)] for name in ("x", "low", "high"))
    return min(xs), max(xs), min(lows), max(highs)


def _pane(lines: Lines, pane: Pane, limits: tuple[float, float, float, float]) -> str:
    cloud = all(len(s.x) == 1 for s in pane.series) and lines.bytes
    left, right, low, high = limits
    x = Scale(
        left, right, _LEFT, _WIDTH - _RIGHT, whole=lines.whole, log=lines.log, bytes=lines.bytes,
        room=0.08 if cloud else 0.02,
    )  # fmt: skip
    y = Scale(low, high, _HEIGHT - _BOTTOM, _TOP)
    title = " · ".join(filter(None, (pane.title, pane.y or lines.y)))
    parts = [axes(x, y, (_WIDTH, _HEIGHT), (_LEFT, _RIGHT, _TOP, _BOTTOM), lines.x)]
    parts.append(text(_LEFT - 36, 14, cut(title, _WIDTH - 20), "title"))
    parts += [element("path", class_="behind", d=path(_points(s, x, y))) for s in pane.behind]
    for series in pane.series:
        parts.append(_point(series, x, y, named=len(pane.series) <= _NAMED) if cloud else _curve(series, x, y))
    return picture(_WIDTH, _HEIGHT, f"{title} by {lines.x}", *parts)


def axes(
    x: Scale, y: Scale, size: tuple[float, float], margins: tuple[float, float, float, float], below: str
) -> str:  # fmt: skip
    """Lines, ticks and what the horizontal axis shows."""
    (width, height), (left, right, _, bottom) = size, margins
    grid = "".join(f"M{left:g} {y(t):.1f}H{width - right:g}" for t in y.ticks)
    parts = [element("path", class_="grid", d=grid)] if grid else []
    parts.append(element("path", class_="axis", d=f"M{left:g} {height - bottom:g}H{width - right:g}"))
    parts += [text(left - 5, y(t) + 4, label, None, "end") for t, label in zip(y.ticks, y.labels, strict=True)]
    parts += [
        text(x(t), height - bottom + 15, label, None, "middle") for t, label in zip(x.ticks, x.labels, strict=True)
    ]
    parts.append(text((left + width - right) / 2, height - 7, cut(below, width - left), "name", "middle"))
    return element("g", *parts, class_="axes")


def _points(series: Series, x: Scale, y: Scale) -> list[tuple[float, float]]:
    return [(x(a), y(b)) for a, b in zip(series.x, series.y, strict=True)]


def _curve(series: Series, x: Scale, y: Scale) -> str:
    points = _points(series, x, y)
    parts: list[str] = []
    if series.low != series.high:
        upper = [(x(a), y(b)) for a, b in zip(series.x, series.high, strict=True)]
        lower = [(x(a), y(b)) for a, b in zip(series.x, series.low, strict=True)]
        parts.append(element("path", class_="band", d=path([*upper, *reversed(lower)], closed=True)))
    if len(points) > 1:
        parts.append(element("path", class_="line", d=path(points), stroke_dasharray=dashes(series.place)))
    every = max(1, len(points) // _MARKS)
    first = series.place % 3 if len(points) > _MARKS else 0
    parts += [mark(series.place, *point) for point in points[first::every]]
    return arm(series.place, told(series.name), *parts)


def _point(series: Series, x: Scale, y: Scale, *, named: bool) -> str:
    (a, b) = _points(series, x, y)[0]
    parts = [told(series.name)]
    if series.low != series.high:
        parts.append(element("path", class_="line", d=f"M{a:.1f} {y(series.low[0]):.1f}V{y(series.high[0]):.1f}"))
    parts.append(mark(series.place, a, b))
    if named:
        end = a > _WIDTH * 0.62
        room = a - _LEFT if end else _WIDTH - a
        parts.append(text(a + (-7 if end else 7), b - 5, cut(series.name, room), None, "end" if end else None))
    return arm(series.place, *parts)
