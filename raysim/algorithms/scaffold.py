"""SCAFFOLD: control variates take the clients' drift out of local steps.

Source: Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", 2020, algorithm 1.
A client's new control is its mean raw gradient over the local steps. Under plain SGD this is the paper's option II,
c_k - c + (x - y_k) / (s lr); unlike that formula it stays right under momentum and Adam.

`control: steps` is that formula whatever the optimiser, as FedMultimodal (Feng et al. 2023) has it: the correction is
beside the momentum, w <- w - lr (v + c - c_k), and the formula then gives the mean of v, which momentum and weight
decay are part of: up to 1 / (1 - momentum) times the mean gradient.
"""

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from raysim.algorithms.base import Algorithm, Control, Correction, Received, ServerState


class Scaffold(Algorithm):
    """Uniform mean of the clients; each gradient g becomes g + c - c_k."""

    class Options(Algorithm.Options):
        """SCAFFOLD's own settings."""

        control: Control | None = Field(
            default=None,
            description="gradient: a control is the mean of a client's gradients. steps: of its steps, momentum "
            "included. null: gradient, but steps under compat.",
        )

    weights = "uniform"
    control = True

    def __init__(self, options: Any, *, compat: bool = False) -> None:
        super().__init__(options, compat=compat)
        self.control_mean = options.control or ("steps" if compat else "gradient")

    def correct(self, grads: Sequence[Tensor], local: Correction) -> Sequence[Tensor]:
        """The gradients plus the server's control minus the clients'."""
        if self.control_mean == "steps":
            return grads
        return [g + (c - c_k) for g, c, c_k in zip(grads, local.control, local.client_control, strict=True)]

    def pull(self, local: Correction) -> Sequence[Tensor]:
        """With `control: steps` that difference stays out of the momentum."""
        if self.control_mean == "gradient":
            return ()
        return [c - c_k for c, c_k in zip(local.control, local.client_control, strict=True)]

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The mean step; c moves by the clients' changes, averaged over all owners."""
        control = state.get("control", torch.zeros_like(received.x))
        if received.control is not None:
            control = control + received.control
        return received.x + received.mean, {"control": control}
