"""Convolution and pooling with a client axis; see `raysim.models.layers`.

Stacked clients become the groups of one convolution. Parameter names and initial values are torch's.
Shapes: K clients (may be absent), B batch, C channels, T steps.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Convolution(nn.Module):
    """A convolution by `function`, called with `settings`; bias is (outputs,), or (K, outputs) when stacked."""

    client_axis = True
    function: Any

    def __init__(self, weight: tuple[int, ...], outputs: int, **settings: Any) -> None:
        super().__init__()
        bound = 1 / math.sqrt(math.prod(weight[1:]))
        self.weight = nn.Parameter(torch.empty(weight).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.settings = settings

    def forward(self, x: Tensor) -> Tensor:
        """(*K, B, C, *positions) -> (*K, B, outputs, *positions)."""
        if self.bias.dim() == 1:
            sample = self.weight.dim() - 1
            flat = x.flatten(0, -sample - 1)
            if sample == 3:
                flat = flat.contiguous(memory_format=torch.channels_last)  # a third faster with its pooling on a CPU
            out: Tensor = self.function(flat, self.weight, self.bias, **self.settings)
            return torch.unflatten(out, 0, x.shape[:-sample])
        clients = len(self.weight)
        joined, weight = x.transpose(0, 1).flatten(1, 2), self.weight.flatten(0, 1)
        out = self.function(joined, weight, self.bias.flatten(), groups=clients, **self.settings)
        return torch.unflatten(out, 1, (clients, -1)).transpose(0, 1)


class Conv1d(_Convolution):
    """(*K, B, inputs, T) -> (*K, B, outputs, T')."""

    function = staticmethod(F.conv1d)

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__((outputs, inputs, kernel), outputs, stride=stride, padding=padding)


class Conv2d(_Convolution):
    """(*K, B, inputs, height, width) -> (*K, B, outputs, height', width')."""

    function = staticmethod(F.conv2d)

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__((outputs, inputs, kernel, kernel), outputs, stride=stride, padding=padding)


class ConvTranspose1d(_Convolution):
    """(*K, B, inputs, T) -> (*K, B, outputs, stride * (T - 1) + kernel)."""

    function = staticmethod(F.conv_transpose1d)

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__((inputs, outputs, kernel), outputs, stride=stride)


class ConvTranspose2d(_Convolution):
    """(*K, B, inputs, height, width) -> (*K, B, outputs, height', width'); `extra` adds rows and columns at the end."""

    function = staticmethod(F.conv_transpose2d)

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, extra: tuple[int, int] = (0, 0)
    ) -> None:
        shape = (inputs, outputs, kernel, kernel)
        super().__init__(shape, outputs, stride=stride, padding=padding, output_padding=extra)


class MaxPool1d(nn.Module):
    """(..., C, T) -> (..., C, T // kernel)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Leading dimensions are flattened."""
        return torch.unflatten(torch.max_pool1d(x.flatten(0, -3), self.kernel), 0, x.shape[:-2])


class MaxPool2d(nn.Module):
    """(..., C, height, width) -> (..., C, height // kernel, width // kernel)."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Leading dimensions are flattened."""
        return torch.unflatten(torch.max_pool2d(x.flatten(0, -4), self.kernel), 0, x.shape[:-3])
