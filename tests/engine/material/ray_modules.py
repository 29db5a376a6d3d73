"""Encoders and fusions of one's own, of raysim's layers and of torch's."""

import torch
from torch import nn

from raysim.models.convolution import Conv2d
from raysim.models.feature import Feature, pooled
from raysim.models.layers import Dropout, Linear


class Tower(nn.Module):
    """Images -> one vector; it takes a client axis."""

    def __init__(self, in_channels: int, dim: int, width: int = 4, rates: tuple[float, ...] = (0.2,)) -> None:
        super().__init__()
        self.net = nn.Sequential(Conv2d(in_channels, width, 3), nn.ReLU(), *(Dropout(rate) for rate in rates))
        self.head = Linear(width, dim)

    def forward(self, x):
        return self.head(self.net(x).mean((-1, -2)))


class Plain(nn.Module):
    """The same of torch's layers; it takes none."""

    def __init__(self, in_channels, out_dim, width: int = 4):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(width, out_dim)

    def forward(self, x):
        return self.head(self.net(x).mean((2, 3)))


class Recurrent(nn.Module):
    """Sequences -> a token for every second step."""

    downsampling = 2

    def __init__(self, in_features: int, dim: int):
        super().__init__()
        self.gru = nn.GRU(in_features, dim, batch_first=True)

    def forward(self, x, lengths):
        assert lengths.shape == x.shape[:1]
        return self.gru(x)[0][:, 1::2]


class Gate(nn.Module):
    """A weighted sum of the modalities' vectors; it takes a client axis."""

    def __init__(self, modalities: tuple[str, ...], dim: int, hidden: int = 3):
        super().__init__()
        self.gates = nn.ModuleDict(
            {m: nn.Sequential(Linear(dim, hidden), nn.Tanh(), Linear(hidden, 1)) for m in modalities}
        )

    def forward(self, streams):
        vectors = {m: pooled(streams[m]) for m in self.gates}
        return sum(gate(vectors[m]).sigmoid() * vectors[m] for m, gate in self.gates.items())


class Patches(nn.Module):
    """Images -> a `Feature` of two tokens, of which the second is never valid."""

    def __init__(self, modality, dim):
        super().__init__()
        self.linear = Linear(modality.shape[-1], dim)

    def forward(self, x):
        tokens = self.linear(x.mean((-2, -3)).unsqueeze(-2).expand(*x.shape[:-3], 2, x.shape[-1]))
        return Feature(tokens, torch.tensor([True, False]).expand(tokens.shape[:-1]))
