"""The recurrent layer and its own gradient, against torch's."""

import pytest
import torch
from torch import nn

from raysim.models.recurrent import GRU

CLIENTS, ROWS, STEPS, INPUTS, HIDDEN = 3, 4, 5, 2, 6


def theirs(weights, x, out):
    """States and gradients of torch's layer: of x, then of the weights."""
    gru = nn.GRU(INPUTS, HIDDEN, batch_first=True)
    gru.load_state_dict(weights)
    x = x.clone().requires_grad_()
    states = gru(x)[0]
    return [states.detach(), *torch.autograd.grad((states * out).sum(), [x, *gru.parameters()])]


def mine(weights, x, out):
    gru = GRU(INPUTS, HIDDEN)
    leaves = {n: w.clone().requires_grad_() for n, w in weights.items()}
    gru._parameters.update(leaves)
    x = x.clone().requires_grad_()
    states = gru(x)
    return [states.detach(), *torch.autograd.grad((states * out).sum(), [x, *leaves.values()])]


def drawn(*lead):
    torch.manual_seed(0)
    return torch.randn(*lead, ROWS, STEPS, INPUTS), torch.randn(*lead, ROWS, STEPS, HIDDEN)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_one_client_is_as_in_torch(steps):
    x, out = (t[:, :steps] for t in drawn())
    weights = GRU(INPUTS, HIDDEN).state_dict()
    for ours, other in zip(mine(weights, x, out), theirs(weights, x, out), strict=True):
        torch.testing.assert_close(ours, other)


def test_each_client_of_a_stack_is_as_alone():
    x, out = drawn(CLIENTS)
    alone = [GRU(INPUTS, HIDDEN).state_dict() for _ in range(CLIENTS)]
    stacked = mine({n: torch.stack([w[n] for w in alone]) for n in alone[0]}, x, out)
    for k in range(CLIENTS):
        for ours, other in zip(stacked, mine(alone[k], x[k], out[k]), strict=True):
            torch.testing.assert_close(ours[k], other)


def test_a_stack_may_share_one_network():
    x, out = drawn(CLIENTS)
    weights = GRU(INPUTS, HIDDEN).state_dict()
    shared = mine(weights, x, out)
    each = [mine(weights, x[k], out[k]) for k in range(CLIENTS)]
    for k in range(CLIENTS):
        torch.testing.assert_close(shared[0][k], each[k][0])
        torch.testing.assert_close(shared[1][k], each[k][1])
    for i in range(2, 6):
        torch.testing.assert_close(shared[i], sum(e[i] for e in each))
