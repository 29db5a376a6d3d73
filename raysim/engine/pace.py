"""What units cost, and which actors are slow: measured, round by round. No bit depends on it."""

from collections.abc import Sequence

from raysim.training.results import UnitResult
from raysim.training.units import Unit

BUDGET_S = 0.25
"""How long a server works between two answers."""
SLOW_SHARE = 0.25
"""How much one unit says about an actor's speed."""


class Pace:
    """What units cost, by how long those of the same bucket took, and how slow each actor is: nodes may be unlike."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, ...], float] = {}
        self._slowness: dict[int, float] = {}

    def cost_s(self, unit: Unit) -> float:
        """Seconds on an actor of the usual speed; of an unknown bucket, as if it were the mean of the known ones."""
        known = self._seconds.values()
        mean = sum(known) / len(known) if known else 1e-3
        return unit.samples * self._seconds.get(unit.bucket, mean)

    def slowness(self, actors: Sequence[int]) -> list[float]:
        """How many times as long as usual each actor takes; 1 for those of which nothing is known."""
        return [self._slowness.get(actor, 1.0) for actor in actors]

    def learn(self, bucket: tuple[int, ...], result: UnitResult, actor: int) -> None:
        """Takes in how long a unit took on an actor; its clients' times add up to that."""
        seconds, slow = float(result.reports.seconds.sum()), self._slowness.get(actor, 1.0)
        found = seconds / max(int(result.reports.samples.sum()), 1)
        expected = self._seconds.get(bucket, found / slow)
        if expected > 0:
            slow += SLOW_SHARE * (found / expected - slow)
            self._slowness[actor] = slow
        self._seconds[bucket] = (expected + found / slow) / 2
