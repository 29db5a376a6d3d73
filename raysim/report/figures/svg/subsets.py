"""Scores by modality subset, as Lex et al., "UpSet", 2014 show sets: a column a subset, a line a modality."""

from collections.abc import Sequence

from raysim.report.figures.shown import Subsets
from raysim.report.figures.svg.element import Scale, arm, cut, element, mark, picture, text, told
from raysim.report.figures.svg.lines import axes

_HEIGHT, _TOP, _LINE = 190.0, 26.0, 17.0
_LEAST, _NAMES, _RIGHT = 24.0, 104.0, 12.0


def subsets_svg(several: Sequence[Subsets]) -> list[str]:
    """A picture each, all on the same axis.

    Above, each arm's score, side by side in its column; below, which modalities are given.
    """
    values = [v for subsets in several for _, _, means in subsets.arms for v in means if v is not None]
    y = Scale(min(values), max(values), _TOP + _HEIGHT, _TOP)
    return [_picture(subsets, y) for subsets in several]


def _picture(subsets: Subsets, y: Scale) -> str:
    count = len(subsets.subsets)
    column = max(_LEAST, 6.0 + 7.0 * len(subsets.arms), 280.0 / count)
    width = _NAMES + count * column + _RIGHT
    foot = _TOP + _HEIGHT
    height = foot + 14 + _LINE * len(subsets.modalities)
    x = Scale(0, 1, 0, 1)
    x.ticks, x.labels = [], []
    columns = "".join(
        f"M{_NAMES + i * column:.1f} {_TOP:g}h{column:.1f}V{height - 4:g}h-{column:.1f}z" for i in range(0, count, 2)
    )
    size, margins = (width, foot), (_NAMES, _RIGHT, _TOP, 0.0)
    parts = [element("path", class_="shade", d=columns), axes(x, y, size, margins, "")]
    parts.append(text(8, 14, cut(" · ".join(filter(None, (subsets.title, subsets.y))), width - 12), "title"))
    for row, modality in enumerate(subsets.modalities):
        parts.append(text(_NAMES - 8, foot + 18 + row * _LINE, cut(modality, _NAMES - 12), None, "end"))
    parts += [_members(subsets, i, _NAMES + (i + 0.5) * column, foot + 14) for i in range(count)]
    step = (column - 6) / max(len(subsets.arms), 1)
    for turn, (name, place, means) in enumerate(subsets.arms):
        marks = [
            mark(place, _NAMES + i * column + 3 + (turn + 0.5) * step, y(value))
            for i, value in enumerate(means)
            if value is not None
        ]
        parts.append(arm(place, *marks, aria_label=name))
    return picture(width, height, f"{subsets.y} by the modalities that are given", *parts)


def _members(subsets: Subsets, place: int, x: float, top: float) -> str:
    rows = [i for i, m in enumerate(subsets.modalities) if m in subsets.subsets[place]]
    dots = [
        element("circle", cx=x, cy=top + i * _LINE, r=4, class_="given" if i in rows else "absent")
        for i in range(len(subsets.modalities))
    ]
    link = f"M{x:.1f} {top + rows[0] * _LINE:.1f}V{top + rows[-1] * _LINE:.1f}"
    words = told(" + ".join(subsets.modalities[i] for i in rows))
    return element("g", words, element("path", class_="link", d=link), *dots)
