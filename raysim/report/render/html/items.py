"""What a section of the page holds, as the templates take it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from raysim.report.render.html.images import Image
from raysim.report.tables.tables import Table

_FOLDED, _LONG = 12, 24
"""Lines, of a table in blocks and of one that can be sorted."""
_FIGURE = 30
"""Characters that a figure has at most."""


@dataclass(frozen=True)
class Shown:
    """A table under what it is; it can be sorted where each line stands for itself."""

    table: Table
    heading: str
    foldable: bool = True
    kind: Literal["table"] = "table"

    @property
    def folded(self) -> bool:
        """Whether it is long: who wants it opens it."""
        return self.foldable and len(self.table.lines) > (_LONG if self.sortable else _FOLDED)

    @property
    def wordy(self) -> frozenset[int]:
        """The columns that hold words where figures stand: these are left-aligned, and broken into lines."""
        table = self.table
        places = range(table.labels, len(table.header))
        return frozenset(j for j in places if any(len(line[j]) > _FIGURE for line in table.lines))

    @property
    def sortable(self) -> bool:
        """Whether the lines may stand in another order."""
        return len(self.table.lines) > 1 and all(line[0] for line in self.table.lines)


@dataclass(frozen=True)
class Entry:
    """An arm in a legend."""

    place: int
    name: str
    swatch: Markup


@dataclass(frozen=True)
class Drawn:
    """A pane's SVG; it goes as a whole with the one arm that it is of."""

    svg: Markup
    place: int | None = None


@dataclass(frozen=True)
class Figure:
    """A picture in panes; `form` is `one`, `several`, or `wide` for what is scrolled in a narrow window.

    `alone`: its marks are those of no arm, and stay when arms go.
    """

    title: str
    caption: str
    panes: tuple[Drawn, ...]
    legend: tuple[Entry, ...] = ()
    numbers: Shown | None = None
    form: str = "several"
    alone: bool = False
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True)
class Amount:
    """What arms cost of one kind: text and share of the most, in percent, by name; None where unknown."""

    name: str
    texts: Mapping[str, str]
    shares: Mapping[str, str | None]


@dataclass(frozen=True)
class Costs:
    """Costs as bars behind their numbers."""

    title: str
    names: tuple[str, ...]
    costs: tuple[Amount, ...]
    kind: Literal["costs"] = "costs"


@dataclass(frozen=True)
class Lines:
    """Lines of text: a list, or `folded` as they are."""

    title: str
    lines: tuple[str, ...]
    kind: Literal["list", "folded"] = "list"


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str
    kind: Literal["note"] = "note"


Item = Shown | Figure | Costs | Image | Lines | Note


@dataclass(frozen=True)
class Section:
    """A part of a scenario's report."""

    id: str
    title: str
    items: Sequence[Item]
