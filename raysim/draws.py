"""The random numbers of one training step or one evaluation slice."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from raysim.seeding import stream

Key = tuple[int | str, ...]


class Draws:
    """One stream for every client of a stack (training) or for every sample (evaluation).

    A client draws the same numbers alone and in a stack, and padding rows at the end of its batch changes nothing.
    """

    def __init__(self, seed: int, keys: Sequence[Key], *, axis: bool, device: torch.device) -> None:
        """Keys name the owners of the streams; with `axis` the first dimension of a draw runs over them."""
        self._seed, self._keys, self._axis, self._device = seed, keys, axis, device
        self._count = 0

    def __call__(self, shape: tuple[int, ...], kind: str) -> Tensor:
        """An unnamed draw, numbered within the step: dropout's."""
        self._count += 1
        return self.named(f"#{self._count}", shape, kind)

    def named(self, name: str, shape: tuple[int, ...], kind: str) -> Tensor:
        """Float32 numbers, `normal` or `uniform` in [0, 1)."""
        if kind not in ("normal", "uniform"):
            raise ValueError(f"noise of kind '{kind}'; use 'normal' or 'uniform'")
        if self._axis and (not shape or shape[0] != len(self._keys)):
            raise ValueError(f"noise of shape {tuple(shape)}; its first dimension must be {len(self._keys)}")
        values = np.empty(shape, dtype=np.float32)
        for key, part in zip(self._keys, values.reshape(len(self._keys), -1), strict=True):
            generator = stream(self._seed, "draw", *key, name)
            if kind == "normal":
                generator.standard_normal(dtype=np.float32, out=part)
            else:
                generator.random(dtype=np.float32, out=part)
        return torch.from_numpy(values).to(self._device)
