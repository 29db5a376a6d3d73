"""Median: of each parameter the middle one of the clients' changes; of an even number the mean of the middle two.

Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018, definition 1 and
algorithm 1, option I.
"""

from raysim.algorithms.base import Algorithm
from raysim.algorithms.trimmed_mean import TrimmedMean


class Median(TrimmedMean):
    """The trimmed mean that leaves one or two."""

    class Options(Algorithm.Options):
        """None."""

    def cut(self, clients: int) -> int:
        """All but the middle."""
        return (clients - 1) // 2
