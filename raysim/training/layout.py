"""A group's parameters as one flat vector, and replicas of its module with or without a client axis.

Shapes: P parameters of a group, K clients of a stack.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from raysim.models.encoder import fixed_tensors


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a group stands in its flat vector: the parameters first, then floating-point buffers.

    Buffers (such as running statistics) are averaged like parameters but take no gradient step; counters stay local.
    What is frozen has no place: all processes have it from the beginning, in their prototypes.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    trained: int

    @staticmethod
    def of(module: nn.Module) -> "Layout":
        """The layout of a module."""
        fixed = fixed_tensors(module)
        parameters = {n: p for n, p in module.named_parameters() if n not in fixed}
        buffers = {n: b for n, b in module.named_buffers() if b.is_floating_point() and n not in fixed}
        tensors = {**parameters, **buffers}
        shapes = tuple(tuple(t.shape) for t in tensors.values())
        return Layout(tuple(tensors), shapes, len(parameters))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each tensor."""
        return tuple(torch.Size(s).numel() for s in self.shapes)

    @property
    def size(self) -> int:
        """P: elements of the flat vector."""
        return sum(self.sizes)

    @property
    def parameters(self) -> int:
        """Elements that are parameters, not buffers; they come first."""
        return sum(self.sizes[: self.trained])

    def split(self, flat: Tensor) -> list[Tensor]:
        """(*K, P) as (*K, *shape), one a tensor."""
        return _shaped(flat, self.sizes, self.shapes)

    def split_parameters(self, flat: Tensor) -> list[Tensor]:
        """Like `split`, of (*K, parameters): without the buffers."""
        return _shaped(flat, self.sizes[: self.trained], self.shapes[: self.trained])

    def tensors(self, module: nn.Module) -> list[Tensor]:
        """A module's own tensors in this order, detached."""
        table = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        return [table[n].detach() for n in self.names]

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        """(*K, P) from tensors (*K, *shape)."""
        lead = [t.shape[: t.dim() - len(s)] for t, s in zip(tensors, self.shapes, strict=True)]
        return torch.cat([t.reshape(*k, -1) for t, k in zip(tensors, lead, strict=True)], dim=-1)


class Replica:
    """A working copy of a group's module whose tensors can be exchanged, with a client axis or without."""

    def __init__(self, prototype: nn.Module, layout: Layout, device: torch.device) -> None:
        self.module = _copied(prototype) if device.type == "cpu" else copy.deepcopy(prototype).to(device)
        self.layout = layout
        tables: list[dict[str, Any]] = [vars(m)[t] for m in self.module.modules() for t in ("_parameters", "_buffers")]
        places = [(table, name) for table in tables for name, tensor in table.items() if tensor is not None]
        known = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        # Tied tensors stand in several places.
        self._places = [[(t, n) for t, n in places if t[n] is known[name]] for name in layout.names]
        self._counters = [(t, n, t[n]) for t, n in places if not t[n].is_floating_point()]
        self._parts = list(self.module.modules())

    def bind(self, tensors: Sequence[Tensor], *, training: bool = False) -> None:
        """Uses these tensors, in the layout's order, as the module's parameters and buffers; counters start anew.

        The module is put into training or evaluation mode, which is slow to say to one that is in it.
        """
        for places, tensor in zip(self._places, tensors, strict=True):
            for table, name in places:
                table[name] = tensor
        for table, name, first in self._counters:
            table[name] = first.clone()
        if any(part.training is not training for part in self._parts):
            self.module.train(training)


def _copied(prototype: nn.Module) -> nn.Module:
    """A copy with the prototype's tensors: what is fixed all replicas have in common, the others are bound before use.

    Most of what torch hangs on each part of a network are tables of hooks, nearly all empty, and copying these is slow.
    """
    known: dict[int, Any] = {id(t): t for t in (*prototype.parameters(), *prototype.buffers())}
    for part in prototype.modules():
        known |= {id(v): type(v)() for v in vars(part).values() if type(v) in (dict, OrderedDict, set) and not v}
    return copy.deepcopy(prototype, known)


def _shaped(flat: Tensor, sizes: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    parts: tuple[Tensor, ...] = torch.split(flat, list(sizes), dim=-1) if sizes else ()
    return [p.reshape(*flat.shape[:-1], *s) for p, s in zip(parts, shapes, strict=True)]
