"""FedAdam: the server takes an Adam step on the clients' mean change.

Source: Reddi et al., "Adaptive Federated Optimization", 2021, algorithm 2.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from raysim.algorithms.fedadagrad import FedAdagrad


class FedAdam(FedAdagrad):
    """FedAdagrad, but v <- beta2 v + (1 - beta2) D^2."""

    class Options(FedAdagrad.Options):
        """FedAdam's own settings."""

        beta1: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.9, description="Decay of the mean change m.")
        beta2: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.99, description="Decay of the squares v.")

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """Forgets old squares at a constant rate."""
        beta2: float = self.options.beta2
        return beta2 * v + (1 - beta2) * square
