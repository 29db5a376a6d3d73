"""The random numbers of one training step or one evaluation slice, and those of code that knows nothing of them."""

import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysim.seeding import stream

Key = tuple[int | str, ...]
_random: Any = np.random  # only partly typed
_OURS: Any = np.random.MT19937(0)
"""Stands in for numpy's own global generator, whose state takes a hundred times longer to copy."""
_ONE_THREAD = RLock()


@contextmanager
def undisturbed() -> Generator[None]:
    """After the block the global generators of torch (a CPU's), numpy and Python are as they were before it.

    They are the process's: one thread at a time.
    """
    with _ONE_THREAD:
        torch_state, theirs, python_state = torch.get_rng_state(), _random.get_bit_generator(), random.getstate()
        _random.set_bit_generator(np.random.MT19937(0) if theirs is _OURS else _OURS)
        try:
            yield
        finally:
            torch.set_rng_state(torch_state)
            _random.set_bit_generator(theirs)
            random.setstate(python_state)


def seed_globally(key: int, device: torch.device | None = None) -> None:
    """The global generators of torch, numpy and Python start from a key."""
    seed_torch(key, device)
    np.random.seed(key % 2**32)
    random.seed(key)


def seed_torch(key: int, device: torch.device | None = None) -> None:
    """As `torch.manual_seed`, which takes two hundred times as long."""
    torch.default_generator.manual_seed(key % 2**63)
    cuda: Any = torch.cuda  # only partly typed
    if device is not None and device.type == "cuda" and cuda.is_initialized():
        cuda.manual_seed(key % 2**63)


class Draws:
    """One stream for every client of a stack (training) or for every sample (evaluation).

    A client draws the same numbers alone and in a stack, and padding rows at the end of its batch changes nothing.
    """

    def __init__(
        self, seed: int, keys: Sequence[Key], *, axis: bool, device: torch.device, over: tuple[int, ...] = ()
    ) -> None:
        """Keys name the owners of the streams; with `axis` the first dimension of a draw runs over them.

        `over` is the shape of several dimensions that do, row by row: of clients and samples, say.
        """
        self._seed, self._keys, self._device = seed, keys, device
        self._first = (over or (len(keys),)) if axis else ()
        self._count = 0

    def __call__(self, shape: tuple[int, ...], kind: str) -> Tensor:
        """An unnamed draw, numbered within the step: dropout's."""
        self._count += 1
        return self.named(f"#{self._count}", shape, kind)

    def named(self, name: str, shape: tuple[int, ...], kind: str) -> Tensor:
        """Float32 numbers, `normal` or `uniform` in [0, 1)."""
        if kind not in ("normal", "uniform"):
            raise ValueError(f"noise of kind '{kind}'; use 'normal' or 'uniform'")
        if tuple(shape[: len(self._first)]) != self._first:
            first = ", ".join(map(str, self._first))
            many = "s" * (len(self._first) > 1)
            raise ValueError(f"noise of shape {tuple(shape)}; its first dimension{many} must be {first}")
        values = np.empty(shape, dtype=np.float32)
        for key, part in zip(self._keys, values.reshape(len(self._keys), -1), strict=True):
            generator = stream(self._seed, "draw", *key, name)
            if kind == "normal":
                generator.standard_normal(dtype=np.float32, out=part)
            else:
                generator.random(dtype=np.float32, out=part)
        return torch.from_numpy(values).to(self._device)
