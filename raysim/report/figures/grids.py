"""Grids of what generators make: a picture for each pair, and one of all.

Shapes: n samples, H height, W width, C colours (1 or 3).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysim.report.figures.sheet import FAINT, GAP, Look, Sheet, extent, pitch, tile_of, wrapped
from raysim.scenario.trial import folder_names

Array = NDArray[Any]
ROUND = "round"
"""Which round the arrays of a file are of; all others have a `/` in their names."""

_SPACE = 28
_WIDEST, _NARROWEST = 2400, 900
_MOST_SAMPLES, _ROWS = 8, 8
_PAIR, _OVERVIEW = Look(128, 620, 7.0), Look(90, 420, 6.0)


def due(source: Path, path: Path) -> bool:
    """Whether a picture is not there yet, or older than its data."""
    return not path.exists() or path.stat().st_mtime < source.stat().st_mtime


def draw_grids(source: Path, title: str, path: Path) -> None:
    """Draws what a file holds: the pairs beside the overview, which comes last.

    Args:
        source: an npz of `PicturesMade.arrays` and `round`.
        title: above the overview.
        path: the overview's PNG; its folder is made.

    Raises:
        ValueError: there are no pictures.
    """
    with np.load(source) as file:
        arrays = dict(file)
    if not shows(arrays):
        raise ValueError("holds no pictures of what was made")
    several = pairs(arrays)
    path.parent.mkdir(exist_ok=True)
    names = folder_names([f"{s}_to_{t}" for s, t in several])
    for (given, made), name in zip(several, names, strict=True):
        draw_pair(arrays, given, made, path.with_name(f"{name}.png"))
    when = f", round {arrays[ROUND]}" if ROUND in arrays else ""
    draw_overview(arrays, f"{title}{when}", path)


def shows(arrays: Mapping[str, Array]) -> bool:
    """Whether there are pictures of what was made: of a modality, or of nothing by the prior."""
    return bool(pairs(arrays)) or any(f"prior/{m}" in arrays for m in _modalities(arrays))


def pairs(arrays: Mapping[str, Array]) -> list[tuple[str, str]]:
    """(source, target) that there are pictures of, also of the source; `real` and `prior` are no sources."""
    modalities = _modalities(arrays)
    sources = [m for m in modalities if m not in ("real", "prior")]
    return [(s, t) for s in sources for t in modalities if f"{s}/{t}" in arrays]


def draw_pair(arrays: Mapping[str, Array], source: str, target: str, path: Path) -> None:
    """A line a sample: what was given on the left, what was made of it on the right; in blocks of at most eight lines.

    Args:
        arrays: with `real/<source>` and `<source>/<target>`.
        source: the modality on the left.
        target: the modality on the right.
        path: the PNG; replaced as a whole.
    """
    columns = [arrays[f"real/{source}"], arrays[f"{source}/{target}"]]
    tiles = [tile_of(column, _PAIR) for column in columns]
    height = max(tile[0] for tile in tiles)
    widths = [tile[1] for tile in tiles]
    heads = [
        wrapped(name, width + _SPACE // 2, _PAIR.heading, 3)
        for name, width in zip((source, target), widths, strict=True)
    ]
    line = pitch(_PAIR.heading)
    top = line * (1 + max(map(len, heads))) + 2 * GAP
    samples = len(columns[0])
    blocks = -(-samples // _ROWS)
    rows = -(-samples // blocks)
    block = sum(widths) + _SPACE
    sheet = Sheet(
        2 * _SPACE + blocks * block + (blocks - 1) * 2 * _SPACE,
        top + 2 * _SPACE + rows * (height + GAP) - GAP,
    )
    for place in range(blocks):
        x = _SPACE + place * (block + 2 * _SPACE)
        for word, head, column, width in zip(("given", "made"), heads, columns, widths, strict=True):
            sheet.text(x + width // 2, _SPACE, [word], _PAIR.heading, "center", FAINT)
            sheet.text(x + width // 2, _SPACE + line, head, _PAIR.heading, "center")
            for row, cell in enumerate(column[place * rows : (place + 1) * rows]):
                sheet.put(x, _SPACE + top + row * (height + GAP), cell, (height, width), _PAIR)
            x += width + _SPACE
    sheet.save(path)


def draw_overview(arrays: Mapping[str, Array], title: str, path: Path) -> None:
    """A line for what was given, a column for what was made, in each cell the same few samples side by side.

    Above stand the real ones, below what was made of the prior.

    Args:
        arrays: as of `PicturesMade`.
        title: above the picture.
        path: the PNG; replaced as a whole.
    """
    targets = _modalities(arrays)
    tiles = [tile_of(arrays[f"real/{t}"], _OVERVIEW) for t in targets]
    height = max(tile[0] for tile in tiles)
    rows = list(_rows(arrays, targets))
    line = pitch(_OVERVIEW.heading)
    labels = [wrapped(name, 300, _OVERVIEW.heading, max(height // line, 1)) for name, _ in rows]
    margin = max(extent(text, _OVERVIEW.heading) for label in labels for text in label) + _SPACE
    room = _WIDEST - margin - len(tiles) * _SPACE
    fitting = room // sum(width + GAP for _, width in tiles)
    samples = max(min(fitting, _MOST_SAMPLES, min(len(arrays[f"real/{t}"]) for t in targets)), 1)
    widths = [samples * (width + GAP) - GAP for _, width in tiles]
    lefts = [_SPACE + margin + sum(widths[:i]) + i * _SPACE for i in range(len(widths))]
    across = max(lefts[-1] + widths[-1] + _SPACE, _NARROWEST)
    above = wrapped(title, across - 2 * _SPACE, _OVERVIEW.heading, 4)
    heads = [wrapped(t, width, _OVERVIEW.heading, 3) for t, width in zip(targets, widths, strict=True)]
    top = _SPACE + (len(above) + max(map(len, heads))) * line + _SPACE
    sheet = Sheet(across, top + len(rows) * (height + 2 * GAP) + _SPACE)
    sheet.text(_SPACE, _SPACE, above, _OVERVIEW.heading)
    for head, x, width in zip(heads, lefts, widths, strict=True):
        sheet.text(x + width // 2, top - len(head) * line - GAP, head, _OVERVIEW.heading, "center")
    for row, (label, (_, cells)) in enumerate(zip(labels, rows, strict=True)):
        y = top + row * (height + 2 * GAP)
        sheet.text(_SPACE, y + (height - len(label) * line) // 2, label, _OVERVIEW.heading)
        for target, left, (_, width) in zip(targets, lefts, tiles, strict=True):
            for place, cell in enumerate(cells.get(target, ())[:samples]):
                sheet.put(left + place * (width + GAP), y, cell, (height, width), _OVERVIEW)
    sheet.save(path)


def _modalities(arrays: Mapping[str, Array]) -> list[str]:
    """Those that there are real samples of."""
    return [name.removeprefix("real/") for name, real in arrays.items() if name.startswith("real/") and len(real)]


def _rows(arrays: Mapping[str, Array], targets: Sequence[str]) -> Iterator[tuple[str, dict[str, Array]]]:
    """Each line's label and target -> its samples; lines without any are left out."""
    sources = dict.fromkeys(s for s, _ in pairs(arrays))
    for label, source in (("real", "real"), *((f"from {s}", s) for s in sources), ("from the prior", "prior")):
        cells = {t: arrays[f"{source}/{t}"] for t in targets if f"{source}/{t}" in arrays}
        if cells:
            yield label, cells
