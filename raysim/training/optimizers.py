"""Optimiser steps on lists of tensors, with or without a client axis.

Written on `torch._foreach_*` because `torch.optim` imports dynamo (2 s and 70 MB in every worker). Within a stack all
is per client. Clients that are done leave at the end of the stack (`narrow`), so nothing of theirs is touched.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from raysim.scenario.optimizer import Adam, AdamW, Optimizer, Sgd

_lists: Any = torch
"""torch's operations on lists of tensors, which it does not type."""


class Stepper(Protocol):
    """One optimiser of one objective while a stage runs."""

    def step(self, weights: Sequence[Tensor], grads: Sequence[Tensor], lr: float | Tensor) -> None:
        """Changes the weights in place; the rate is one for all clients, or (K,)."""
        ...

    def narrow(self, clients: int) -> None:
        """Keeps only the first clients of the stack."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """What persists with the clients, (*K, ...) each, `mean/<weight>` say; empty when nothing does."""
        ...


def stepper(spec: Optimizer, weights: Mapping[str, Tensor], state: Mapping[str, Tensor], *, axis: bool) -> Stepper:
    """The optimiser that a scenario or method asks for.

    Args:
        spec: its settings.
        weights: the parameters that it will step, by name.
        state: what an earlier `state()` returned; what it lacks starts from zero.
        axis: whether they have a client axis.
    """
    return _Sgd(spec, weights) if isinstance(spec, Sgd) else _Adam(spec, weights, state, axis=axis)


class _Sgd:
    """v <- momentum v + g + decay w; w <- w - lr v."""

    def __init__(self, spec: Sgd, weights: Mapping[str, Tensor]) -> None:
        self._spec = spec
        self._velocity = [torch.zeros_like(w) for w in weights.values()] if spec.momentum else []

    def step(self, weights: Sequence[Tensor], grads: Sequence[Tensor], lr: float | Tensor) -> None:
        spec = self._spec
        if spec.weight_decay:
            grads = _lists._foreach_add(grads, weights, alpha=spec.weight_decay)
        if spec.momentum:
            _lists._foreach_mul_(self._velocity, spec.momentum)
            _lists._foreach_add_(self._velocity, grads)
            grads = self._velocity
        add_(weights, grads, -lr)

    def narrow(self, clients: int) -> None:
        self._velocity = [v[:clients] for v in self._velocity]

    def state(self) -> Mapping[str, Tensor]:
        return {}


class _Adam:
    """Kingma and Ba 2015, algorithm 1; step counts are per client, because moments may persist over rounds.

    Of AdamW (Loshchilov and Hutter 2019, algorithm 2) the decay shrinks the weights before the step, by lr times decay.
    Where all clients of the stack have taken as many steps and have the same rate, torch's fused kernel reads and
    writes everything once.
    """

    def __init__(self, spec: Adam, weights: Mapping[str, Tensor], state: Mapping[str, Tensor], *, axis: bool) -> None:
        self._spec = spec
        self._decoupled = isinstance(spec, AdamW)
        fresh = {f"{part}/{n}": torch.zeros_like(w) for part in ("mean", "square") for n, w in weights.items()}
        first = next(iter(weights.values()))
        fresh["count"] = first.new_zeros(first.shape[:1] if axis else ())
        self._full = {n: state.get(n, zeros) for n, zeros in fresh.items()}
        self._mean = [self._full[f"mean/{n}"] for n in weights]
        self._square = [self._full[f"square/{n}"] for n in weights]
        self._count = self._full["count"]
        counts = self._count.flatten()
        self._common = [counts[0].clone()] if bool((counts == counts[0]).all()) else None

    def step(self, weights: Sequence[Tensor], grads: Sequence[Tensor], lr: float | Tensor) -> None:
        self._count.add_(1)
        if self._common is not None:
            self._common[0].add_(1)
        if self._common is None or isinstance(lr, Tensor):
            self._apart(weights, grads, lr)
            return
        spec, (b1, b2) = self._spec, self._spec.betas
        fused = _lists._fused_adamw_ if self._decoupled else _lists._fused_adam_
        fused(
            weights, [g.contiguous() for g in grads], self._mean, self._square, [], self._common * len(weights),
            lr=lr, beta1=b1, beta2=b2, weight_decay=spec.weight_decay, eps=spec.eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    def _apart(self, weights: Sequence[Tensor], grads: Sequence[Tensor], lr: float | Tensor) -> None:
        spec, (b1, b2) = self._spec, self._spec.betas
        if spec.weight_decay and self._decoupled:
            scale_(weights, 1 - lr * spec.weight_decay)
        elif spec.weight_decay:
            grads = _lists._foreach_add(grads, weights, alpha=spec.weight_decay)
        _lists._foreach_lerp_(self._mean, grads, 1 - b1)
        _lists._foreach_mul_(self._square, b2)
        _lists._foreach_addcmul_(self._square, grads, grads, value=1 - b2)
        count = self._count.double()  # 1 - 0.999 has four digits in float32
        scale = (-lr / (1 - b1**count)).to(self._count.dtype)
        root = (1 - b2**count).sqrt().to(self._count.dtype)
        denominator = _lists._foreach_div(_lists._foreach_sqrt(self._square), [over(root, w) for w in weights])
        _lists._foreach_add_(denominator, spec.eps)
        update = _lists._foreach_div(self._mean, denominator)
        _lists._foreach_mul_(update, [over(scale, w) for w in weights])
        add_(weights, update)

    def narrow(self, clients: int) -> None:
        self._mean = [m[:clients] for m in self._mean]
        self._square = [s[:clients] for s in self._square]
        self._count = self._count[:clients]

    def state(self) -> Mapping[str, Tensor]:
        return self._full if self._spec.persistent else {}


def add_(tensors: Sequence[Tensor], others: Sequence[Tensor], factor: float | Tensor = 1.0) -> None:
    """Adds in place, tensor by tensor, with one factor to all or one a client, (K,)."""
    if isinstance(factor, Tensor):
        _lists._foreach_add_(tensors, _lists._foreach_mul(others, [over(factor.to(t.dtype), t) for t in others]))
    else:
        _lists._foreach_add_(tensors, others, alpha=factor)


def scale_(tensors: Sequence[Tensor], factor: float | Tensor) -> None:
    """Multiplies in place; likewise."""
    each = [over(factor.to(t.dtype), t) for t in tensors] if isinstance(factor, Tensor) else factor
    _lists._foreach_mul_(tensors, each)


def over(per_client: Tensor, like: Tensor) -> Tensor:
    """(*K) shaped to broadcast over `like`, (*K, ...)."""
    return per_client.reshape(*per_client.shape, *[1] * (like.dim() - per_client.dim()))


def clip(grads: Sequence[Tensor], limit: float, *, axis: bool) -> list[Tensor]:
    """Gradients scaled so that each client's total norm is at most `limit`."""
    flat = [g.reshape(g.shape[0], -1) if axis else g.reshape(-1) for g in grads]
    norm = torch.stack([g.square().sum(-1) for g in flat]).sum(0).sqrt()
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)
    return [g * over(scale, g) for g in grads]
