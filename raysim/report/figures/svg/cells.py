"""How many samples of each class and modality each client has, as FedRecon's figure 7."""

from collections.abc import Sequence
from textwrap import wrap

from raysim.report.figures.svg.element import LETTER, cut, element, picture, text
from raysim.report.reading.partitions import Partition

_NAMED, _NUMBERED = 40, 400
"""Clients or classes that bear their names, and cells that bear their numbers."""
_SHADES = 9
_WIDE, _NARROW, _NAMES = 26.0, 8.0, 110.0
_TOP, _LINE, _GAP = 24.0, 15.0, 10.0
_BOLD = 1.15 * LETTER


def cells_svg(partition: Partition) -> str:
    """A column a client, a line a class and below them a line a modality; darker is more, by the most of its block."""
    clients = len(partition.clients)
    cell = _WIDE if clients <= 24 else max(640.0 / clients, 1.0)
    numbered = clients * (len(partition.classes) + len(partition.modalities)) <= _NUMBERED and cell >= _WIDE
    line = _LINE if len(partition.classes) <= _NAMED else max(400.0 / len(partition.classes), 2.0)
    width = max(int((_NAMES + clients * cell) / _BOLD), 12)
    lines = [words.replace("/ ", "/") for words in wrap(partition.name.replace("/", "/ "), width)]
    parts = [text(2, 13 + i * _LINE, words, "title") for i, words in enumerate(lines)]
    top = _TOP + _LINE * (len(lines) - 1)
    by_class = [[row[c] for row in partition.counts] for c in range(len(partition.classes))]
    blocks = [(partition.classes, by_class, line), (tuple(partition.modalities), _rows(partition), _LINE)]
    for names, rows, high in blocks:
        if names:
            parts += _block(names, rows, top, (cell, high), numbered=numbered)
            top += len(names) * high + _GAP
    every = max(-(-clients // 24), 1)
    if clients <= 24 and max(len(c) for c in partition.clients or ("",)) * LETTER > cell:
        parts += [_aslant(c, _NAMES + (i + 0.65) * cell, top) for i, c in enumerate(partition.clients)]
        top += 34
    else:
        parts += [
            text(_NAMES + (i + 0.5) * cell, top + 4, cut(c, 60), None, "middle")
            for i, c in enumerate(partition.clients)
            if i % every == 0
        ]
    parts.append(text(_NAMES + clients * cell / 2, top + 20, "client", "name", "middle"))
    return picture(_NAMES + clients * cell + 8, top + 26, f"samples by class and client, {partition.name}", *parts)


def _rows(partition: Partition) -> list[list[int]]:
    return [list(counts) for counts in partition.modalities.values()]


def _block(
    names: Sequence[str], rows: Sequence[Sequence[int]], top: float, cell: tuple[float, float], *, numbered: bool
) -> list[str]:
    """Cells of one shade are one path, cells side by side of one shade one stroke of it."""
    wide, high = cell
    most = max((count for row in rows for count in row), default=0)
    shades: dict[int, list[str]] = {}
    for i, row in enumerate(rows):
        levels = [-(-_SHADES * count // most) if most else 0 for count in row]
        start = 0
        for j in range(1, len(levels) + 1):
            if j == len(levels) or levels[j] != levels[start]:
                d = f"M{_NAMES + start * wide:.1f} {top + i * high:.1f}h{(j - start) * wide:.1f}v{high:.1f}"
                shades.setdefault(levels[start], []).append(f"{d}h-{(j - start) * wide:.1f}z")
                start = j
    parts = [element("path", class_=f"shade{level}", d="".join(ds)) for level, ds in sorted(shades.items()) if level]
    width, height = len(rows[0]) * wide, len(rows) * high
    parts.append(element("rect", class_="frame", x=_NAMES, y=top, width=width, height=height))
    every = max(-(-len(names) // _NAMED), 1)
    parts += [
        text(_NAMES - 6, top + (i + 0.5) * high + 4, cut(name, _NAMES - 10), None, "end")
        for i, name in enumerate(names)
        if i % every == 0
    ]
    if numbered:
        parts += [
            text(
                _NAMES + (j + 0.5) * wide, top + (i + 0.5) * high + 3.5, str(count),
                "number on" if 2 * count > most else "number", "middle",
            )
            for i, row in enumerate(rows)
            for j, count in enumerate(row)
        ]  # fmt: skip
    return parts


def _aslant(name: str, x: float, y: float) -> str:
    return text(0, 0, cut(name, 60), None, "end", f"translate({x:.1f} {y:.1f})rotate(-45)")
