"""Text in any script for pictures: a font that has its characters where there is one, else escapes."""

import logging
from collections.abc import Iterable
from functools import cache
from typing import Any

FIRST = "DejaVu Sans"
"""Comes with matplotlib."""
_STRANGE = ("Last Resort", "cm", "STIXSize", "STIXNonUnicode")
"""Beginnings of names of fonts that draw boxes, or one character as another."""

logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its list of fonts concerns nobody


def cover(texts: Iterable[str]) -> None:
    """Lets matplotlib draw what some texts hold, as far as there are fonts; comes before a figure is made."""
    import matplotlib

    found = (_family(c) for text in texts for c in text)
    matplotlib.rcParams["font.family"] = list(dict.fromkeys([FIRST, *(family for family in found if family)]))


def drawable(text: str) -> str:
    """The text with escapes for characters that no font has."""
    return "".join(c if c.isprintable() and _family(c) else c.encode("unicode_escape").decode() for c in text)


@cache
def _family(character: str) -> str:
    """The first font that has a character; empty where none has."""
    return next((name for name, known in _fonts() if ord(character) in known), "")


@cache
def _fonts() -> "list[tuple[str, Characters]]":
    """Families with what they hold, matplotlib's own first."""
    from matplotlib.font_manager import fontManager

    entries: list[Any] = sorted(
        fontManager.ttflist, key=lambda e: (e.name != FIRST, e.style != "normal", e.weight != 400)
    )
    usable = {e.name: e.fname for e in reversed(entries) if not e.name.startswith(_STRANGE)}
    return [(name, Characters(path)) for name, path in reversed(usable.items())]


class Characters:
    """What a font file has, read when first asked for; nothing where it cannot be read, or be drawn at any size."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._codes: frozenset[int] | None = None

    def __contains__(self, code: int) -> bool:
        if self._codes is None:
            self._codes = self._read()
        return code in self._codes

    def _read(self) -> frozenset[int]:
        from matplotlib.ft2font import FT2Font

        try:
            font: Any = FT2Font(self._path)
            return frozenset(font.get_charmap()) if font.scalable else frozenset()
        except (OSError, RuntimeError):  # it has gone since the list of fonts was made, or is damaged
            return frozenset()
