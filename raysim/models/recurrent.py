"""A gated recurrent layer with a client axis, with its own gradient; see `raysim.models.layers`.

Shapes: K clients (may be absent), B batch, T steps, D features, H hidden.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from raysim.models.layers import linear


class GRU(nn.Module):
    """One layer, one direction, batch first, from a zero state: (*K, B, T, D) -> (*K, B, T, H).

    Parameter names, initial values and equations are torch's. One client and a stack run the same steps.
    """

    client_axis = True

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(hidden)
        self.weight_ih_l0 = nn.Parameter(torch.empty(3 * hidden, inputs).uniform_(-bound, bound))
        self.weight_hh_l0 = nn.Parameter(torch.empty(3 * hidden, hidden).uniform_(-bound, bound))
        self.bias_ih_l0 = nn.Parameter(torch.empty(3 * hidden).uniform_(-bound, bound))
        self.bias_hh_l0 = nn.Parameter(torch.empty(3 * hidden).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """The state after each step."""
        steps_first = x.transpose(-3, -2)
        given = linear(steps_first, self.weight_ih_l0, self.bias_ih_l0)
        weight, bias = self.weight_hh_l0, self.bias_hh_l0
        if bias.dim() == 2:
            return _steps(given, weight, bias).permute(1, 2, 0, 3)
        if x.dim() == 3:
            return _steps(given[None], weight[None], bias[None]).squeeze(1).transpose(0, 1)
        clients, steps, batch, width = given.shape  # one shared network: all rows are one client's
        rows = given.transpose(0, 1).reshape(1, steps, clients * batch, width)
        states = _steps(rows, weight[None], bias[None]).squeeze(1)
        return torch.unflatten(states, 1, (clients, batch)).permute(1, 2, 0, 3)


def _steps(given: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """States (T, K, B, H) from the inputs' share of the gates (K, T, B, 3 H)."""
    steps: Any = _Steps  # torch does not type `apply`
    with torch.autocast(given.device.type, enabled=False):  # whole precision, as the gradient assumes
        return steps.apply(given.to(weight.dtype), weight, bias)


class _Steps(torch.autograd.Function):
    """The recurrence r, z = sigmoid(a + W h + b); n = tanh(a_n + r (W_n h + b_n)); h' = (1 - z) n + z h.

    The gradient is written down: a graph of some twenty operations a step would cost several times as much. All that a
    step's gradient is multiplied with is known beforehand, so the way back takes three operations a step.
    """

    @staticmethod
    def forward(ctx: Any, given: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        clients, steps, batch, _ = given.shape
        width = weight.shape[-1]
        gates = given.new_empty(steps, clients, batch, 2 * width)
        recurrents = given.new_empty(steps, clients, batch, 3 * width)
        candidates, states = (given.new_empty(steps, clients, batch, width) for _ in range(2))
        across, bias, state = weight.mT, bias.unsqueeze(-2), given.new_zeros(clients, batch, width)
        parts = zip(
            given[..., : 2 * width].unbind(1), given[..., 2 * width :].unbind(1),
            recurrents.unbind(), recurrents[..., : 2 * width].unbind(), recurrents[..., 2 * width :].unbind(),
            gates.unbind(), gates[..., :width].unbind(), gates[..., width:].unbind(),
            candidates.unbind(), states.unbind(), strict=True,
        )  # fmt: skip
        for given_gate, given_new, recurrent, to_gate, to_new, gate, reset, update, new, after in parts:
            torch.baddbmm(bias, state, across, out=recurrent)
            torch.add(given_gate, to_gate, out=gate).sigmoid_()
            torch.addcmul(given_new, reset, to_new, out=new).tanh_()
            state = torch.lerp(new, state, update, out=after)
        ctx.save_for_backward(weight, gates, candidates, recurrents, states)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, gates, candidates, recurrents, states = ctx.saved_tensors
        steps, clients, batch, width = states.shape
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        reset, update = gates[..., :width], gates[..., width:]
        slopes = gates * (1 - gates)
        inner = (1 - update) * (1 - candidates.square())
        downs = torch.stack(
            [
                inner * recurrents[..., 2 * width :] * slopes[..., :width],
                (before - candidates) * slopes[..., width:],
                inner * reset,
            ],
            dim=-2,
        )
        outs, out = torch.empty_like(states), grads[0][-1]
        wide = downs.flatten(-2)
        parts = list(zip(*(t.unbind() for t in (outs, downs, wide, update, grads[0])), strict=True))
        for t in reversed(range(steps)):
            kept, factors, down, share, _ = parts[t]
            kept.copy_(out)
            factors.mul_(out.unsqueeze(-2))
            if t:
                out = torch.baddbmm(torch.addcmul(parts[t - 1][-1], out, share), down, weight)
        flat = wide.transpose(0, 1)  # (K, T, B, 3 H)
        rows = flat.reshape(clients, steps * batch, 3 * width)
        weights = rows.mT @ before.transpose(0, 1).reshape(clients, steps * batch, width)
        biases = rows.sum(1)
        wide[..., 2 * width :] = outs * inner
        return flat, weights, biases
