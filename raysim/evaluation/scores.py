"""What is measured: slices of the evaluated views, and their scores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array, Dataset
from raysim.data.federated import Federated
from raysim.evaluation import measured
from raysim.scenario.schema import LOSS, Scenario
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


def slices(data: Federated, batch: int) -> list[Slice]:
    """All views in slices of at most `batch` rows."""
    return [part for name, view in data.views.items() for part in cut(name, len(view.mask), batch)]


def cut(view: str, rows: int, batch: int) -> list[Slice]:
    """A view in slices of at most `batch` rows."""
    return [Slice(view, start, min(start + batch, rows)) for start in range(0, rows, batch)]


def pictured(data: Federated, count: int, seed: int) -> NDArray[np.int64]:
    """Validation rows that lack nothing, at most `count`: the same for all methods of a seed, in ascending order."""
    split = data.dataset.split("validation")
    complete = np.flatnonzero(split.presence(data.dataset.names).all(axis=1))
    return np.sort(stream(seed, PICTURED).permutation(complete)[:count])


def score(
    data: Federated, scenario: Scenario, parts: Sequence[Slice], logits: Sequence[NDArray[np.float32]]
) -> dict[str, dict[str, float | None]]:
    """Metrics of each view, and its `loss`.

    Args:
        data: the labels.
        scenario: names the metrics.
        parts: the slices, in order.
        logits: (rows, C) for each slice; or (rows,), the losses of a method that predicts nothing and has no metrics.
    """
    scores: dict[str, dict[str, float | None]] = {}
    for name, view in data.views.items():
        both = zip(parts, logits, strict=True)
        rows = np.concatenate([out for part, out in both if part.view == name]).astype(np.float64)
        labels = data.dataset.split(view.split).labels
        if view.scored is not None:
            rows, labels = rows[view.scored], labels[view.scored]
        if rows.ndim == 1:
            loss = float(rows.mean())
            scores[name] = {"loss": loss if np.isfinite(loss) else None}
        else:
            scores[name] = figures(scenario, rows, labels, data.dataset)
    return scores


def figures(
    scenario: Scenario, logits: NDArray[np.floating], labels: Array, dataset: Dataset
) -> dict[str, float | None]:
    """The scenario's metrics of logits (N, C), or of predictions (N, D), and the `loss`; the dataset tells which."""
    with np.errstate(invalid="ignore"):  # infinite logits: the loss is undefined
        if dataset.targets:
            chances, loss = logits, _real_loss(logits.astype(np.float64) - labels, scenario.model.head.loss)
        else:
            chances, loss = _chances(logits.astype(np.float64), labels, multi_label=dataset.multi_label)
        found = measured.compute(scenario.evaluation.metrics, chances, labels, dataset.outputs)
    return {**found, "loss": loss if np.isfinite(loss) else None}


def added(parts: Sequence[Mapping[tuple[str, ...], NDArray[np.float64]]]) -> dict[tuple[str, ...], NDArray[np.float64]]:
    """The sums of all slices, in their order."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: np.sum([part[name] for part in parts if name in part], axis=0) for name in names}


def _chances(logits: NDArray[np.float64], labels: Array, *, multi_label: bool) -> tuple[NDArray[np.float64], float]:
    """Probabilities (N, C) and the mean loss."""
    if multi_label:
        signed = np.where(labels > 0.5, -logits, logits)
        loss = np.logaddexp(0.0, signed).mean()
        return 0.5 * (1.0 + np.tanh(0.5 * logits)), float(loss)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_total = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    log_chances = shifted - log_total
    return np.exp(log_chances), float(-log_chances[np.arange(len(labels)), labels].mean())


def _real_loss(errors: NDArray[np.float64], kind: str | None) -> float:
    """The mean loss of a regression's errors (N, D); see `model.head.loss`."""
    size = np.abs(errors)
    match kind:
        case "l1":
            return float(size.mean())
        case "huber":
            return float(np.where(size <= 1.0, 0.5 * size**2, size - 0.5).mean())
        case _:
            return float(np.square(errors).mean())


def better(
    new: Mapping[str, float | None], old: Mapping[str, float | None] | None, metric: str,
    low: Collection[str] = (LOSS,),
) -> bool:  # fmt: skip
    """Whether a round beats the best so far; the earlier round wins a tie, an undefined metric never wins.

    Higher is better, but for those that are `low`.
    """
    value = new[metric]
    if old is None:
        return True
    best = old[metric]
    return value is not None and (best is None or (value < best if metric in low else value > best))
