"""Pooling, and how a stack of images lies in memory."""

import pytest
import torch
import torch.nn.functional as F

from raysim.models.convolution import Conv2d, MaxPool1d, MaxPool2d


@pytest.mark.parametrize("steps", [2, 6, 7])
def test_pairs_are_pooled_as_in_torch(steps):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 4, steps).round()  # with ties
    grads = []
    for pool in (MaxPool1d(2), lambda x: F.max_pool1d(x.flatten(0, 1), 2).unflatten(0, (3, 2))):
        leaf = x.clone().requires_grad_()
        out = pool(leaf)
        grads.append((out.detach(), torch.autograd.grad((out * torch.arange(out.numel()).view_as(out)).sum(), leaf)[0]))
    for one, other in zip(*grads, strict=True):
        assert torch.equal(one, other)


def test_wider_pooling_is_torchs():
    x = torch.randn(2, 3, 9)
    assert torch.equal(MaxPool1d(3)(x), F.max_pool1d(x, 3))


def test_a_stack_of_images_is_pooled_as_it_lies():
    conv, pool, x = Conv2d(2, 3, 3, padding=1), MaxPool2d(2), torch.randn(4, 5, 2, 6, 6)
    conv._parameters.update({n: torch.stack([p.detach()] * 4) for n, p in conv.named_parameters()})
    out = conv(x)
    assert out.stride(2) == 1  # channels last
    pooled = pool(out)
    assert pooled.shape == (4, 5, 3, 3, 3)
    assert pooled.stride(2) == 1
    torch.testing.assert_close(pooled, torch.stack([F.max_pool2d(o.contiguous(), 2) for o in out]))
