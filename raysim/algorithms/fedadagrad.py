"""FedAdagrad: the server takes an Adagrad step on the clients' mean change.

Source: Reddi et al., "Adaptive Federated Optimization", 2021, algorithm 2; without momentum, as the paper's experiments
have it. v starts from tau^2, and there is no correction of the moments' bias.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from raysim.algorithms.base import Algorithm, Received, ServerState


class FedAdagrad(Algorithm):
    """m <- beta1 m + (1 - beta1) D; v <- v + D^2; x <- x + server_lr m / (sqrt(v) + tau), with D the mean change."""

    class Options(Algorithm.Options):
        """FedAdagrad's own settings."""

        server_lr: Annotated[float, Field(gt=0)] = Field(default=0.01, description="The server's learning rate.")
        beta1: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="Decay of the mean change m.")
        tau: Annotated[float, Field(gt=0)] = Field(default=1e-3, description="Small is adaptive, large is plain SGD.")

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """The new v, from the old one and D^2, (P,) each."""
        return v + square

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """One server step; m and v persist over rounds."""
        o: FedAdagrad.Options = self.options
        change = received.mean
        mean = state.get("mean", torch.zeros_like(change))
        second = state.get("second", torch.full_like(change, o.tau**2))
        mean = o.beta1 * mean + (1 - o.beta1) * change
        second = self.second(second, change.square())
        return received.x + o.server_lr * mean / (second.sqrt() + o.tau), {"mean": mean, "second": second}
