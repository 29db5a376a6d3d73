"""What an encoder is: one modality's input -> tokens of a common width.

Shapes: K clients (may be absent), B batch, T steps.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from raysim.models.feature import Feature
from raysim.scenario.model import Model


class Encoder(nn.Module):
    """Base of all encoders. A subclass gives tokens; this class adds what is valid and unit length.

    That is of the embedding, the mean over valid tokens, which FIN (section 3.2) normalises before it is fused.

    Attributes:
        downsampling: input steps for one token.
        selective: it is given the rows that are there alone: others would cost time and enter batch statistics. Only
            for encoders that take no client axis.
        published: globs of the tensors that come with it; all where it has no layer of raysim's after them.
        prefix: of tensors' names, that nobody has to write.
        fixed: names of the tensors that never change.
    """

    downsampling = 1
    selective = False
    published: tuple[str, ...] = ("*",)
    prefix: ClassVar[str] = ""
    fixed: frozenset[str] = frozenset()
    _fixed_parts: tuple[str, ...] = ()

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.normalize, self.dim = model.normalize, model.dim

    def absent(self, present: Tensor) -> Feature:
        """What stands for rows (*K, B) that all lack the modality: one token, not valid."""
        tokens = torch.zeros(*present.shape, 1, self.dim, device=present.device)
        return Feature(tokens, torch.zeros_like(present).unsqueeze(-1))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Feature:
        """Encodes x (*K, B, *shape) with lengths (*K, B), None for full ones; a length below 1 counts as 1."""
        if lengths is not None:
            lengths = lengths.clamp(min=1)
        tokens = self.tokens(x, lengths)
        if lengths is None:
            feature = Feature(tokens, tokens.new_ones(tokens.shape[:-1], dtype=torch.bool))
        else:
            feature = Feature(tokens, within(lengths // self.downsampling, tokens.shape[-2]))
        return feature.of_unit_length() if self.normalize else feature

    def tokens(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """(*K, B, *shape) -> (*K, B, T, dim)."""
        raise NotImplementedError

    def freeze(self, globs: Sequence[str]) -> Self:
        """Some tensors never change from now on; parts of which that is true of all tensors evaluate always.

        Args:
            globs: of the names in `state_dict`, after `prefix`.

        Raises:
            ValueError: one names no tensor.
        """
        tensors = {n: t for n, t in _tensors(self).items() if t.is_floating_point()}
        names = {n: n.removeprefix(self.prefix) for n in tensors}
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names.values()):
                raise ValueError(f"freeze: '{glob}' names no tensor; there are: {', '.join(names.values())}")
        self.fixed = frozenset(n for n, name in names.items() if any(fnmatchcase(name, glob) for glob in globs))
        inside = {path: {n for n in names if n.startswith(f"{path}.")} for path, _ in parts(self) if path}
        self._fixed_parts = tuple(path for path, held in inside.items() if held and held <= self.fixed)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name not in self.fixed)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what never changes."""
        super().train(mode)
        for path in self._fixed_parts if mode else ():
            self.get_submodule(path).eval()
        return self


def fixed_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Those parameters and floating-point buffers of a module, by name, that never change: see `Encoder.freeze`."""
    fixed = [(path, part.fixed) for path, part in parts(module) if isinstance(part, Encoder)]
    names = {f"{path}.{name}".lstrip(".") for path, own in fixed for name in own}
    return {n: t.detach() for n, t in _tensors(module).items() if n in names}


def parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A module and all parts of it, by name."""
    untyped: Any = module  # torch types its memo in part
    return untyped.named_modules()


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def within(lengths: Tensor, steps: int) -> Tensor:
    """(*K, B) lengths, at least 1 -> (*K, B, steps) bool, True before the end."""
    return torch.arange(steps, device=lengths.device) < lengths.clamp(min=1).unsqueeze(-1)
