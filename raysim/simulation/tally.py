"""What a trial adds up over its rounds, its best round, and what it says at its end."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from raysim.evaluation.scores import better
from raysim.method import everyone
from raysim.simulation.executor import Measured
from raysim.simulation.traffic import FROZEN
from raysim.training.job import Job
from raysim.training.reports import Reports
from raysim.training.workload import Workload

Scores = dict[str, dict[str, float | None]]


class Tally:
    """Figures of the rounds so far.

    Attributes:
        totals: bytes, steps, clients left out and seconds of training.
        sent: group -> [down, up] in bytes.
        held: shared group, if it has tensors, or its frozen part -> the clients that have got it as it is now.
        workload: how much the clients have trained.
        deviations: the kinds of those that have been seen.
        best: the round that is reported, and its scores; None before the first evaluation.
        reported: what else is said of the reported round, once that is known.
        personal: where clients are judged by networks of their own, or by what they fine-tune, their figures in the
            reported round, as `Serving.kept` has them; empty in other trials.
        generation: `round`, `figures` and the `judges`' accuracy, of the last round in which generation was measured.
    """

    def __init__(self, job: Job, figures: Mapping[str, Any] | None = None) -> None:
        """Starts from nothing, or from what `figures` was."""
        self._job = job
        found = figures or {}
        nothing = {"bytes_up": 0, "bytes_down": 0, "steps": 0, "skipped": 0, "compute_s": 0.0}
        self.totals: dict[str, Any] = dict(found.get("totals", nothing))
        self.sent: dict[str, list[int]] = dict(found.get("sent", {}))
        parts = (*job.shared, *(name + FROZEN for name in job.frozen))
        self.held = {name: set[int](found.get("held", {}).get(name, ())) for name in parts}
        self.workload = Workload(job, found.get("workload", ()))
        self.deviations: list[str] = list(found.get("deviations", ()))
        self.best: dict[str, Any] | None = found.get("best")
        self.generation: dict[str, Any] | None = found.get("generation")
        self.personal: dict[str, Any] = dict(found.get("personal", {}))
        self.reported: dict[str, Any] = {}

    @property
    def figures(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return {
            "totals": dict(self.totals),
            "sent": dict(self.sent),
            "held": {name: sorted(clients) for name, clients in self.held.items() if clients},
            "workload": self.workload.rows,
            "deviations": list(self.deviations),
            "best": self.best,
            "personal": self.personal,
            "generation": self.generation,
        }

    def add(self, record: Mapping[str, Any], reports: Reports) -> None:
        """A round is trained."""
        totals = self.totals
        totals["bytes_down"] += record["bytes_down"]
        totals["bytes_up"] += record["bytes_up"]
        totals["steps"] += int(reports.steps.sum())
        totals["skipped"] += len(record["skipped"])
        totals["compute_s"] += float(reports.seconds.sum())
        for name, (down, up) in record["traffic"].items():
            before = self.sent.get(name, [0, 0])
            self.sent[name] = [before[0] + down, before[1] + up]

    def hold(self, cohort: Sequence[int], senders: Mapping[str, Collection[int]]) -> None:
        """A round is over: the cohort has got the groups, and those that somebody sent have changed since."""
        for part, clients in self.held.items():
            name = part.removesuffix(FROZEN)
            if senders.get(part):
                clients.clear()
            elif self._job.groups[name].reaches is everyone:
                clients.update(cohort)
            else:
                clients |= {c for c in cohort if self._job.reaches(name, self._job.data.info(c))}

    def choose(self, round_: int, scores: Scores, more: Mapping[str, Any] | None = None) -> bool:
        """A round is evaluated: whether it is the best: it beats the best before, or the last one counts.

        `more` is what else is said of the reported round; without scores of validation samples `by_client` is among it,
        and its means over clients decide.
        """
        choice, new = self._job.scenario.evaluation, {"round": round_, "splits": scores, **(more or {})}
        metric = self._job.metric
        old = None if self.best is None else _deciding(self.best, metric)
        chosen = choice.select == "last" or better(_deciding(new, metric), old, metric, self._job.low)
        if chosen:
            self.best = new
        return chosen

    def remarks(self) -> list[str]:
        """What a user has to know of how the reported round was chosen: a warning each."""
        metric, best = self._job.metric, self.best
        if best is None or self._job.scenario.evaluation.select == "last":
            return []
        undefined = _deciding(best, metric)[metric] is None
        text = f"validation {metric} was defined in no round, so that of round {best['round']} is reported, the first"
        return [f"{text}; choose another evaluation.metric"] * undefined

    def summary(self, measured: Measured | None) -> dict[str, Any]:
        """What the trial's summary says of it.

        Args:
            measured: multiply-adds of the workload; None where nobody measured them.
        """
        choice = self._job.scenario.evaluation
        assert self.best is not None, "the last round is always evaluated"
        over = "" if self.best["splits"] else ", the mean over clients"
        by = f"best validation {self._job.metric}{over}" if choice.select == "best" else "last round"
        groups = {n: layout.parameters for n, layout in self._job.layouts.items() if layout.size}
        macs = measured and {
            "sample": measured.sample,
            "round": None if measured.total is None else round(measured.total / self._job.rounds),
            "by_group": measured.by_group,
        }
        return {
            **self.best,
            **self.reported,
            **({} if self.generation is None else {"generation": self.generation}),
            **({"low": list(self._job.low)} if len(self._job.low) > 1 else {}),
            **({"bound": True} if self._job.method.bound else {}),
            "selected_by": by,
            "parameters": sum(groups.values()),
            "parameters_by_group": groups,
            **self.totals,
            "compute_s": round(self.totals["compute_s"], 3),
            "macs": macs,
            "traffic": {n: {"down": down, "up": up} for n, (down, up) in self.sent.items()},
            "bit_comparable": not self.deviations,
            "hidden": dict(self._job.data.hidden),
            **({"lacking": dict(self._job.data.lacking)} if any(self._job.data.lacking.values()) else {}),
            "teachers": dict(self._job.teachers),
        }


def _deciding(round_: Mapping[str, Any], metric: str) -> Mapping[str, float | None]:
    """What tells of a round whether it is the best; undefined where no client has a validation row."""
    if round_["splits"]:
        return round_["splits"]["validation"]
    return {metric: round_["by_client"].get("validation", {}).get(metric, {}).get("mean")}
