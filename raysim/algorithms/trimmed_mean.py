"""Trimmed mean: of each parameter the largest and the smallest changes are left out, and the others count alike.

Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018, definition 2 and
algorithm 1, option II; there of gradients, here of the changes that local steps come to. The share is rounded down to
whole clients, of those that sent the group.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from raysim.algorithms.base import Algorithm, Received, ServerState


class TrimmedMean(Algorithm):
    """The mean, coordinate by coordinate, without the share `trim` at either end."""

    class Options(Algorithm.Options):
        """The trimmed mean's own settings."""

        trim: Annotated[float, Field(ge=0, lt=0.5)] = Field(
            default=0.1, description="Share of the clients that is left out at either end."
        )

    weights = "uniform"
    updates = True

    def cut(self, clients: int) -> int:
        """How many of so many clients are left out at either end."""
        trim: float = self.options.trim
        return int(trim * clients + 1e-9)

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The step of the trimmed mean."""
        assert received.updates is not None, "they are asked for"
        clients = len(received.updates)
        cut = self.cut(clients)
        middle = received.updates.sort(dim=0).values[cut : clients - cut]
        return received.x + middle.double().mean(dim=0), state
