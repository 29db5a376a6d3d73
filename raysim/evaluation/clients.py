"""Who is served: metrics of each client on the rows that it keeps, and what they come to over clients.

Shapes: C judged clients, R rows that they keep, L classes.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array
from raysim.data.federated import Federated
from raysim.data.held import Held
from raysim.evaluation.scores import figures
from raysim.evaluation.slices import Own
from raysim.scenario.schema import Scenario

Spread = dict[str, float | int | dict[str, float | None] | None]
"""What a metric comes to over clients; see `spread`."""


@dataclass(frozen=True)
class ClientScores:
    """The clients' metrics on their own rows of a split.

    Attributes:
        rows: (C,) how many each has.
        metrics: metric -> (C,), NaN where it is undefined, as it is without rows.
    """

    rows: Array
    metrics: Mapping[str, NDArray[np.float64]]


def gathered(
    held: Held, split: str, parts: Sequence[Own], answers: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """What slices of a split gave, each of rows of several clients, in the order of the split's rows: (R, ...)."""
    found = np.empty((len(held.rows[split]), *answers[0].shape[1:]), dtype=np.float64)
    for part, answer in zip(parts, answers, strict=True):
        at = 0
        for client in part.clients:
            mine = held.part(split, int(np.searchsorted(held.clients, client)))
            rows = found[mine][part.start : part.stop]
            rows[:] = answer[at : at + len(rows)]
            at += len(rows)
    return found


def client_scores(data: Federated, scenario: Scenario, split: str, logits: NDArray[np.float64]) -> ClientScores:
    """Each client's metrics by itself.

    Args:
        data: tells who keeps which rows; their labels are the data's own.
        scenario: names the metrics.
        split: `validation` or `test`.
        logits: (R, L), client after client; or (R,), losses.
    """
    held = data.held
    assert held is not None, "clients keep rows"
    labels = data.dataset.train.labels[held.rows[split]]
    found: list[Mapping[str, float | None]] = []
    for i in range(len(held.clients)):
        part = held.part(split, i)
        rows = part.stop - part.start
        found.append(figures(scenario, logits[part], labels[part], data.dataset) if rows else {})
    names = dict.fromkeys(name for one in found for name in one)
    columns = {n: np.array([_number(one.get(n)) for one in found]) for n in names}
    return ClientScores(np.diff(held.offsets[split]), columns)


def spreads(scores: ClientScores, roles: Sequence[str], low: Collection[str]) -> dict[str, Spread]:
    """What each metric comes to over clients.

    Args:
        scores: of C clients.
        roles: what each of them has.
        low: the metrics of which less is better.
    """
    return {name: spread(values, scores.rows, roles, low=name in low) for name, values in scores.metrics.items()}


def spread(values: NDArray[np.float64], rows: Array, roles: Sequence[str], *, low: bool) -> Spread:
    """What a metric (C,) comes to over the clients on which it is defined.

    Returns:
        `mean` over clients; `weighted` by their rows (C,); `std`, of all clients that there are and not of a sample of
        them (divided by their number); `worst_tenth`, the mean of the worst tenth of them, rounded up; `undefined`, on
        how many clients it is not; `roles`, the mean over the clients of each. What is of no client is None.
    """
    there = np.isfinite(values)
    known, weights = values[there], rows[there]
    worst = np.sort(known if not low else -known)[: math.ceil(len(known) / 10)]
    named = np.array(roles)
    return {
        "mean": _mean(known),
        "weighted": float(np.average(known, weights=weights)) if len(known) else None,
        "std": float(known.std()) if len(known) else None,
        "worst_tenth": _mean(worst if not low else -worst),
        "undefined": len(values) - len(known),
        "roles": {role: _mean(values[there & (named == role)]) for role in sorted(set(roles))},
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
