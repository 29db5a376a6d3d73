"""What a trial keeps of its predictions: the test samples' logits in the reported round, for comparisons and use.

Shapes: N samples of a view, C classes, D targets of a regression. What is kept has these names:

    test, test_unmasked    (N, C) logits of each view as float16; of a regression (N, D) predictions as float32
    test.scored            (N,) bool, the samples that count; not there where all do
    rows, labels           (N,) which test samples these are, and (N,), (N, C) or (N, D)
    outcome, outputs       what is predicted, as `Dataset.outcome` says it, and the C or D names

Logits beyond 65,504, the end of float16, are cut to it. Where a sample has one class, its largest logit is taken from
all of its logits first: so the class that is predicted stays the same, and its probabilities are exact to three digits.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysim.data.dataset import Array
from raysim.evaluation.scores import joined
from raysim.evaluation.slices import Slice
from raysim.report.events import PredictionsKept, TrialInfo, Warned
from raysim.simulation.executor import Answer
from raysim.training.job import Job

SPLIT, VIEWS = "test", ("test", "test_unmasked")
_LARGEST, _FLOAT32 = float(np.finfo(np.float16).max), float(np.finfo(np.float32).max)
_BYTES = np.dtype(np.float16).itemsize


class Predicted:
    """As `evaluation.predictions` says, unless they are too large: those of the best round so far, and of no other."""

    def __init__(self, job: Job, *, central: bool = True) -> None:
        """`central`: whether there are scores of test samples at all."""
        self._job, self._wish = job, job.scenario.evaluation
        self._views = {name: job.data.views[name] for name in VIEWS if name in job.data.views}
        self._mb = sum(len(view.mask) for view in self._views.values()) * job.task.classes * _BYTES / 1e6
        self._wanted = central and self._wish.predictions and not job.method.has("losses")
        self._now: Mapping[str, Array] = {}

    def warnings(self) -> Iterator[Warned]:
        """What the trial says at its start."""
        if self._wanted and self._mb > self._wish.predictions_mb:
            yield Warned(f"predictions of {self._mb:,.3g} MB are not kept; see evaluation.predictions_mb")

    def offer(self, parts: Sequence[Slice], answers: Sequence[Answer], *, best: bool) -> None:
        """The logits of a round that was evaluated: slices, and what was answered to each."""
        if best and self._wanted and self._mb <= self._wish.predictions_mb:
            outcome = self._job.data.dataset.outcome
            found = {name: joined(name, parts, answers) for name in self._views}
            if outcome == "regression":
                self._now = {name: each.astype(np.float32) for name, each in found.items()}
            else:
                self._now = {n: halved(each, shifted=outcome == "single_label") for n, each in found.items()}

    def beside(self, round_: int) -> Mapping[str, Array]:
        """What a snapshot of a round has to hold; nothing where the last round counts and is still to come."""
        return {} if self._wish.select == "last" and round_ != self._job.rounds else self._now

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """As it was at a snapshot."""
        if self._wanted and arrays.keys() == self._views.keys():
            self._now = arrays

    def told(self, info: TrialInfo, best: Mapping[str, Any] | None) -> Iterator[PredictionsKept | Warned]:
        """At the end: what is kept of the reported round."""
        if not self._wanted or self._mb > self._wish.predictions_mb or best is None:
            return
        if not self._now:
            yield Warned(f"round {best['round']} is reported, whose predictions no checkpoint had: none are kept", info)
            return
        dataset = self._job.data.dataset
        labels = dataset.split(SPLIT).labels
        scored = {f"{name}.scored": view.scored for name, view in self._views.items() if view.scored is not None}
        said = {
            "rows": np.arange(len(labels), dtype=np.int32), "labels": labels,
            "outcome": np.array(dataset.outcome), "outputs": np.array(dataset.outputs),
        }  # fmt: skip
        yield PredictionsKept(info, best["round"], {**self._now, **scored, **said})


def halved(logits: NDArray[np.floating], *, shifted: bool) -> NDArray[np.float16]:
    """Logits (N, C) as float16, cut to its range.

    Args:
        logits: of samples.
        shifted: whether each sample's largest one is taken from all, which changes no softmax.
    """
    wide = logits.astype(np.float64)
    if shifted:
        wide = np.clip(wide, -_FLOAT32, _FLOAT32)  # infinite ones stay the largest
        wide = wide - wide.max(axis=1, keepdims=True)
    return np.clip(wide, -_LARGEST, _LARGEST).astype(np.float16)
