"""Networks that find the noise in a noisy sample, given how noisy it is: those of a diffusion model.

Images have a small U-Net after Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020, appendix B:
residual blocks with the time added between their convolutions, joined to the way down. Without attention and dropout,
one block a level, and group norm of one group. Vectors have linear layers.

Shapes: K clients (may be absent), B batch, C channels, D numbers of a vector, T numbers of a time.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from raysim.data.dataset import Modality
from raysim.models.convolution import Conv2d, Upsample2d
from raysim.models.layers import GroupNorm, Linear

WAVES = 32
"""Sines, and as many cosines, of a time."""


class Denoiser(nn.Module):
    """A noisy sample (*K, B, *shape) and its time (*K, B), 0 to 1, -> its noise (*K, B, *shape)."""

    def __init__(self, shape: tuple[int, ...], width: int) -> None:
        """`width` is that of a time's embedding."""
        super().__init__()
        self.shape = shape
        self.time = nn.Sequential(Linear(2 * WAVES, width), nn.SiLU(), Linear(width, width), nn.SiLU())

    def embedded(self, time: Tensor) -> Tensor:
        """(*K, B) -> (*K, B, T): sines and cosines, as of 1,000 steps."""
        speed = torch.exp(torch.arange(WAVES, device=time.device, dtype=time.dtype) * (-math.log(1e4) / (WAVES - 1)))
        angles = 1000 * time.unsqueeze(-1) * speed
        return self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))

    def scaled(self, x: Tensor) -> Tensor:
        """A sample as it is denoised."""
        return x

    def restored(self, x: Tensor) -> Tensor:
        """A denoised sample as it is."""
        return x

    def bounded(self, x: Tensor) -> Tensor:
        """What a clean sample may be."""
        return x


class VectorDenoiser(Denoiser):
    """Linear layers, the time added before each."""

    def __init__(self, shape: tuple[int, ...], hidden: int) -> None:
        super().__init__(shape, hidden)
        self.inward, self.outward = Linear(shape[0], hidden), Linear(hidden, shape[0])
        self.layers = nn.ModuleList(Linear(hidden, hidden) for _ in range(2))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(*K, B, D) -> (*K, B, D)."""
        embedded, x = self.embedded(time), self.inward(x)
        for layer in self.layers:
            x = x + layer(nn.functional.silu(x + embedded))
        return self.outward(nn.functional.silu(x))


class ResidualBlock(nn.Module):
    """(*K, B, inputs, height, width) and a time -> (*K, B, outputs, height, width)."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if inputs == outputs else Conv2d(inputs, outputs, 1)
        self.first = nn.Sequential(GroupNorm(inputs, 2), nn.SiLU(), Conv2d(inputs, outputs, 3, padding=1))
        self.time = Linear(time, outputs)
        self.second = nn.Sequential(GroupNorm(outputs, 2), nn.SiLU(), Conv2d(outputs, outputs, 3, padding=1))

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        """The time (*K, B, T) is added to each position."""
        return self.shortcut(x) + self.second(self.first(x) + self.time(embedded)[..., None, None])


class UNet(Denoiser):
    """Images of 0 to 1, of any size. The widths are those of its levels, each of half the size of the one before."""

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int]) -> None:
        time = 4 * widths[0]
        super().__init__(shape, time)
        self.inward = Conv2d(shape[0], widths[0], 3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(w, w, time) for w in widths[:-1])
        self.halve = nn.ModuleList(Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.middle = ResidualBlock(widths[-1], widths[-1], time)
        self.enlarge = nn.ModuleList(
            nn.Sequential(Upsample2d(2), Conv2d(b, a, 3, padding=1)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(ResidualBlock(2 * w, w, time) for w in widths[:-1])
        self.outward = nn.Sequential(GroupNorm(widths[0], 2), nn.SiLU(), Conv2d(widths[0], shape[0], 3, padding=1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(*K, B, C, height, width) -> (*K, B, C, height, width)."""
        embedded, x = self.embedded(time), self.inward(x)
        before: list[Tensor] = []
        for block, halve in zip(self.down, self.halve, strict=True):
            before.append(block(x, embedded))
            x = halve(before[-1])
        x = self.middle(x, embedded)
        for beside, block, enlarge in zip(before[::-1], [*self.up][::-1], [*self.enlarge][::-1], strict=True):
            height, width = beside.shape[-2:]
            x = block(torch.cat([beside, enlarge(x)[..., :height, :width]], dim=-3), embedded)
        return self.outward(x)

    def scaled(self, x: Tensor) -> Tensor:
        """0 to 1 -> -1 to 1."""
        return 2 * x - 1

    def restored(self, x: Tensor) -> Tensor:
        """-1 to 1 -> 0 to 1."""
        return (x + 1) / 2

    def bounded(self, x: Tensor) -> Tensor:
        """-1 to 1."""
        return x.clamp(-1, 1)


def denoiser(modality: Modality, channels: Sequence[int], hidden: int) -> Denoiser:
    """The network of an image, with `channels` by level, or of a vector, `hidden` wide."""
    if modality.kind == "image":
        return UNet(modality.shape, channels)
    return VectorDenoiser(modality.shape, hidden)
