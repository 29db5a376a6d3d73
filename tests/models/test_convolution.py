"""Pooling and doubling, convolution without bias, and how a stack of images lies in memory."""

import pytest
import torch
import torch.nn.functional as F

from raysim.models.convolution import AvgPool2d, Conv2d, MaxPool1d, MaxPool2d, Upsample2d
from raysim.models.layers import stackable


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


@pytest.mark.parametrize("kernel", [2, 3])
def test_pooled_images_have_torchs_gradient_and_keep_a_number_for_each_of_theirs(kernel):
    x = torch.randn(2, 5, 3, 7, 6).relu().requires_grad_()  # zeros that are alike
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        pooled = MaxPool2d(kernel)(x)
    plain = F.max_pool2d(x.flatten(0, 1), kernel).unflatten(0, (2, 5))
    assert torch.equal(pooled, plain)
    assert [t.numel() for t in kept] == [pooled.numel()]
    weights = torch.randn(pooled.shape)
    gradients = [torch.autograd.grad((out * weights).sum(), x)[0] for out in (pooled, plain)]
    assert torch.equal(*gradients)


@pytest.mark.parametrize(
    ("layer", "size", "plain"),
    [
        (MaxPool2d(2), 3, lambda x: F.max_pool2d(x, 2)),
        (AvgPool2d(3, stride=2, padding=1), 3, lambda x: F.avg_pool2d(x, 3, stride=2, padding=1)),
        (Upsample2d(2), 12, lambda x: F.interpolate(x, scale_factor=2)),
    ],
)
def test_a_stack_of_images_is_resampled_as_it_lies(layer, size, plain):
    conv, x = Conv2d(2, 3, 3, padding=1), torch.randn(4, 5, 2, 6, 6)
    conv._parameters.update({n: torch.stack([p.detach()] * 4) for n, p in conv.named_parameters()})
    out = conv(x)
    assert out.stride(2) == 1  # channels last
    resampled = layer(out)
    assert resampled.shape == (4, 5, 3, size, size)
    assert resampled.stride(2) == 1
    torch.testing.assert_close(resampled, torch.stack([plain(o.contiguous()) for o in out]))


def test_averages_of_neighbours():
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    # Around each second pixel of each second row, with zeros beyond the edge: 1 + 2 + 5 + 6 = 14 are one corner.
    sums = [[14, 2 + 3 + 4 + 6 + 7 + 8], [5 + 6 + 9 + 10 + 13 + 14, 6 + 7 + 8 + 10 + 11 + 12 + 14 + 15 + 16]]
    torch.testing.assert_close(AvgPool2d(3, stride=2, padding=1)(x)[0, 0], torch.tensor(sums) / 9)


def test_each_pixel_is_repeated():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    out = Upsample2d(2)(x[None, None])[0, 0]
    assert out.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    (gradient,) = torch.autograd.grad((out * torch.arange(16.0).reshape(4, 4)).sum(), x)
    assert gradient.tolist() == [[10, 18], [42, 50]]


@pytest.mark.parametrize("layer", [AvgPool2d(3, stride=2, padding=1), Upsample2d(2), Conv2d(2, 3, 1, bias=False)])
def test_a_stack_is_its_clients(layer, same_as_alone):
    assert stackable(layer)
    same_as_alone(layer, torch.randn(3, 4, 2, 6, 5))


def test_a_convolution_without_bias_maps_zeros_to_zeros():
    conv = Conv2d(2, 3, 1, bias=False)
    assert [(n, tuple(p.shape)) for n, p in conv.named_parameters()] == [("weight", (3, 2, 1, 1))]
    assert not conv(torch.zeros(4, 2, 5, 5)).any()
