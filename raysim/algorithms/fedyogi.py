"""FedYogi: the server takes a Yogi step on the clients' mean change.

Source: Reddi et al., "Adaptive Federated Optimization", 2021, algorithm 2.
"""

import torch
from torch import Tensor

from raysim.algorithms.fedadam import FedAdam


class FedYogi(FedAdam):
    """FedAdam, but v <- v - (1 - beta2) D^2 sign(v - D^2)."""

    def second(self, v: Tensor, square: Tensor) -> Tensor:
        """Moves v towards D^2 by a share of D^2, however far v is."""
        beta2: float = self.options.beta2
        return v - (1 - beta2) * square * torch.sign(v - square)
