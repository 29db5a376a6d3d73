"""Differences between arms: a bar an arm from zero, with its interval as a whisker."""

from raysim.report.figures.shown import Bar, Bars
from raysim.report.figures.svg.element import LETTER, Scale, arm, cut, element, mark, picture, text

_WIDTH, _SIDE, _TOP, _BOTTOM, _LINE = 400.0, 12.0, 26.0, 40.0, 37.0
_BELOW = 17.0
"""From an arm's name down to its bar; the name has this to itself."""


def bars_svg(bars: Bars) -> list[str]:
    """A picture a pane, all on the same axis."""
    every = [bar for _, several in bars.panes for bar in several]
    ends = [0.0, *(b.mean for b in every), *(end for b in every for end in b.interval or ())]
    x = Scale(min(ends), max(ends), _SIDE, _WIDTH - 52)
    return [_pane(bars, title, several, x) for title, several in bars.panes]


def _pane(bars: Bars, title: str, several: tuple[Bar, ...], x: Scale) -> str:
    foot = _TOP + _LINE * len(several) + 4
    spans = [(_TOP + i * _LINE + _BELOW, _TOP + (i + 1) * _LINE) for i in range(len(several))]
    parts = [
        *(
            element("path", class_=class_, d="".join(f"M{x(t):.1f} {a:g}V{b:g}" for t in ticks for a, b in spans))
            for class_, ticks in (("grid", x.ticks), ("axis", [0.0]))
        ),
        *(text(x(t), foot + 15, label, None, "middle") for t, label in zip(x.ticks, x.labels, strict=True)),
        text(_WIDTH / 2, foot + _BOTTOM - 7, cut(bars.x, _WIDTH), "name", "middle"),
        text(_SIDE, 14, cut(title or bars.title, _WIDTH), "title"),
        *(_bar(bar, x, _TOP + i * _LINE) for i, bar in enumerate(several)),
    ]
    return picture(_WIDTH, foot + _BOTTOM, " · ".join(filter(None, (title, bars.title))), *parts)


def _bar(bar: Bar, x: Scale, top: float) -> str:
    left, right = sorted((x(0), x(bar.mean)))
    middle, ends = top + _BELOW + 9, bar.interval or (bar.mean, bar.mean)
    parts = [
        text(_SIDE, top + 12, cut(bar.name, _WIDTH - 2 * _SIDE), "arm-name"),
        element("rect", class_="bar", x=left, y=middle - 5, width=max(right - left, 0.5), height=10),
        mark(bar.place, x(bar.mean), middle),
    ]
    if bar.interval:
        parts.append(element("path", class_="whisker", d=f"M{x(ends[0]):.1f} {middle:.1f}H{x(ends[1]):.1f}"))
    beside = max(x(ends[1]), right) + 7
    parts.append(text(min(beside, _WIDTH - 7 * LETTER), middle + 4, f"{bar.mean:+.3f}"))
    return arm(bar.place, *parts)
