"""Attention and a transformer decoder layer with a client axis; see `raysim.models.layers`.

Shapes: K clients (may be absent), B batch, T query tokens, S memory tokens, D features, H heads.
"""

import torch
from torch import Tensor, nn

from raysim.models.layers import Dropout, LayerNorm, Linear, linear


class MultiheadAttention(nn.Module):
    """Scaled dot-product attention with several heads (Vaswani et al. 2017).

    Parameter names, initial values and the dropout of attention weights are torch's.
    """

    client_axis = True

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"the width must be a multiple of the heads: {dim} is not one of {heads}")
        self.heads = heads
        self.in_proj_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * dim, dim)))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = Linear(dim, dim)
        nn.init.zeros_(self.out_proj.bias)
        self.dropout = Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Query (*K, B, T, D) looks at memory (*K, B, S, D) -> (*K, B, T, D).

        With a mask (T, S) bool a query sees what its row has as True, which must be something.
        """
        dim = query.shape[-1]
        weight, bias = self.in_proj_weight, self.in_proj_bias
        queries = self._split(linear(query, weight[..., :dim, :], bias[..., :dim]))
        both = linear(memory, weight[..., dim:, :], bias[..., dim:])
        keys, values = self._split(both[..., :dim]), self._split(both[..., dim:])
        scores = queries @ keys.mT * queries.shape[-1] ** -0.5
        if mask is not None:
            scores = torch.where(mask, scores, float("-inf"))
        heads = self.dropout(scores.softmax(-1)) @ values
        return self.out_proj(heads.transpose(-2, -3).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        """(*K, B, T, D) -> (*K, B, H, T, D / H)."""
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(-2, -3)


class DecoderLayer(nn.Module):
    """Self-attention, attention to a memory and a feed-forward network, each added and then normalised.

    The post-norm layer of Vaswani et al. 2017 with ReLU, as `nn.TransformerDecoderLayer(batch_first=True)`.
    """

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(dim, heads, dropout)
        self.multihead_attn = MultiheadAttention(dim, heads, dropout)
        self.linear1, self.linear2 = Linear(dim, hidden), Linear(hidden, dim)
        self.norm1, self.norm2, self.norm3 = LayerNorm(dim), LayerNorm(dim), LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """X (*K, B, T, D) and memory (*K, B, S, D) -> (*K, B, T, D)."""
        x = self.norm1(x + self.dropout(self.self_attn(x, x)))
        x = self.norm2(x + self.dropout(self.multihead_attn(x, memory)))
        hidden = self.dropout(torch.relu(self.linear1(x)))
        return self.norm3(x + self.dropout(self.linear2(hidden)))
