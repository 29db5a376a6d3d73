"""Samples that stay where the data lies, be it a file, until a batch takes them: they are copied once, not twice.

Shapes: *K the client axis (absent for one client), N samples of the largest client.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysim.data.dataset import Array
from raysim.data.mapped import Mapped


@dataclass(frozen=True)
class Shelf:
    """Rows of an array in a CPU's memory, or in a file.

    Attributes:
        array: (R, *shape) float32, or uint8 images, never written to.
        rows: (*K, N) row numbers, -1 where there is none.
        steps: how many of a sequence's steps are taken; None for all, and for what is no sequence.
    """

    array: Array | Mapped
    rows: Tensor
    steps: int | None

    def __getitem__(self, where: Any) -> Tensor:
        """(..., *shape) float32, images in [0, 1]; zeros where there is none."""
        rows = self.rows[where]
        flat: Array = rows.flatten().numpy()
        there = flat >= 0
        taken = self._taken(flat if there.all() else flat[there])
        if len(taken) < len(flat):
            out = np.zeros((len(flat), *taken.shape[1:]), dtype=taken.dtype)
            out[there] = taken
            taken = out
        if taken.dtype == np.uint8:
            taken = taken / np.float32(255)
        return torch.from_numpy(taken).view(*rows.shape, *taken.shape[1:])

    def narrow(self, where: Any) -> "Shelf":
        """Some of the samples, not copied yet."""
        return Shelf(self.array, self.rows[where], self.steps)

    def _taken(self, rows: Array) -> Array:
        if isinstance(self.array, Mapped):
            return self.array.take(rows, self.steps)
        if self.steps is None or self.steps == self.array.shape[1]:
            return np.take(self.array, rows, axis=0)
        return self.array[rows, : self.steps]
