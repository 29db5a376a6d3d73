"""How arms look in every picture: a colour, a dash and a mark, of which no two arms have all three alike.

Okabe and Ito, "Color Universal Design", 2008: told apart by people with any colour vision; dark and light alternate for
grey prints.
"""

from typing import NamedTuple

COLOURS = ("#000000", "#E69F00", "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
DARK = ("#F2F2F2", "#E69F00", "#3F97DB", "#9AD6F7", "#F2763A", "#1FC08F", "#E39CC4")
"""The same on a dark page."""
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1, 1.2), (5, 1.5, 1, 1.5), (3, 1, 1, 1, 1, 1))
"""Drawn and left out by turns, in widths of the line; the first is a line without gaps."""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""As matplotlib names them."""
MOST = len(COLOURS)
"""Arms in one picture; more of them get a picture each."""


class Look(NamedTuple):
    """Places in `COLOURS`, `DASHES` and `MARKS`."""

    colour: int
    dash: int
    mark: int


def look(place: int) -> Look:
    """How the arm at a place of the study looks; alike for arms that are 280 places apart."""
    return Look(place % len(COLOURS), place % len(DASHES), place % len(MARKS))
