"""Layers whose parameters may carry a leading client axis, so that one graph trains a stack of clients.

Every layer takes plain parameters with an input with or without a client axis (one shared model), and stacked
parameters with a stacked input. Parameter names and initial values are torch's.

Shapes: K clients (may be absent), B batch, T steps, C channels, D features.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from raysim.models import noise

_HARMLESS = (
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus,
    nn.Identity, nn.Sequential, nn.ModuleList, nn.ModuleDict,
)  # fmt: skip


def stackable(module: nn.Module) -> bool:
    """Whether the module may be run with a client axis.

    It may if every part that holds parameters or buffers is marked `client_axis = True` and every part of torch's own
    works element by element: others count dimensions from the left (`nn.Flatten`) or draw hidden random numbers
    (`nn.Dropout`). A part that is marked False takes none, whatever it is made of.
    """
    return obstacle(module) is None


def obstacle(module: nn.Module) -> nn.Module | None:
    """The first part of a module that takes no client axis."""
    return next((part for part in module.modules() if not _stackable_itself(part)), None)


def _stackable_itself(module: nn.Module) -> bool:
    if len({p.requires_grad for p in module.parameters(recurse=False)}) > 1:
        return False  # what is frozen has no client axis, and the rest would have one
    said = getattr(module, "client_axis", None)
    if said is not None:
        return bool(said)
    holds = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return not holds and (isinstance(module, _HARMLESS) or not type(module).__module__.startswith("torch."))


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Applies weight (*K, out, D) and bias (*K, out) to x (*K, ..., D) -> (*K, ..., out)."""
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    rows: Any = _Rows  # torch does not type `apply`
    found = rows.apply(x.flatten(1, -2), weight, bias)
    return torch.unflatten(found, 1, x.shape[1:-1])


class _Rows(torch.autograd.Function):
    """x (K, R, D), weight (K, out, D), bias (K, out) -> (K, R, out).

    The gradient of the weights lies in memory as these do. By torch's own it is transposed, and an optimiser's step
    takes four times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        kind = x.device.type
        if torch.is_autocast_enabled(kind):  # the way back is on its own
            x, weight = (t.to(torch.get_autocast_dtype(kind)) for t in (x, weight))
        ctx.save_for_backward(x, weight)
        return torch.baddbmm(bias.unsqueeze(-2), x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (x, weight) = grads, ctx.saved_tensors
        wanted: tuple[bool, ...] = ctx.needs_input_grad
        return (
            torch.bmm(grad, weight) if wanted[0] else None,
            torch.bmm(grad.mT, x) if wanted[1] else None,
            grad.sum(1) if wanted[2] else None,
        )


def normalize(x: Tensor) -> Tensor:
    """Scales the last dimension to unit length; zero stays zero, with a finite gradient."""
    return x / length(x)


def length(x: Tensor) -> Tensor:
    """(..., D) -> (..., 1): the last dimension's Euclidean norm, with a finite gradient; 1 where x is zero."""
    square = x.square().sum(-1, keepdim=True)
    return torch.where(square > 1e-12, square, 1.0).sqrt()


class Linear(nn.Linear):
    """(*K, ..., D) -> (*K, ..., outputs)."""

    client_axis = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)

    def forward(self, input: Tensor) -> Tensor:
        """See `linear`."""
        return linear(input, self.weight, self.bias)


class Flatten(nn.Module):
    """Joins the last `dims` dimensions into one."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        """(..., a, b) -> (..., a * b) for `dims` 2."""
        return x.flatten(-self.dims)


class Unflatten(nn.Module):
    """Splits the last dimension into `shape`."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(..., a * b) -> (..., a, b) for `shape` (a, b)."""
        return torch.unflatten(x, -1, self.shape)


def _beside(parameter: Tensor, dims: int) -> Tensor:
    """A stacked parameter (K, ...) with ones after K, so that it has `dims` dimensions."""
    return parameter.reshape(len(parameter), *[1] * (dims - parameter.dim()), *parameter.shape[1:])


class LayerNorm(nn.LayerNorm):
    """Normalises the last dimension, (*K, ..., D)."""

    client_axis = True
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, width: int) -> None:
        super().__init__(width)

    def forward(self, input: Tensor) -> Tensor:
        """Scale and shift are each client's own."""
        if self.weight.dim() == 1:
            return super().forward(input)
        plain = F.layer_norm(input, self.normalized_shape)
        return torch.addcmul(_beside(self.bias, input.dim()), plain, _beside(self.weight, input.dim()))


class GroupNorm(nn.Module):
    """Group norm with one group: normalises over channels and positions, (*K, B, C, *positions).

    The stand-in for batch norm, with as many parameters: batch statistics can be neither stacked nor averaged soundly.
    """

    client_axis = True

    def __init__(self, channels: int, positions: int) -> None:
        """`positions` is the number of dimensions after the channels: 1 for sequences, 2 for images."""
        super().__init__()
        self.positions = positions
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift are per channel."""
        plain = F.layer_norm(x, x.shape[-1 - self.positions :])
        return torch.addcmul(self._spread(self.bias, x.dim()), plain, self._spread(self.weight, x.dim()))

    def _spread(self, parameter: Tensor, dims: int) -> Tensor:
        spread = parameter.reshape(*parameter.shape, *[1] * self.positions)
        return spread if parameter.dim() == 1 else _beside(spread, dims)


def look_up(input: Tensor, table: Tensor) -> Tensor:
    """Rows of a table (*K, V, D) by integers (*K, ...): (*K, ..., D). Stacked tables are one long table."""
    if table.dim() == 2:
        return F.embedding(input, table)
    starts = torch.arange(len(table), device=input.device) * table.shape[1]
    return F.embedding(input + _beside(starts, input.dim()), table.flatten(0, 1))


class Embedding(nn.Embedding):
    """Integers (*K, ...) -> (*K, ..., width)."""

    client_axis = True

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__(vocabulary, width)

    def forward(self, input: Tensor) -> Tensor:
        """See `look_up`."""
        return look_up(input, self.weight)


class Dropout(nn.Module):
    """Zeroes each entry with probability p while training, with numbers from `raysim.models.noise`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Kept entries are scaled by 1 / (1 - p); p = 0 draws nothing."""
        if not self.training or self.p == 0:
            return x
        kept = noise.draw(tuple(x.shape), "uniform").ge_(self.p)
        return x * kept.to(x.dtype).mul_(1 / (1 - self.p))
