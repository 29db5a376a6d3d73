"""Convolution and pooling with a client axis; see `raysim.models.layers`.

Stacked clients become the groups of one convolution. Parameter names and initial values are torch's.
Shapes: K clients (may be absent), B batch, C channels, T steps.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, int]
"""Of rows and of columns."""


class _Convolution(nn.Module):
    """A convolution by `function`, called with `settings`; bias is (outputs,), (K, outputs) when stacked, or None."""

    client_axis = True
    function: Any

    def __init__(self, weight: tuple[int, ...], outputs: int, *, bias: bool = True, **settings: Any) -> None:
        super().__init__()
        bound = 1 / math.sqrt(math.prod(weight[1:]))
        self.weight = nn.Parameter(torch.empty(weight).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound)) if bias else None
        self.sample = len(weight) - 1  # dimensions of one sample
        self.settings = settings

    def forward(self, x: Tensor) -> Tensor:
        """(*K, B, C, *positions) -> (*K, B, outputs, *positions)."""
        sample = self.sample
        if self.weight.dim() == sample + 1:
            out: Tensor = self.function(_dense(x.flatten(0, -sample - 1)), self.weight, self.bias, **self.settings)
            return torch.unflatten(_dense(out), 0, x.shape[:-sample])
        clients, weight = len(self.weight), self.weight.flatten(0, 1)
        bias = None if self.bias is None else self.bias.flatten()
        out = self.function(_dense(_joined(x)), weight, bias, groups=clients, **self.settings)
        return _parted(_dense(out), clients)


def _pair(size: int | Pair) -> Pair:
    return (size, size) if isinstance(size, int) else size


def _joined(x: Tensor) -> Tensor:
    """(K, B, C, *positions) -> (B, K C, *positions)."""
    return x.transpose(0, 1).flatten(1, 2)


def _parted(x: Tensor, clients: int) -> Tensor:
    """(B, K C, *positions) -> (K, B, C, *positions)."""
    return torch.unflatten(x, 1, (clients, -1)).transpose(0, 1)


def _dense(x: Tensor) -> Tensor:
    """On a CPU images with the channels last in memory: convolution is no slower so, and pooling ten times as fast."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 and x.device.type == "cpu" else x


class Conv1d(_Convolution):
    """(*K, B, inputs, T) -> (*K, B, outputs, T')."""

    function = staticmethod(F.conv1d)

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__((outputs, inputs, kernel), outputs, stride=stride, padding=padding)


class Conv2d(_Convolution):
    """(*K, B, inputs, height, width) -> (*K, B, outputs, height', width')."""

    function = staticmethod(F.conv2d)

    def __init__(
        self, inputs: int, outputs: int, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0, *,
        bias: bool = True,
    ) -> None:  # fmt: skip
        shape = (outputs, inputs, *_pair(kernel))
        super().__init__(shape, outputs, bias=bias, stride=stride, padding=padding)


class ConvTranspose1d(_Convolution):
    """(*K, B, inputs, T) -> (*K, B, outputs, stride * (T - 1) + kernel)."""

    function = staticmethod(F.conv_transpose1d)

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__((inputs, outputs, kernel), outputs, stride=stride)


class ConvTranspose2d(_Convolution):
    """(*K, B, inputs, height, width) -> (*K, B, outputs, height', width'); `extra` adds rows and columns at the end."""

    function = staticmethod(F.conv_transpose2d)

    def __init__(
        self, inputs: int, outputs: int, kernel: int | Pair, stride: int | Pair = 1, padding: int | Pair = 0,
        extra: Pair = (0, 0),
    ) -> None:  # fmt: skip
        shape = (inputs, outputs, *_pair(kernel))
        super().__init__(shape, outputs, stride=stride, padding=padding, output_padding=extra)


class _Resampling(nn.Module):
    """Each channel by `function`, called with `settings`. A stack that lies as a convolution left it is taken so."""

    function: Any
    sample: int

    def __init__(self, **settings: int) -> None:
        super().__init__()
        self.settings = settings

    def forward(self, x: Tensor) -> Tensor:
        """Leading dimensions are a batch."""
        if x.dim() == self.sample + 2 and x.stride(0) < x.stride(1):
            return _parted(self.function(_joined(x), **self.settings), len(x))
        out: Tensor = self.function(x.flatten(0, -self.sample - 1), **self.settings)
        return torch.unflatten(out, 0, x.shape[: -self.sample])


class _MaxPool(_Resampling):
    """Without overlap."""

    def __init__(self, kernel: int) -> None:
        super().__init__(kernel_size=kernel)
        self.kernel = kernel


class _Pairs(torch.autograd.Function):
    """The maximum of each two neighbours in the last dimension, four times as fast as torch's pooling on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape, end = x.shape, x.shape[-1] // 2 * 2
        left, right = x[..., 0:end:2], x[..., 1:end:2]
        ctx.save_for_backward(left >= right)
        return torch.maximum(left, right)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (first,), grad = ctx.saved_tensors, grads[0]
        end = 2 * grad.shape[-1]
        out = grad.new_empty(ctx.shape)
        out[..., end:] = 0
        left = torch.mul(grad, first, out=out[..., 0:end:2])
        torch.sub(grad, left, out=out[..., 1:end:2])
        return out


def _max_pool1d(x: Tensor, kernel_size: int) -> Tensor:
    pairs: Any = _Pairs  # torch does not type `apply`
    return pairs.apply(x) if kernel_size == 2 and x.device.type == "cpu" else torch.max_pool1d(x, kernel_size)


class _Squares(torch.autograd.Function):
    """torch's own pooling of images, which would keep its whole input until the gradient, for its shape alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int) -> Tensor:
        out, places = F.max_pool2d(x, kernel, return_indices=True)
        ctx.layout, ctx.kernel = (x.shape, x.stride()), (kernel, kernel)
        ctx.save_for_backward(places)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (places,), kernel = ctx.saved_tensors, ctx.kernel
        like = grads[0].new_empty_strided(*ctx.layout)  # nobody reads what is in it
        back: Any = torch.ops.aten.max_pool2d_with_indices_backward
        return back(grads[0], like, kernel, kernel, (0, 0), (1, 1), False, places), None


def _max_pool2d(x: Tensor, kernel_size: int) -> Tensor:
    squares: Any = _Squares  # torch does not type `apply`
    kept = x.requires_grad and x.device.type == "cpu"
    return squares.apply(x, kernel_size) if kept else torch.max_pool2d(x, kernel_size)


class MaxPool1d(_MaxPool):
    """(..., C, T) -> (..., C, T // kernel)."""

    function, sample = staticmethod(_max_pool1d), 2


class MaxPool2d(_MaxPool):
    """(..., C, height, width) -> (..., C, height // kernel, width // kernel)."""

    function, sample = staticmethod(_max_pool2d), 3


class AvgPool2d(_Resampling):
    """(..., C, height, width) -> (..., C, height', width'), with zeros as padding that count."""

    function, sample = staticmethod(F.avg_pool2d), 3

    def __init__(self, kernel: int, stride: int, padding: int = 0) -> None:
        super().__init__(kernel_size=kernel, stride=stride, padding=padding)


class Upsample2d(_Resampling):
    """(..., C, height, width) -> (..., C, factor * height, factor * width), each pixel repeated."""

    function, sample = staticmethod(F.interpolate), 3

    def __init__(self, factor: int) -> None:
        super().__init__(scale_factor=factor)
