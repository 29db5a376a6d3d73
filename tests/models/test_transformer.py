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
    assert sum(p.numel() for p in layers[0].parameters()) == 1_053_440
    assert sum(p.numel() for p in layers.parameters()) == 6_320_640


def test_a_stack_is_its_clients(same_as_alone):
    layer = DecoderLayer(8, 2, 16)
    assert stackable(layer)
    same_as_alone(layer, torch.randn(3, 2, 4, 8), torch.randn(3, 2, 5, 8))


def test_a_mask_hides_what_it_says():
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    mine = MultiheadAttention(8, 2, 0.0)
    mine.load_state_dict(theirs.state_dict())
    query, memory = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    mask = torch.ones(3, 5, dtype=torch.bool).tril(1)
    expected, _ = theirs(query, memory, memory, attn_mask=~mask)
    torch.testing.assert_close(mine(query, memory, mask), expected)
    changed = memory.clone()
    changed[:, 2:] = 100.0
    assert torch.equal(mine(query, changed, mask)[:, 0], mine(query, memory, mask)[:, 0])
    assert not torch.allclose(mine(query, changed, mask)[:, 1], mine(query, memory, mask)[:, 1])


def test_a_masked_stack_is_its_clients(same_as_alone):
    mask = torch.tensor([[True, False, True], [True, True, False]])
    attention = MultiheadAttention(8, 2, 0.1)
    same_as_alone(attention, torch.randn(3, 4, 2, 8), torch.randn(3, 4, 3, 8), call=lambda m, q, s: m(q, s, mask))


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="8 is not one of 3"):
        MultiheadAttention(8, 3, 0.0)
