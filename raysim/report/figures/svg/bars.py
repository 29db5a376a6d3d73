"""Differences to a baseline: a bar an arm from zero, with a whisker of one deviation."""

from raysim.report.figures.shown import Bar, Bars
from raysim.report.figures.svg.element import Scale, arm, cut, element, mark, picture, text

_WIDTH, _SIDE, _TOP, _BOTTOM, _LINE = 400.0, 12.0, 26.0, 40.0, 35.0


def bars_svg(bars: Bars) -> list[str]:
    """A picture a pane, all on the same axis."""
    every = [bar for _, several in bars.panes for bar in several]
    ends = [0.0, *(b.mean - b.deviation for b in every), *(b.mean + b.deviation for b in every)]
    x = Scale(min(ends), max(ends), _SIDE, _WIDTH - 52)
    return [_pane(bars, title, several, x) for title, several in bars.panes]


def _pane(bars: Bars, title: str, several: tuple[Bar, ...], x: Scale) -> str:
    foot = _TOP + _LINE * len(several) + 4
    grid = "".join(f"M{x(t):.1f} {_TOP:g}V{foot:g}" for t in x.ticks)
    parts = [
        element("path", class_="grid", d=grid),
        *(text(x(t), foot + 15, label, None, "middle") for t, label in zip(x.ticks, x.labels, strict=True)),
        text(_WIDTH / 2, foot + _BOTTOM - 7, cut(bars.x, _WIDTH), "name", "middle"),
        text(_SIDE, 14, cut(title or bars.title, _WIDTH), "title"),
        element("path", class_="axis", d=f"M{x(0):.1f} {_TOP:g}V{foot:g}"),
        *(_bar(bar, x, _TOP + i * _LINE) for i, bar in enumerate(several)),
    ]
    return picture(_WIDTH, foot + _BOTTOM, " · ".join(filter(None, (title, bars.title))), *parts)


def _bar(bar: Bar, x: Scale, top: float) -> str:
    left, right = sorted((x(0), x(bar.mean)))
    low, high, middle = x(bar.mean - bar.deviation), x(bar.mean + bar.deviation), top + 25
    parts = [
        text(_SIDE, top + 12, cut(bar.name, _WIDTH - 2 * _SIDE), "arm-name"),
        element("rect", class_="bar", x=left, y=top + 20, width=max(right - left, 0.5), height=10),
        mark(bar.place, x(bar.mean), middle),
    ]
    if bar.deviation:
        parts.append(element("path", class_="whisker", d=f"M{low:.1f} {middle:.1f}H{high:.1f}"))
    parts.append(text(max(high, right) + 7, top + 29, f"{bar.mean:+.3f}"))
    return arm(bar.place, *parts)
