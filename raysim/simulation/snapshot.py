"""A trial's whole state between two rounds, as a value, and when it is worth writing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raysim.data.dataset import Array
from raysim.scenario.schema import Checkpoint
from raysim.simulation.executor import Handle
from raysim.training.results import Flat

AUTO_LEAST_S = 10.0
AUTO_SHARE = 0.02
"""`every_rounds: auto` writes so that it costs at most this share of the time."""


class SnapshotError(ValueError):
    """A snapshot is not one of this trial's networks; one line."""


@dataclass(frozen=True)
class Snapshot:
    """What a trial needs to go on after a round.

    Attributes:
        round: rounds that are done.
        x: shared group -> (P,) float32.
        frozen: group -> (P,) float32, replicas that are older than `x`.
        server: group -> name -> array: what the algorithm keeps.
        clients: client -> its private state, or its handle, as an executor keeps it. Of one on its way to the disk,
            those whose state is new since the last one and some that were written long ago; of one that was read, all.
        figures: what JSON can say: best round, totals, time so far.
        kept: shared group -> (P,) float32 of the best round, where it is another one and its networks are to be kept.
        predictions: view -> (N, C) float16, the best round's, where they are to be kept.
    """

    round: int
    x: Mapping[str, Flat]
    frozen: Mapping[str, Flat]
    server: Mapping[str, Mapping[str, Array]]
    clients: Mapping[int, Handle]
    figures: Mapping[str, Any]
    kept: Mapping[str, Flat] = field(default_factory=dict[str, Flat])
    predictions: Mapping[str, Array] = field(default_factory=dict[str, Array])

    def check(self, x: Mapping[str, Flat]) -> None:
        """Compares the shared groups with those of the trial.

        Raises:
            SnapshotError: the method's networks are others now.
        """
        here, there = ({n: np.shape(v)[0] for n, v in table.items()} for table in (x, self.x))
        if here != there:
            odd = next(n for n in [*here, *there] if here.get(n) != there.get(n))
            raise SnapshotError(
                f"the checkpoint of round {self.round} has {there.get(odd, 0):,} numbers for '{odd}', the method "
                f"{here.get(odd, 0):,}; undo the change of its code, or run into another folder"
            )


class Cadence:
    """When a snapshot is due.

    Attributes:
        cost_s: how long the last one took to write.
    """

    def __init__(self, settings: Checkpoint) -> None:
        self._every, self._last_s, self.cost_s = settings.every_rounds, time.monotonic(), 0.0

    def due(self, round_: int) -> bool:
        """Whether to take one now that a round is done; the time counts from the last that was due."""
        if isinstance(self._every, int):
            return round_ % self._every == 0
        now = time.monotonic()
        if self._every == "never" or now - self._last_s < max(AUTO_LEAST_S, self.cost_s / AUTO_SHARE):
            return False
        self._last_s = now
        return True
