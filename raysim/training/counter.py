"""Counts multiply-adds: matrix products and convolutions, forwards and backwards.

A product of (n, k) with (k, m) is n k m multiply-adds. Nothing else is counted, nor what torch computes inside a fused
operation of its own, such as a recurrent layer.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


class MultiplyAdds(TorchDispatchMode):
    """Counts the multiply-adds of what is computed while it is entered.

    Attributes:
        by_operation: torch's name of an operation -> multiply-adds.
        by_group: the same by what `inside` names.
        calls: how often each of these was called as a whole.
        inside: the groups whose modules are being called, the innermost last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_operation: Counter[str] = Counter()
        self.by_group: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.inside: list[str] = []

    @property
    def total(self) -> int:
        """All multiply-adds so far."""
        return self.by_operation.total()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """As torch's own `FlopCounterMode` does, it would import torch._dynamo: 0.8 s and 80 MB."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation and counts it."""
        out = func(*args, **(kwargs or {}))
        formula = _FORMULAS.get(func._overloadpacket)
        if formula is not None:
            macs = formula(args, out)
            self.by_operation[str(func._overloadpacket)] += macs
            if self.inside:
                self.by_group[self.inside[-1]] += macs
        return out

    def clear(self) -> None:
        """Counts from nothing."""
        for table in (self.by_operation, self.by_group, self.calls, self.inside):
            table.clear()

    def each(self) -> dict[str, int]:
        """Group -> multiply-adds of one call, or of all its parts' calls where it is not called as a whole."""
        return {n: macs // max(self.calls[n], 1) for n, macs in self.by_group.items()}

    def watch(self, group: str, net: nn.Module) -> None:
        """What the module computes, or any part of it that is called by itself, is the group's."""

        def enter(module: nn.Module, *_: Any) -> None:
            self.inside.append(group)
            self.calls[group] += module is net

        def leave(*_: Any) -> None:
            self.inside.pop()

        for part in net.modules():
            part.register_forward_pre_hook(enter)
            part.register_forward_hook(leave)


def _product(args: Any, out: Any) -> int:
    """(..., n, k) by (..., k, m)."""
    return out.numel() * args[0].shape[-1]


def _added_product(args: Any, out: Any) -> int:
    """The same after what the product is added to."""
    return out.numel() * args[1].shape[-1]


def _convolution(args: Any, out: Any) -> int:
    """Input, weight, bias, stride, padding, dilation, transposed, ...; each position of the larger side costs alike."""
    x, weight, transposed = args[0], args[1], args[6]
    return (x if transposed else out).numel() * weight[0].numel()


def _convolution_backward(args: Any, out: Any) -> int:
    """Gradient, input, weight, biases, stride, padding, dilation, transposed, ...; the forward's for each result."""
    grad, x, weight, transposed = args[0], args[1], args[2], args[7]
    return sum(g is not None for g in out[:2]) * (x if transposed else grad).numel() * weight[0].numel()


_ATEN: Any = torch.ops.aten
_FORMULAS: dict[Any, Callable[[Any, Any], int]] = {
    **dict.fromkeys((_ATEN.mm, _ATEN.bmm, _ATEN.mv, _ATEN.dot), _product),
    **dict.fromkeys((_ATEN.addmm, _ATEN.baddbmm, _ATEN.addmv), _added_product),
    _ATEN.convolution: _convolution,
    _ATEN.convolution_backward: _convolution_backward,
}
