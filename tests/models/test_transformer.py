import pytest
import torch
from torch import nn

from raysim.models.layers import stackable
from raysim.models.transformer import DecoderLayer, MultiheadAttention


def test_plain_is_torchs():
    theirs = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True).eval()
    mine = DecoderLayer(8, 2, 16).eval()
    mine.load_state_dict(theirs.state_dict())
    x, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    torch.testing.assert_close(mine(x, memory), theirs(x, memory))


def test_size_of_fins_decoder():
    layers = nn.ModuleList(DecoderLayer(256, 4, 1024) for _ in range(6))
    assert sum(p.numel() for p in layers.parameters()) == 6_320_640


def test_a_stack_is_its_clients(same_as_alone):
    layer = DecoderLayer(8, 2, 16)
    assert stackable(layer)
    same_as_alone(layer, torch.randn(3, 2, 4, 8), torch.randn(3, 2, 5, 8))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="8 is not one of 3"):
        MultiheadAttention(8, 3, 0.0)
