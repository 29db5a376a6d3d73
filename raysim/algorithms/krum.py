"""Krum: the one change that has the others nearest to it; multi-Krum: the mean of the best few.

Source: Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", 2017, section 4: a
client's score is the sum of the squared distances to the n - f - 2 nearest others, of n clients of which f may lie; its
guarantee asks for n > 2 f + 2. Ours: clients are scored for each group by itself, since not all own the same; where few
sent a group, the nearest one counts.
"""

from typing import Annotated

import torch
from pydantic import Field, StrictInt
from torch import Tensor

from raysim.algorithms.base import Algorithm, Received, ServerState


class Krum(Algorithm):
    """The mean of the `keep` changes with the lowest scores; of equal scores the first client's."""

    class Options(Algorithm.Options):
        """Krum's own settings."""

        byzantine: Annotated[StrictInt, Field(ge=0)] = Field(default=1, description="f: how many clients may lie.")
        keep: Annotated[StrictInt, Field(ge=1)] = Field(default=1, description="Changes averaged: 1 is Krum.")

    options: Options
    weights = "uniform"
    updates = True

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The step of those that are kept."""
        assert received.updates is not None, "they are asked for"
        updates = received.updates
        best = self.scores(updates).sort(stable=True).indices[: self.options.keep]
        return received.x + updates[best].double().mean(dim=0), state

    def scores(self, updates: Tensor) -> Tensor:
        """(S,) float64: of each of S changes (S, P) the sum of the squared distances to the nearest others."""
        near = max(len(updates) - self.options.byzantine - 2, 1)
        rows = [(updates - row).double().square().sum(dim=1).sort().values for row in updates]
        return torch.stack(rows)[:, 1 : near + 1].sum(dim=1)  # the nearest is itself
