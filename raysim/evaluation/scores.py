"""Scores of what was predicted in slices."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array, Dataset
from raysim.data.federated import Federated
from raysim.evaluation import measured
from raysim.evaluation.slices import Slice
from raysim.scenario.schema import LOSS, Scenario


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
        rows, labels = joined(name, parts, logits), data.dataset.split(view.split).labels
        if view.scored is not None:
            rows, labels = rows[view.scored], labels[view.scored]
        scores[name] = figures(scenario, rows, labels, data.dataset)
    return scores


def joined(view: str, parts: Sequence[Slice], answers: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """What the slices of a view gave, in their order: (rows, ...)."""
    found = [answer for part, answer in zip(parts, answers, strict=True) if part.view == view]
    return np.concatenate(found).astype(np.float64)


def figures(
    scenario: Scenario, logits: NDArray[np.floating], labels: Array, dataset: Dataset
) -> dict[str, float | None]:
    """The scenario's metrics and the `loss`; of losses (N,) their mean alone.

    Args:
        scenario: names the metrics.
        logits: (N, C), or predictions (N, D), or losses (N,).
        labels: (N,), (N, C) or (N, D).
        dataset: tells which.
    """
    if logits.ndim == 1:
        loss = float(logits.mean())
        return {LOSS: loss if np.isfinite(loss) else None}
    with np.errstate(invalid="ignore"):  # infinite logits: the loss is undefined
        if dataset.targets:
            chances, loss = logits, _real_loss(logits.astype(np.float64) - labels, scenario.model.head.loss)
        else:
            chances, loss = _chances(logits.astype(np.float64), labels, multi_label=dataset.multi_label)
        found = measured.compute(scenario.evaluation.metrics, chances, labels, dataset.outputs)
    return {**found, "loss": loss if np.isfinite(loss) else None}


def probabilities(logits: NDArray[np.floating], labels: Array, *, multi_label: bool) -> NDArray[np.float64]:
    """What metrics score: the probabilities (N, C) of logits (N, C)."""
    with np.errstate(invalid="ignore"):
        return _chances(logits.astype(np.float64), labels, multi_label=multi_label)[0]


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
