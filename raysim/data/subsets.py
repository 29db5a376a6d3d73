"""Subsets of modalities that a test sample may be given."""

from itertools import combinations
from typing import Literal

MOST = 5
"""Up to so many modalities all subsets are looked at."""


def subsets(names: tuple[str, ...], choice: Literal["all", "singles", "none"]) -> list[tuple[str, ...]]:
    """The subsets by their size, each in the order of the modalities.

    Example:
        >>> subsets(("a", "b"), "all")
        [('a',), ('b',), ('a', 'b')]
    """
    if choice == "none":
        return []
    count = len(names)
    few = (1, count) if choice == "singles" else (1, 2, count - 1, count)
    sizes = range(1, count + 1) if choice == "all" and count <= MOST else sorted({n for n in few if 0 < n <= count})
    return [found for n in dict.fromkeys(sizes) for found in combinations(names, n)]
