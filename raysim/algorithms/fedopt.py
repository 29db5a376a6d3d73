"""FedOpt as the FedMultimodal benchmark has it: the server takes an SGD step with momentum on the mean change.

Source: Reddi et al., "Adaptive Federated Optimization", 2021, algorithm 1 with a momentum server; the benchmark
divides the pseudo-gradient by the clients' learning rate, so that with `server_lr` equal to it and no momentum this
is FedAvg.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from raysim.algorithms.base import Algorithm, Received, ServerState


class FedOpt(Algorithm):
    """D = (x - mean of y_k) / lr; V <- momentum V + D; x <- x - server_lr V."""

    class Options(Algorithm.Options):
        """FedOpt's own settings."""

        server_lr: Annotated[float, Field(gt=0)] = Field(default=0.005, description="The server's learning rate.")
        momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="The server's momentum.")

    options: Options

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """One server step; the momentum persists over rounds."""
        velocity = state.get("velocity", torch.zeros_like(received.x))
        velocity = self.options.momentum * velocity - received.mean / received.lr
        return received.x - self.options.server_lr * velocity, {"velocity": velocity}
