"""What a scenario's metrics say of scores, and of functions of one's own.

    def brier(scores, labels, power: float = 2.0):  # mine.py; evaluation: {metrics: [accuracy, "mine:brier"]}
        right = scores[np.arange(len(labels)), labels]
        return ((1 - right) ** power).mean()

    brier.higher_is_better = False
    brier.suits = ("single_label",)

Shapes: N samples, C classes or labels, D targets of a regression. Of classes scores are (N, C) probabilities, and
labels are (N,) class numbers, or (N, C) of 0 and 1 when multi-label; of a regression both are (N, D).

A function may ask for `scores` and `labels`, and gets copies, and for `classes`, the C or D names. Its other parameters
are options. It returns a number; a mapping of numbers, by class say, of which each is `<metric>.<key>` in results and
the mean of those that are defined is `<metric>`; or None, or what is not finite, where the data leaves it undefined.
`higher_is_better` is true, and it suits all tasks, unless it says otherwise. Those that come with raysim, in
`raysim/evaluation/metrics/`, are the same kind of thing.
"""

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np

from raysim import registry
from raysim.data.dataset import Array, Dataset
from raysim.scenario.functions import Function, bound
from raysim.scenario.schema import LOSS, Metric, metric_label
from raysim.seeding import stream

TRIED = 24
"""Samples of a trial run."""


def compute(
    chosen: Sequence[str | Metric], scores: Array, labels: Array, classes: Sequence[str] = ()
) -> dict[str, float | None]:
    """Several metrics, by what they are called in results.

    Raises:
        ValueError: one fails, or returns no number; one line.
    """
    found = dict[str, float | None]()
    for metric in chosen:
        found |= _values(metric, scores, labels, classes)
    return found


def low(chosen: Sequence[str | Metric]) -> tuple[str, ...]:
    """Those of which less is better, by what they are called in results: also the loss."""
    return (LOSS, *(metric_label(m) for m in chosen if not _higher(Metric.of(m))))


def check_suits(metric: str | Metric, dataset: Dataset) -> None:
    """Whether a metric suits the task of a dataset, and works: one's own is called with random scores.

    Raises:
        ValueError: it does not; one line.
    """
    spec = Metric.of(metric)
    suits: Any = getattr(registry.find("metric", spec.name), "suits", None)
    if suits is not None and dataset.outcome not in suits:
        raise ValueError(
            f"'{spec.name}' is for {' and '.join(suits)} data, and this is {dataset.outcome}; "
            f"there {'are' if len(fit := suited(dataset)) > 1 else 'is'}: {', '.join(fit)}"
        )
    if registry.is_own("metric", spec.name):
        _try(spec, dataset)


def suited(dataset: Dataset) -> list[str]:
    """The names of the metrics that come with raysim and suit a dataset."""
    shipped = [e.name for e in registry.listed("metric") if not registry.is_own("metric", e.name)]
    return [name for name in shipped if dataset.outcome in registry.find("metric", name).suits]


def trial_run(dataset: Dataset, labels: Array | None = None) -> tuple[Array, Array]:
    """Random scores, and labels where none are given."""
    rng, width = stream(0, "trial run"), dataset.width
    count = TRIED if labels is None else len(labels)
    if dataset.outcome == "regression":
        scores, drawn = rng.standard_normal((2, count, width))
        return scores, drawn.astype(np.float32) if labels is None else labels
    several = dataset.multi_label
    scores = rng.random((count, width)) if several else rng.dirichlet(np.ones(width), count)
    drawn = rng.integers(2 if several else width, size=(count, width) if several else count)
    return scores, (drawn.astype(np.float32) if several else drawn) if labels is None else labels


def _try(metric: Metric, dataset: Dataset) -> None:
    scores, labels = trial_run(dataset)
    try:
        _values(metric, scores, labels, dataset.outputs)
    except ValueError as error:
        raise ValueError(f"{error} (scores were of the shape {scores.shape}, labels of {labels.shape})") from error


def _values(metric: str | Metric, scores: Array, labels: Array, classes: Sequence[str]) -> dict[str, float | None]:
    """What a metric says, by name; of a mapping also the mean."""
    spec = Metric.of(metric)
    run = function(spec.name, json.dumps(spec.options))
    said: Any = run({"scores": scores.copy(), "labels": labels.copy(), "classes": tuple(classes)})
    label = metric_label(metric)
    if not isinstance(said, Mapping):
        return {label: _number(spec.name, said)}
    each = {str(key): _number(spec.name, value) for key, value in cast("Mapping[Any, Any]", said).items()}
    known = [value for value in each.values() if value is not None]
    mean = math.fsum(known) / len(known) if known else None
    return {label: mean, **{f"{label}.{key}": value for key, value in each.items()}}


@cache
def function(name: str, options: str) -> Function:
    """A metric's function with its options, which are JSON."""
    return bound("metric", Metric.model_validate({"name": name, **json.loads(options)}))


def _number(name: str, value: Any) -> float | None:
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if value is None:
        return None
    if not isinstance(value, numbers.Real):
        kind = type(value).__name__  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError(f"'{name}' must return a number, a mapping of numbers or None, but returned a {kind}")  # noqa: TRY004
    return float(value) if math.isfinite(value) else None


def _higher(metric: Metric) -> bool:
    said = metric.higher_is_better
    return bool(getattr(registry.find("metric", metric.name), "higher_is_better", True)) if said is None else said
