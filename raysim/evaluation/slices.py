"""Slices of what is evaluated: rows of a view that are predicted at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raysim.data.federated import Federated, View
from raysim.seeding import stream

PICTURED = "features"
"""The view whose rows are embedded, for pictures, instead of classified."""

EXAMINED = "examined"
"""The view whose rows, all validation samples, are given to the method's `examine`."""


@dataclass(frozen=True)
class Slice:
    """Some rows of a view, predicted at once. Bounds follow from `numerics.evaluation_batch` alone."""

    view: str
    start: int
    stop: int

    @property
    def cost(self) -> float:
        """How long it takes, beside other slices of one evaluation."""
        return float(self.stop - self.start)


@dataclass(frozen=True)
class Own(Slice):
    """Rows that some clients keep, predicted at once, by the networks that each of these clients has.

    Attributes:
        start, stop: of each client's own rows of the view, as far as it has so many.
        clients: their numbers, a client axis where there are several.
    """

    clients: tuple[int, ...]

    @property
    def cost(self) -> float:
        """Rows, padding included."""
        return float((self.stop - self.start) * len(self.clients))


@dataclass(frozen=True)
class Tuned(Own):
    """All rows that some clients keep, predicted by what each fine-tunes for that alone on its training rows.

    Attributes:
        samples: how many each client takes for that, added up over epochs.
    """

    samples: int

    @property
    def cost(self) -> float:
        """A step forwards and backwards counts three times."""
        return 3.0 * self.samples + super().cost


def slices(views: Mapping[str, View], batch: int) -> list[Slice]:
    """Views in slices of at most `batch` rows."""
    return [part for name, view in views.items() for part in cut(name, len(view), batch)]


def cut(view: str, rows: int, batch: int) -> list[Slice]:
    """A view in slices of at most `batch` rows."""
    return [Slice(view, start, min(start + batch, rows)) for start in range(0, rows, batch)]


def pictured(data: Federated, count: int, seed: int) -> NDArray[np.int64]:
    """Validation rows that lack nothing, at most `count`: the same for all methods of a seed, in ascending order."""
    split = data.dataset.split("validation")
    complete = np.flatnonzero(split.presence(data.dataset.names).all(axis=1))
    return np.sort(stream(seed, PICTURED).permutation(complete)[:count])
