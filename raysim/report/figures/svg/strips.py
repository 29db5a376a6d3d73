"""Clients' scores: a line of dots an arm, the worst tenth open, the mean a stroke."""

from collections.abc import Sequence

from raysim.report.figures.shown import Strip, Strips
from raysim.report.figures.svg.element import Scale, arm, at, cut, element, picture, text

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 400.0, 10.0, 10.0, 26.0, 40.0
_RADIUS, _LINE, _NAME = 2.6, 46.0, 12.0
_MOST = 300
"""Dots of an arm; of more clients, evenly chosen ones by rank."""


def strips_svg(several: Sequence[Strips]) -> list[str]:
    """A picture each, all on the same axis; names stand above their dots, so that long ones have room."""
    scores = [score for strips in several for strip in strips.strips for score in strip.scores]
    x = Scale(min(scores), max(scores), _LEFT + 4, _WIDTH - _RIGHT - 4)
    return [_picture(strips, x) for strips in several]


def _picture(strips: Strips, x: Scale) -> str:
    height = _TOP + _LINE * len(strips.strips) + _BOTTOM
    foot = height - _BOTTOM
    title = strips.title or strips.x
    grid = "".join(f"M{x(t):.1f} {_TOP:g}V{foot:g}" for t in x.ticks)
    parts = [
        element("path", class_="grid", d=grid),
        element("path", class_="axis", d=f"M{_LEFT:g} {foot:g}H{_WIDTH - _RIGHT:g}"),
        *(text(x(t), foot + 15, label, None, "middle") for t, label in zip(x.ticks, x.labels, strict=True)),
        text(_WIDTH / 2, height - 7, cut(strips.x, _WIDTH), "name", "middle"),
        text(_LEFT, 14, cut(title, _WIDTH), "title"),
        *(_strip(strip, x, _TOP + i * _LINE) for i, strip in enumerate(strips.strips)),
    ]
    return picture(_WIDTH, height, f"{strips.x}, by arm", *parts)


def _strip(strip: Strip, x: Scale, top: float) -> str:
    every = max(len(strip.scores) / _MOST, 1)
    chosen = [int(i * every) for i in range(int(len(strip.scores) / every))]
    points = list(zip(chosen, piled([x(strip.scores[i]) for i in chosen]), strict=True))
    middle = top + _NAME + (_LINE - _NAME) / 2
    parts = [text(_LEFT, top + _NAME, cut(strip.name, _WIDTH - 2 * _LEFT), "arm-name")]
    for class_, some in (("dots", [p for i, p in points if i >= strip.worst]),
                         ("dots worst", [p for i, p in points if i < strip.worst])):  # fmt: skip
        d = "".join(_dot(a, middle + b) for a, b in some)
        parts += [element("path", class_=class_, d=d)] if d else []
    parts.append(element("path", class_="mean", d=f"M{x(strip.mean):.1f} {middle - 11:.1f}v22"))
    return arm(strip.place, *parts)


def piled(xs: Sequence[float]) -> list[tuple[float, float]]:
    """Points side by side: those that would cover each other stand above and below the line by turns."""
    taken: dict[int, int] = {}
    found: list[tuple[float, float]] = []
    for x in xs:
        bin_ = round(x / (2 * _RADIUS))
        count = taken[bin_] = taken.get(bin_, 0) + 1
        step = count // 2 * (1 if count % 2 else -1)
        found.append((x, max(min(step * 2 * _RADIUS, 14.0), -14.0)))
    return found


def _dot(x: float, y: float) -> str:
    r = _RADIUS
    return f"M{at(x - r, y)}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0-{2 * r:g} 0z"
