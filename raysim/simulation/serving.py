"""Who is served: clients judged by rows of their own after a round, and what is said of the reported round alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.data.federated import CLIENTS, SUBSET
from raysim.data.held import HELD
from raysim.evaluation.clients import ClientScores, client_scores, spreads
from raysim.evaluation.scores import figures, joined
from raysim.evaluation.slices import Slice, slices
from raysim.report.events import ClientsScored, TrialInfo
from raysim.simulation.executor import Answer
from raysim.training.job import Job


class Serving:
    """Of one trial. It is told nothing between rounds, so a trial that goes on needs nothing of it.

    Attributes:
        wanted: whether the networks of the reported round are asked for anything at the end.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._views = {name: view for name, view in job.data.more.items() if len(view)}
        self.wanted = bool(self._views)

    def slices(self, round_: int) -> list[Slice]:
        """What is judged after a round that is evaluated."""
        wish, last = self._job.scenario.evaluation.clients, round_ == self._job.rounds
        if wish is None or not (wish.every_rounds is None or last or round_ % wish.every_rounds == 0):
            return []
        return self._cut(CLIENTS)

    def reported(self) -> list[Slice]:
        """What is asked of the networks of the reported round: the clients' own rows, and subsets of modalities."""
        return self._cut("")

    def clients(self, parts: Sequence[Slice], answers: Sequence[Answer]) -> dict[str, Any]:
        """`validation` and `test` -> metric -> what it comes to over clients; empty where they were not asked."""
        held = self._job.data.held
        if held is None:
            return {}
        scores = self._scores(parts, answers)
        return {split: spreads(found, held.roles, self._job.low) for split, found in scores.items()}

    def summary(self, parts: Sequence[Slice], answers: Sequence[Answer]) -> dict[str, Any]:
        """What the trial's summary says of the reported round, where it was asked."""
        held, subsets = self._job.data.held, self.subsets(parts, answers)
        found: dict[str, Any] = {"subsets": subsets} if subsets else {}
        if held is not None:
            counts = {"judged": len(held.clients), "without": held.without, "rows": held.kept, "of": held.of}
            found |= {"clients": counts, "by_client": self.clients(parts, answers)}
        return found

    def table(
        self, info: TrialInfo, round_: int, parts: Sequence[Slice], answers: Sequence[Answer]
    ) -> ClientsScored | None:
        """Each client's own figures; None where they were not asked."""
        held, scores = self._job.data.held, self._scores(parts, answers)
        if held is None or not scores:
            return None
        rows = {split: found.rows for split, found in scores.items()}
        metrics = {split: dict(found.metrics) for split, found in scores.items()}
        return ClientsScored(info, round_, held.clients, held.ids, held.roles, rows, metrics)

    def subsets(self, parts: Sequence[Slice], answers: Sequence[Answer]) -> dict[str, Any]:
        """Modalities that are given, joined by `+` -> how many `rows` have them, and each metric of these."""
        job, found = self._job, dict[str, Any]()
        for name, view in job.data.more.items():
            if not name.startswith(SUBSET):
                continue
            values: Mapping[str, float | None] = {}
            if len(view):
                labels = job.data.dataset.split(view.split).labels[view.at(0, len(view))]
                logits = joined(name, parts, answers)
                values = figures(job.scenario, logits, labels, job.data.dataset)
            found[name.removeprefix(SUBSET)] = {"rows": len(view), "metrics": dict(values)}
        return found

    def _scores(self, parts: Sequence[Slice], answers: Sequence[Answer]) -> dict[str, ClientScores]:
        asked, job = {part.view for part in parts}, self._job
        return {
            split: client_scores(job.data, job.scenario, split, joined(f"{CLIENTS}{split}", parts, answers))
            for split in HELD
            if f"{CLIENTS}{split}" in asked
        }

    def _cut(self, prefix: str) -> list[Slice]:
        batch = self._job.scenario.numerics.evaluation_batch
        return slices({name: view for name, view in self._views.items() if name.startswith(prefix)}, batch)
