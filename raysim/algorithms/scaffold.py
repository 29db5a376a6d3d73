"""SCAFFOLD: control variates take the clients' drift out of local steps.

Source: Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", 2020, algorithm 1.
A client's new control is its mean raw gradient over the local steps. Under plain SGD this is the paper's option II,
c_k - c + (x - y_k) / (s * lr); unlike that formula it stays right under momentum and Adam.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from raysim.algorithms.base import Algorithm, Correction, Received, ServerState


class Scaffold(Algorithm):
    """Uniform mean of the clients; each gradient g becomes g + c - c_k."""

    weights = "uniform"
    control = True

    def correct(self, grads: Sequence[Tensor], local: Correction) -> Sequence[Tensor]:
        """The gradients plus the server's control minus the clients'."""
        return [g + (c - c_k) for g, c, c_k in zip(grads, local.control, local.client_control, strict=True)]

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The mean step; c moves by the clients' changes, averaged over all owners."""
        control = state.get("control", torch.zeros_like(received.x))
        if received.control is not None:
            control = control + received.control
        return received.x + received.mean, {"control": control}
