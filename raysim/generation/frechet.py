"""The Fréchet distance of two sets of features, taken as normal: |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^(1/2).

On features of the 2015 Inception network it is the FID of Heusel et al., "GANs Trained by a Two Time-Scale Update Rule
Converge to a Local Nash Equilibrium", 2017, eq. 6; on others it is called by their name, never FID.

A covariance of D features has full rank only from D + 1 rows on. With fewer the distance is still that of the two
normals, flat in some directions, but it is much too large, and sets of unlike sizes cannot be compared: give as many
rows as the paper does.

Shapes: B rows, D features.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moments:
    """What is kept of features: sums in float64, which can be added up in any order that is the same everywhere.

    Attributes:
        count: rows.
        total: (D,), their sum.
        outer: (D, D), the sum of their outer products.
    """

    count: float
    total: NDArray[np.float64]
    outer: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[Any]) -> "Moments":
        """Of features (B, D)."""
        x = np.asarray(features, dtype=np.float64)
        return cls(float(len(x)), x.sum(axis=0), x.T @ x)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,)."""
        return self.total / self.count

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D), unbiased.

        Raises:
            ValueError: there are fewer than two rows.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs two rows or more, there are {self.count:g}; make more samples")
        return (self.outer - np.outer(self.mean, self.total)) / (self.count - 1)


def distance(a: Moments, b: Moments) -> float:
    """The distance, at least 0; not a number where features are not.

    The trace is that of the root of R C2 R, R the symmetric root of C1: its eigenvalues are those of C1 C2.

    Raises:
        ValueError: the features are not as many, or there are fewer than two rows.
    """
    if a.total.shape != b.total.shape:
        raise ValueError(f"{a.total.size} features cannot be compared with {b.total.size}; take both from one network")
    first, second, apart = a.covariance, b.covariance, a.mean - b.mean
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("nan")
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    inner = root @ second @ root
    shared = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(min=0)).sum()
    return max(0.0, float(apart @ apart + np.trace(first) + np.trace(second) - 2 * shared))
