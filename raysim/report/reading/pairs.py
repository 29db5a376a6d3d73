"""Which arms are compared with which, and what their trials have in common: seeds and test samples.

Two arms are a pair within equal values of the grid's other axes, and where the same data lacks the same modalities by
the same rule. Each seed that both have finished gives a difference. Where both kept their predictions, samples are
resampled, too: the same draws for all trials with the same test samples, whatever their arm and seed. So what a sample
has in common under several arms and seeds stays in the differences.

Shapes: N test samples, C classes, B replicates.
"""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raysim.disk import digest
from raysim.evaluation import measured
from raysim.report.events import TrialInfo
from raysim.report.reading.arms import UnknownArm, arm_of
from raysim.report.reading.folders import Study
from raysim.report.reading.predictions import Predictions, Unreadable, arrays, of_view
from raysim.report.reading.results import key
from raysim.report.statistics import REPLICATES, Interval, percentiles, resampled_means, resamples, t_interval
from raysim.scenario.schema import METRICS
from raysim.seeding import stream

ALL = "all"
"""In place of an arm to compare with: every pair."""
ACCURACY = "accuracy"
_LEAST_REPLICATES = 200
_CELLS = 400_000_000
"""Scores that metrics may be given in all replicates of a table: some seconds."""
_CLOSE = 0.005
Point = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pair:
    """Two arms on common seeds.

    Attributes:
        where: what the grid says besides the arms.
        arm, against: the two; differences are the first minus the second.
        seeds: that both have; others: how many only one of them has.
        values: for each seed both figures.
        replicates: (B,), the mean difference over seeds on resampled test samples; None where predictions lack.
        discordant: for each seed how many samples the arm alone has right, and the other alone; None likewise, and for
            metrics other than the accuracy of one label a sample.
    """

    where: Point
    arm: str
    against: str
    seeds: tuple[int, ...]
    others: int
    values: tuple[tuple[float, float], ...]
    replicates: NDArray[np.float64] | None = None
    discordant: tuple[tuple[int, int], ...] | None = None

    @property
    def differences(self) -> tuple[float, ...]:
        """By seed."""
        return tuple(a - b for a, b in self.values)

    @property
    def mean(self) -> float:
        """Of the differences."""
        return statistics.fmean(self.differences)

    @property
    def over_seeds(self) -> Interval | None:
        """The mean's interval by t; None for one seed."""
        return t_interval(self.differences)

    @property
    def over_samples(self) -> Interval | None:
        """Where the mean lies on resampled test samples; None where that is not known."""
        return None if self.replicates is None else percentiles(self.replicates)


@dataclass(frozen=True)
class Compared:
    """The pairs of a scenario in a metric and a split, and what is to be said of them, a line each."""

    metric: str
    split: str
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()


@dataclass(eq=False)
class _Run:
    """A finished trial: its figure, and what it kept."""

    trial: TrialInfo
    arm: str
    where: Point
    rule: str
    value: float
    data: str
    kept: Predictions | None = None
    same: str = ""
    """Equal for those with the same test samples."""
    right: NDArray[np.bool_] | None = field(default=None)
    replicates: NDArray[np.float64] | None = field(default=None)


def compared(
    study: Study, scenario: str, split: str, metric: str | None = None, against: str | None = None
) -> Compared | None:
    """The pairs of a scenario; None where it has no two arms.

    Args:
        study: as it was read.
        scenario: one of it.
        split: whose figures.
        metric: the one that tells the best round where None.
        against: an arm, or `all`; where None an arm that begins with zero, or else the best one.

    Raises:
        UnknownArm: nothing of that arm has finished.
    """
    notes: list[str] = []
    chosen, runs = _runs(study, scenario, split, metric, against, notes)
    arms = list(dict.fromkeys(r.arm for r in runs))
    if against not in (None, ALL) and against not in arms:
        raise UnknownArm(f"{scenario}: has no finished '{against}' to compare with; there are: {', '.join(arms)}")
    low = any(chosen in r.trial.low for r in runs)
    couples = [c for group in _groups(runs) for c in _couples(group, against, low=low)]
    if not couples:
        return None
    _resample(study, split, chosen, list(dict.fromkeys(r for c in couples for side in c for r in side)), notes)
    pairs = [_pair(one, other, chosen, notes) for one, other in couples]
    return Compared(chosen, split, tuple(p for p in pairs if p is not None), tuple(dict.fromkeys(notes)))


def _runs(
    study: Study, scenario: str, split: str, metric: str | None, against: str | None, notes: list[str]
) -> tuple[str, list[_Run]]:
    """The metric, and the trials that have a figure of it; of bounds, which are no contestants, what is asked for."""
    trials = [t for t in study.results.trials if t.scenario == scenario]
    found = [
        (t, s)
        for t, s in study.results.ordered
        if t.scenario == scenario and (not s.get("bound") or arm_of(t, trials)[0] == against)
    ]
    chosen, runs = metric or (found[0][0].metric if found else ""), list[_Run]()
    for trial, summary in found:
        figures: Mapping[str, float | None] = summary["splits"].get(split, {})
        if chosen not in figures:
            continue
        value = figures[chosen]
        if value is None or not np.isfinite(value):
            notes.append(f"{trial.name}: its {chosen} is undefined, so its seed is not compared")
            continue
        arm, where = arm_of(trial, trials)
        data = str(summary.get("origin", {}).get("data", ""))
        runs.append(_Run(trial, arm, where, _rule(study.settings[key(trial)]), value, data))
    return chosen, runs


def _rule(settings: Mapping[str, Any]) -> str:
    """What decides which modalities are missing of which data."""
    evaluation = settings.get("evaluation", {})
    said = settings.get("dataset"), settings.get("missing"), evaluation.get("missing"), evaluation.get("empty")
    return json.dumps(said, sort_keys=True)


def _groups(runs: Sequence[_Run]) -> list[dict[str, list[_Run]]]:
    """Arm -> its trials, for all that may be compared with each other."""
    groups: dict[tuple[Point, str], dict[str, list[_Run]]] = {}
    for run in runs:
        groups.setdefault((run.where, run.rule), {}).setdefault(run.arm, []).append(run)
    return list(groups.values())


def _couples(
    group: Mapping[str, list[_Run]], against: str | None, *, low: bool
) -> Iterator[tuple[list[_Run], list[_Run]]]:
    names = list(group)
    if against == ALL:
        yield from ((group[b], group[a]) for i, a in enumerate(names) for b in names[i + 1 :])
        return
    other = against or next((n for n in names if n.lower().startswith("zero")), None) or _best(group, low=low)
    if other in group:
        yield from ((group[name], group[other]) for name in names if name != other)


def _best(group: Mapping[str, Sequence[_Run]], *, low: bool) -> str:
    means = {name: statistics.fmean(r.value for r in runs) for name, runs in group.items()}
    return min(means, key=means.__getitem__) if low else max(means, key=means.__getitem__)


def _pair(one: Sequence[_Run], other: Sequence[_Run], metric: str, notes: list[str]) -> Pair | None:
    first, second = ({r.trial.seed: r for r in runs} for runs in (one, other))
    common = [seed for seed in first if seed in second]
    names = f"{one[0].arm} and {other[0].arm}"
    if not common:
        notes.append(f"{names}: have no seed in common: not compared")
        return None
    both = [(first[seed], second[seed]) for seed in common]
    if any(_unlike(a.data, b.data) or _unlike(a.same, b.same) for a, b in both):
        notes.append(f"{names}: have other test samples: not compared")
        return None
    replicates = [(a.replicates, b.replicates) for a, b in both]
    right = [(a.right, b.right) for a, b in both]
    resampled = [a - b for a, b in replicates if a is not None and b is not None]
    discordant = [(int((a & ~b).sum()), int((b & ~a).sum())) for a, b in right if a is not None and b is not None]
    return Pair(
        one[0].where, one[0].arm, other[0].arm, tuple(common), len(first.keys() ^ second.keys()),
        tuple((a.value, b.value) for a, b in both),
        np.mean(resampled, axis=0) if len(resampled) == len(both) else None,
        tuple(discordant) if len(discordant) == len(both) and metric == ACCURACY else None,
    )  # fmt: skip


def _unlike(one: str, other: str) -> bool:
    """Whether both are known and differ."""
    return bool(one and other) and one != other


def _resample(study: Study, split: str, metric: str, runs: Sequence[_Run], notes: list[str]) -> None:
    """Fills in what the trials kept, and their figures on resampled test samples."""
    name = metric.partition(".")[0]  # of `recall.cat` all of recall
    if any(name not in study.settings[key(r.trial)].get("evaluation", {}).get("metrics", METRICS) for r in runs):
        notes.append(f"{metric}: only raysim's metrics without options are recomputed on resampled test samples")
        return
    alike: dict[str, list[_Run]] = {}
    for run in runs:
        try:
            found = arrays(study.folders[key(run.trial)])
        except Unreadable as error:
            notes.append(str(error))
            continue
        run.kept = None if found is None else of_view(found, split)
        if run.kept is not None:
            run.same = digest(run.kept.labels.tobytes() + run.kept.scored.tobytes())
            alike.setdefault(run.same, []).append(run)
    lacking = sum(run.kept is None for run in runs)
    if lacking:
        notes.append(f"{lacking} of {len(runs)} trials kept no predictions for {split}: no interval over samples there")
    times = _times(runs, metric)
    for same, several in alike.items():
        _replicate(several, metric, times, lambda same=same: stream(0, "bootstrap", same), notes)


def _times(runs: Sequence[_Run], metric: str) -> int:
    """How many replicates: all that are wanted where sums do, and fewer of metrics that take long; 0 is too few."""
    cells = sum(r.kept.logits.size for r in runs if r.kept is not None)
    if metric == ACCURACY or not cells:
        return REPLICATES
    times = min(REPLICATES, _CELLS // cells)
    return times if times >= _LEAST_REPLICATES else 0


def _replicate(
    runs: Sequence[_Run], metric: str, times: int, draws: Callable[[], np.random.Generator], notes: list[str]
) -> None:
    """Of trials with the same test samples, all on the same draws."""
    known = [(r, r.kept.at(r.kept.scored)) for r in runs if r.kept is not None]
    fitting = list[tuple[_Run, Predictions]]()
    for run, kept in known:
        again = _figure(metric, kept)
        if again is None or abs(again - run.value) > _CLOSE:
            notes.append(f"{run.trial.name}: its predictions give another {metric} than it reports: not resampled")
        else:
            fitting.append((run, kept))
    if metric == ACCURACY:
        right = [_right(kept) for _, kept in fitting]
        if not right:
            return
        means = resampled_means(np.stack([r.reshape(len(r), -1).mean(axis=1) for r in right], axis=1), times, draws())
        for (run, kept), hits, column in zip(fitting, right, means.T, strict=True):
            run.right, run.replicates = (hits if kept.outcome == "single_label" else None), column
        return
    if not times:
        notes.append(f"{metric} would take too long on resampled test samples: no interval over them")
        return
    for run, kept in fitting:
        each = (draw for part in resamples(len(kept.labels), times, draws()) for draw in part)
        figures = [_figure(metric, kept.at(draw)) for draw in each]
        run.replicates = np.array([np.nan if f is None else f for f in figures])


def _right(kept: Predictions) -> NDArray[np.bool_]:
    """Which predictions are right: (N,), or (N, C) of several labels a sample."""
    if kept.outcome == "multi_label":
        return (kept.logits > 0) == (kept.labels > 0.5)
    return kept.logits.argmax(axis=1) == kept.labels


def _figure(metric: str, kept: Predictions) -> float | None:
    name = metric.partition(".")[0]
    return measured.compute([name], kept.scores, kept.labels, kept.outputs).get(metric)
