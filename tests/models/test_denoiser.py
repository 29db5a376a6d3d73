import pytest
import torch

from raysim.data.dataset import Modality
from raysim.models.denoiser import denoiser
from raysim.models.layers import stackable

SHAPES = {"image": (2, 7, 10), "vector": (5,)}


@pytest.mark.parametrize("kind", SHAPES)
def test_noise_has_the_shape_of_a_sample(kind):
    net = denoiser(Modality(kind, SHAPES[kind]), (4, 6, 8), 8)
    assert stackable(net)
    x, time = torch.randn(3, *SHAPES[kind]), torch.rand(3)
    assert net(x, time).shape == x.shape
    assert not torch.equal(net(x, time), net(x, time / 2))
    torch.testing.assert_close(net.restored(net.scaled(x)), x)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_stack_is_its_clients(kind, same_as_alone):
    net = denoiser(Modality(kind, SHAPES[kind]), (2, 4), 4)
    same_as_alone(net, torch.randn(3, 2, *SHAPES[kind]), torch.rand(3, 2))


def test_size():
    net = denoiser(Modality("image", (3, 28, 28)), (32, 64, 128), 1)
    assert sum(p.numel() for p in net.parameters()) == 790_307  # with three levels, as by default
