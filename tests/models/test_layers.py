import pytest
import torch
from torch import nn

from raysim.models import layers
from raysim.models.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, MaxPool1d, MaxPool2d
from raysim.models.layers import Dropout, Embedding, Flatten, GroupNorm, LayerNorm, Linear, Unflatten, stackable
from raysim.models.recurrent import GRU

CASES = {
    "linear": (Linear(4, 5), (2, 4)),
    "linear_steps": (Linear(4, 5), (2, 6, 4)),
    "conv1d": (Conv1d(4, 5, 3, padding=1), (2, 4, 7)),
    "conv1d_stride": (Conv1d(4, 5, 3, stride=2), (2, 4, 7)),
    "conv2d": (Conv2d(4, 5, 3, padding=1), (2, 4, 6, 5)),
    "conv_transpose1d": (ConvTranspose1d(4, 5, 3, stride=2), (2, 4, 7)),
    "conv_transpose2d": (ConvTranspose2d(4, 5, 3, stride=2, padding=1, extra=(1, 0)), (2, 4, 4, 5)),
    "max_pool1d": (MaxPool1d(2), (2, 4, 7)),
    "max_pool2d": (MaxPool2d(2), (2, 4, 7, 6)),
    "gru": (GRU(4, 5), (2, 6, 4)),
    "layer_norm": (LayerNorm(4), (2, 4)),
    "layer_norm_steps": (LayerNorm(4), (2, 6, 4)),
    "group_norm1": (GroupNorm(4, 1), (2, 4, 6)),
    "group_norm2": (GroupNorm(4, 2), (2, 4, 6, 5)),
    "dropout": (Dropout(0.5), (2, 6, 4)),
    "flatten": (Flatten(2), (2, 6, 4)),
    "unflatten": (Unflatten(2, 3), (2, 4, 6)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stack_is_its_clients(name, same_as_alone):
    module, shape = CASES[name]
    same_as_alone(module, torch.randn(3, *shape, generator=torch.Generator().manual_seed(1)))


def test_embedding_stack_is_its_clients(same_as_alone):
    same_as_alone(Embedding(9, 4), torch.arange(24).reshape(3, 2, 4) % 9)


def test_a_stacks_gradients_lie_in_memory_as_its_weights_do():
    x, weight, bias = (torch.randn(shape).requires_grad_() for shape in ((3, 2, 6, 4), (3, 5, 4), (3, 5)))
    found = torch.autograd.grad(layers.linear(x, weight, bias).square().sum(), (x, weight, bias))
    theirs = torch.stack([nn.functional.linear(*each) for each in zip(x, weight, bias, strict=True)])
    torch.testing.assert_close(found, torch.autograd.grad(theirs.square().sum(), (x, weight, bias)))
    assert found[1].stride() == weight.stride()


@pytest.mark.parametrize(
    ("mine", "theirs", "shape"),
    [
        (Linear(4, 5), nn.Linear(4, 5), (2, 6, 4)),
        (Conv1d(4, 5, 3, 2, 1), nn.Conv1d(4, 5, 3, 2, 1), (2, 4, 7)),
        (Conv2d(4, 5, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1), (2, 4, 7, 6)),
        (ConvTranspose1d(4, 5, 3, 2), nn.ConvTranspose1d(4, 5, 3, 2), (2, 4, 7)),
        (ConvTranspose2d(4, 5, 3, 2, 1, (1, 0)), nn.ConvTranspose2d(4, 5, 3, 2, 1, (1, 0)), (2, 4, 7, 6)),
        (MaxPool1d(2), nn.MaxPool1d(2), (2, 4, 7)),
        (MaxPool2d(2), nn.MaxPool2d(2), (2, 4, 7, 6)),
        (LayerNorm(4), nn.LayerNorm(4), (2, 6, 4)),
        (GroupNorm(4, 2), nn.GroupNorm(1, 4), (2, 4, 6, 5)),
    ],
)
def test_plain_is_torchs(mine, theirs, shape):
    theirs.load_state_dict({k: v + 0.1 for k, v in mine.state_dict().items()})
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(mine(x), theirs(x))


def test_gru_and_embedding_are_torchs():
    gru, embedding = nn.GRU(4, 5, batch_first=True), nn.Embedding(9, 4)
    mine, table = GRU(4, 5), Embedding(9, 4)
    mine.load_state_dict(gru.state_dict())
    table.load_state_dict(embedding.state_dict())
    words = torch.arange(10).reshape(2, 5) % 9
    torch.testing.assert_close(mine(table(words)), gru(embedding(words))[0])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (lambda: Conv2d(4, 8, 3), lambda: nn.Conv2d(4, 8, 3)),
        (lambda: ConvTranspose1d(4, 8, 3), lambda: nn.ConvTranspose1d(4, 8, 3)),
        (lambda: GRU(4, 8), lambda: nn.GRU(4, 8)),
    ],
)
def test_initial_values_are_torchs(mine, theirs):
    torch.manual_seed(3)
    mine = mine()
    torch.manual_seed(3)
    for name, p in theirs().named_parameters():
        torch.testing.assert_close(mine.get_parameter(name), p)


def test_normalize():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    out = layers.normalize(x)
    assert out.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    out.sum().backward()
    assert x.grad is not None
    assert x.grad[1].tolist() == [1, 1]


class Composite(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(Linear(2, 2), nn.ReLU(), Dropout(0.1), MaxPool1d(2))


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(1))


@pytest.mark.parametrize("module", [Composite(), GRU(2, 2), nn.ModuleDict({"a": LayerNorm(2)})])
def test_stackable(module):
    assert stackable(module)


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(2, 2),
        nn.BatchNorm1d(2),
        nn.Sequential(Linear(2, 2), nn.Dropout(0.1)),
        nn.RReLU(),
        nn.Flatten(),
        Buffered(),
    ],
)
def test_not_stackable(module):
    assert not stackable(module)
