"""Trimmed mean: of each parameter the largest and the smallest changes are left out, and the others count alike.

Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018, definition 2 and
algorithm 1, option II. The share is rounded down to whole clients, of those that sent the group.
"""

from typing import Annotated

from pydantic import Field

from raysim.algorithms.base import Algorithm
from raysim.algorithms.median import Median


class TrimmedMean(Median):
    """The mean, coordinate by coordinate, without the share `trim` at either end."""

    class Options(Algorithm.Options):
        """The trimmed mean's own settings."""

        trim: Annotated[float, Field(ge=0, lt=0.5)] = Field(
            default=0.1, description="Share of the clients that is left out at either end."
        )

    options: Options

    def cut(self, clients: int) -> int:
        """That share of them, in whole clients."""
        return int(self.options.trim * clients + 1e-9)
