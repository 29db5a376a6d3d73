"""How clients' rounds went, by column: a hundred clients travel and are added up as one.

Shapes: R clients.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raysim.data.dataset import Array


@dataclass(frozen=True)
class ClientReport:
    """One client's row. `losses` holds each stage's mean over its steps, `offer` what it said of itself."""

    client: int
    samples: int
    steps: int
    losses: Mapping[str, float]
    seconds: float
    offer: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, eq=False)
class Reports:
    """Some clients' rows.

    Attributes:
        clients, samples, steps: (R,) int64.
        losses: stage -> (R,) float64; NaN where a client did not run it.
        seconds: (R,) float64.
        offers: client -> what it said of itself.
    """

    clients: Array
    samples: Array
    steps: Array
    losses: Mapping[str, Array]
    seconds: Array
    offers: Mapping[int, Mapping[str, float]] = field(default_factory=dict[int, Mapping[str, float]])

    @staticmethod
    def of(rows: Sequence[ClientReport]) -> "Reports":
        """From rows, in their order."""
        clients, samples, steps = np.array([(r.client, r.samples, r.steps) for r in rows], np.int64).reshape(-1, 3).T
        stages = dict.fromkeys(stage for r in rows for stage in r.losses)
        losses = {s: np.array([r.losses.get(s, np.nan) for r in rows]) for s in stages}
        seconds = np.array([r.seconds for r in rows], dtype=np.float64)
        return Reports(clients, samples, steps, losses, seconds, {r.client: r.offer for r in rows if r.offer})

    @staticmethod
    def joined(parts: Sequence["Reports"], *, ordered: bool = False) -> "Reports":
        """Of several in one, one after another or ordered by client."""
        if not parts:
            return Reports.of(())
        if len(parts) == 1 and not ordered:
            return parts[0]
        columns = [
            np.concatenate([getattr(p, name) for p in parts]) for name in ("clients", "samples", "steps", "seconds")
        ]
        losses = {
            stage: np.concatenate([p.losses.get(stage, np.full(len(p), np.nan)) for p in parts])
            for stage in dict.fromkeys(s for p in parts for s in p.losses)
        }
        order = np.argsort(columns[0], kind="stable") if ordered else slice(None)
        clients, samples, steps, seconds = (column[order] for column in columns)
        offers = {c: o for p in parts for c, o in p.offers.items()}
        return Reports(clients, samples, steps, {n: column[order] for n, column in losses.items()}, seconds, offers)

    def __len__(self) -> int:
        return len(self.clients)

    def __iter__(self) -> Iterator[ClientReport]:
        columns = (self.clients, self.samples, self.steps, self.seconds)
        losses = {stage: column.tolist() for stage, column in self.losses.items()}
        for i, (client, samples, steps, seconds) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            own = {stage: column[i] for stage, column in losses.items() if column[i] == column[i]}  # not NaN
            yield ClientReport(client, samples, steps, own, seconds, self.offers.get(client, {}))
