"""A stack of three clients must be three clients run one after another."""

import copy

import pytest
import torch
from stacks import stacked

from raysim.models.noise import noise_source

K = 3


def client_noise(clients, axis):
    """Each client's own sequence of numbers, whoever it is trained with."""
    generators = [torch.Generator().manual_seed(k) for k in clients]

    def source(shape, kind):
        draw = torch.rand if kind == "uniform" else torch.randn
        draws = [draw(shape[1:] if axis else shape, generator=g, dtype=torch.float64) for g in generators]
        return torch.stack(draws) if axis else draws[0]

    return source


def run(module, call, inputs, client=None):
    """Output and gradients, of parameters and of inputs: of all clients at once, or of one by itself."""
    together = client is None
    inputs = [(x if together else x[client]).clone().requires_grad_(x.is_floating_point()) for x in inputs]
    with noise_source(client_noise(range(K) if together else [client], axis=together)):
        out = call(module, *inputs)
    one = out[0] if together else out
    (out * torch.linspace(-1, 1, one.numel(), dtype=out.dtype).reshape(one.shape)).sum().backward()
    return out, [p.grad for p in module.parameters()], [x.grad for x in inputs if x.requires_grad]


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.fixture
def same_as_alone():
    """`check(module, *inputs, call=...)` with inputs (3, B, ...): stacked weights, then one module shared by all.

    In double precision, where equal means equal to nine digits.
    """

    def check(module, *inputs, call=lambda module, *inputs: module(*inputs)):
        inputs = [x.double() if x.is_floating_point() else x for x in inputs]
        modules = [copy.deepcopy(module).double() for _ in range(K)]
        for k, p in ((k, p) for k, m in enumerate(modules) for p in m.parameters()):
            p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(k))

        out, weights, given = run(stacked(modules), call, inputs)
        alone = [run(m, call, inputs, k) for k, m in enumerate(modules)]
        near(out, torch.stack([a[0] for a in alone]))
        near(weights, [torch.stack(grads) for grads in zip(*(a[1] for a in alone), strict=True)])
        near(given, [torch.stack(grads) for grads in zip(*(a[2] for a in alone), strict=True)])

        out, weights, given = run(copy.deepcopy(modules[0]), call, inputs)
        alone = [run(copy.deepcopy(modules[0]), call, inputs, k) for k in range(K)]
        near(out, torch.stack([a[0] for a in alone]))
        near(weights, [torch.stack(grads).sum(0) for grads in zip(*(a[1] for a in alone), strict=True)])
        near(given, [torch.stack(grads) for grads in zip(*(a[2] for a in alone), strict=True)])

    return check
