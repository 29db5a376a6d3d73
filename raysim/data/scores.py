"""How features get mean 0 and deviation 1.

Shapes: N samples, T steps, D features, G groups of samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Together = Literal["client", "sample"]
"""Samples that are scaled by themselves alone: those of each client, or each one."""
FAR = 1000
"""A power of 2 beyond this may be no float64; dividing by a nearer one is multiplying by its inverse, to the bit."""


@dataclass(frozen=True)
class Scaling:
    """How features are scaled, (D,) each; or (G, D), of some groups of samples.

    Attributes:
        power: of 2, by which they are divided so that the largest that was measured is near 1.
        mean, deviation: of what is divided so, float64; a deviation of 0 stands for a feature that never changed.
    """

    power: Array
    mean: Array
    deviation: Array

    @staticmethod
    def stacked(scalings: "Sequence[Scaling]") -> "Scaling":
        """(G, D) of several (D,)."""
        return Scaling(*(np.stack([getattr(s, k) for s in scalings]) for k in ("power", "mean", "deviation")))

    def scores(self, values: Array) -> Array:
        """(..., D) in float64; 0 for a feature that never changed."""
        with np.errstate(over="ignore", invalid="ignore"):  # rows that lack the modality hold anything
            scores = shifted(values, self.power)
            scores -= self.mean
            scores /= np.where(self.deviation > 0, self.deviation, 1.0)
            return scores if (self.deviation > 0).all() else np.where(self.deviation > 0, scores, 0.0)

    def scored(self, values: Array, groups: Array | None) -> Array:
        """Samples (N, D) or (N, T, D) in float64, each scaled by its group: (N,), -1 for one that stays as it is."""
        if groups is None:
            return self.scores(values)
        at = groups.reshape(-1, *[1] * (values.ndim - 2))  # beside (N, 1, D) where there are steps
        own = Scaling(self.power[at], self.mean[at], self.deviation[at])
        return np.where((at < 0)[..., None], values, own.scores(values))


def shifted(values: Array, power: Array) -> Array:
    """Values (..., D) divided by powers of 2, in float64."""
    if (np.abs(power) < FAR).all():
        return values * np.ldexp(1.0, -power)
    return np.ldexp(values.astype(np.float64, copy=False), -power)
