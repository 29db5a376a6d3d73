"""Median: of each parameter the middle one of the clients' changes; of an even number the mean of the middle two.

Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018, definition 1 and
algorithm 1, option I; there of gradients, here of the changes that local steps come to.
"""

from torch import Tensor

from raysim.algorithms.base import Algorithm, Received, ServerState


class Median(Algorithm):
    """The mean, coordinate by coordinate, of what is left when the extremes at either end are cut off."""

    weights = "uniform"
    updates = True

    def cut(self, clients: int) -> int:
        """How many of so many clients are left out at either end: all but the middle."""
        return (clients - 1) // 2

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The step of that mean."""
        assert received.updates is not None, "they are asked for"
        clients = len(received.updates)
        cut = self.cut(clients)
        middle = received.updates.sort(dim=0).values[cut : clients - cut]
        return received.x + middle.double().mean(dim=0), state
