"""FedNova: each client's change is divided by how far its steps could carry it, so that those with many do not win.

Source: Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated Optimization", 2020,
section 4: x <- x + tau_eff sum_i p_i d_i with d_i = (y_i - x) / ||a_i||_1 and tau_eff = sum_i p_i ||a_i||_1. Under SGD
with momentum rho the gradients of t steps stand in a change with the weights a_s = (1 - rho^(t - s)) / (1 - rho), so
||a||_1 = (t - rho (1 - rho^t) / (1 - rho)) / (1 - rho) (section 3); without it ||a||_1 = t.
Ours: a `local_schedule` weighs the steps; several stages that train a group count as one; under Adam ||a||_1 is t, too.
"""

import math

from torch import Tensor

from raysim.algorithms.base import Algorithm, Received, ServerState
from raysim.method import Optimizer
from raysim.scenario.optimizer import Sgd


class FedNova(Algorithm):
    """Normalised averaging: the mean of changes per step, times the mean number of steps."""

    steps = True

    def scale(self, steps: int, optimizer: Optimizer) -> float:
        """1 / ||a_i||_1, in units of what a single step has, which cancel."""
        momentum = optimizer.momentum if isinstance(optimizer, Sgd) else 0.0
        rates = [optimizer.local_schedule.rate(1.0, step, steps) for step in range(steps)]
        lasting = (rate * (1 - momentum ** (step + 1)) for step, rate in enumerate(rates))
        return rates[0] * (1 - momentum) / math.fsum(lasting)

    def server(self, received: Received, state: ServerState) -> tuple[Tensor, ServerState]:
        """The mean of the normalised changes, times tau_eff."""
        assert received.scales is not None, "steps are asked for"
        return received.x + (received.shares / received.scales).sum() * received.mean, state
