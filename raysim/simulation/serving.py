"""Who is served: clients judged by rows of their own after a round, and what is said of the reported round alone.

Where predictions ask for networks that stay with clients, each client is judged by its own, and there is no other
score; what they were after an earlier round nobody keeps, so of the best round so far the figures are kept instead.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import numpy as np

from raysim.data.federated import CLIENTS, PERSONAL, SUBSET
from raysim.data.held import HELD
from raysim.evaluation.clients import ClientScores, client_scores, gathered, spreads
from raysim.evaluation.scores import figures, joined
from raysim.evaluation.slices import Own, Slice, Tuned, slices
from raysim.method import Train
from raysim.report.events import ClientsScored, TrialInfo
from raysim.scenario.served import Personalise
from raysim.simulation.executor import Answer, Handle
from raysim.training.job import Job
from raysim.training.units import plan_units

TUNED = f"test{PERSONAL}"
"""What figures of test rows are called that are by what each client has fine-tuned."""


class Serving:
    """Of one trial. It is told nothing between rounds, so a trial that goes on needs nothing of it.

    Attributes:
        personal: the groups that stay with clients and that predictions ask for.
        wanted: whether the networks of the reported round are asked for anything at the end.
    """

    def __init__(self, job: Job, personal: Sequence[str] = ()) -> None:
        """Of a job whose predictions ask for some groups that stay with clients.

        Raises:
            ValueError: there are such, and clients keep no rows to be judged by.
        """
        self._job, self.personal = job, tuple(personal)
        if self.personal and job.data.held is None:
            raise ValueError(unjudged(self.personal))
        self._views = {name: view for name, view in job.data.more.items() if len(view)}
        self.wanted = bool(self._views) and not self.personal

    def slices(self, round_: int) -> list[Slice]:
        """What is judged after a round that is evaluated."""
        wish, last = self._job.scenario.evaluation.clients, round_ == self._job.rounds
        if wish is None or not (wish.every_rounds is None or last or round_ % wish.every_rounds == 0):
            return []
        tuned = self._own(("test",), wish.tuning) if wish.tuning else []
        return [*(self._own(HELD) if self.personal else self._cut(CLIENTS)), *tuned]

    def states(self, known: Mapping[int, Handle]) -> dict[int, Handle]:
        """Those of the clients that are judged by what they have of their own, of all that are known."""
        held, wish = self._job.data.held, self._job.scenario.evaluation.clients
        if held is None or wish is None or not (self.personal or wish.tuning):
            return {}
        return {client: known[client] for client in held.clients.tolist() if client in known}

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

    def summary(
        self, parts: Sequence[Slice], answers: Sequence[Answer], kept: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What the trial's summary says of the reported round, where it was asked, and of what was kept of it."""
        subsets = self.subsets(parts, answers)
        found: dict[str, Any] = {"subsets": subsets} if subsets else {}
        if self._job.data.held is not None:
            held, more = self._job.data.held, self._again(kept) if kept else {}
            tuned = {split: spreads(scores, held.roles, self._job.low) for split, scores in more.items()}
            found |= {"clients": self._counts(), "by_client": {**self.clients(parts, answers), **tuned}}
        return found

    def table(
        self, info: TrialInfo, round_: int, parts: Sequence[Slice], answers: Sequence[Answer],
        kept: Mapping[str, Any] | None = None,
    ) -> ClientsScored | None:  # fmt: skip
        """Each client's own figures, and those that were kept; None where they were not asked."""
        scores = self._scores(parts, answers) | (self._again(kept) if kept else {})
        return self._table(info, round_, scores) if scores else None

    def kept(
        self, round_: int, parts: Sequence[Slice], answers: Sequence[Answer], trained: Collection[int]
    ) -> dict[str, Any]:
        """What has to be kept of a round of which nobody can be asked later, as JSON can say it.

        That is what clients were judged to be by networks of their own, or by what they fine-tuned.

        Args:
            round_: which one.
            parts: what was asked.
            answers: what was said.
            trained: the clients that have trained by then.

        Returns:
            `round`; `clients`, as in the summary, of which `untrained` ones have their networks as these started; and
            `splits`: each client's rows and metrics. Empty where it is of no use.
        """
        held, scores = self._job.data.held, self._scores(parts, answers)
        if not self.personal:
            scores = {name: found for name, found in scores.items() if name == TUNED}
        if held is None or not scores:
            return {}
        splits = {
            split: {
                "rows": found.rows.tolist(),
                "metrics": {n: [v if np.isfinite(v) else None for v in each] for n, each in _plain(found).items()},
            }
            for split, found in scores.items()
        }
        untrained = sum(client not in trained for client in held.clients.tolist())
        counts = self._counts() | ({"own": list(self.personal), "untrained": untrained} if self.personal else {})
        return {"round": round_, "clients": counts, "splits": splits}

    def table_of(self, info: TrialInfo, kept: Mapping[str, Any]) -> ClientsScored:
        """Each client's own figures, of what `kept` said."""
        return self._table(info, kept["round"], self._again(kept))

    def _again(self, kept: Mapping[str, Any]) -> dict[str, ClientScores]:
        return {
            split: ClientScores(
                np.array(said["rows"]), {n: np.array(each, dtype=np.float64) for n, each in said["metrics"].items()}
            )
            for split, said in kept["splits"].items()
        }

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

    def _counts(self) -> dict[str, Any]:
        held = self._job.data.held
        assert held is not None, "clients keep rows"
        return {"judged": len(held.clients), "without": held.without, "rows": held.kept, "of": held.of}

    def _table(self, info: TrialInfo, round_: int, scores: Mapping[str, ClientScores]) -> ClientsScored:
        held = self._job.data.held
        assert held is not None, "clients keep rows"
        rows = {split: found.rows for split, found in scores.items()}
        metrics = {split: dict(found.metrics) for split, found in scores.items()}
        return ClientsScored(info, round_, held.clients, held.ids, held.roles, rows, metrics)

    def _scores(self, parts: Sequence[Slice], answers: Sequence[Answer]) -> dict[str, ClientScores]:
        job, held = self._job, self._job.data.held
        found: dict[str, ClientScores] = {}
        for name in (*HELD, TUNED) if held is not None else ():
            view, split = f"{CLIENTS}{name}", name.removesuffix(PERSONAL)
            asked = [(p, a) for p, a in zip(parts, answers, strict=True) if p.view == view]
            if not asked or held is None:
                continue
            if self.personal or name == TUNED:
                own, said = [cast("Own", part) for part, _ in asked], [answer for _, answer in asked]
                logits = gathered(held, split, own, said)
            else:
                logits = joined(view, parts, answers)
            found[name] = client_scores(job.data, job.scenario, split, logits)
        return found

    def _own(self, splits: Sequence[str], tuning: Personalise | None = None) -> list[Slice]:
        """The clients' own rows, of clients that are trained together, if they can be, as many rows at once as ever.

        Those that fine-tune first are asked for all of their rows.
        """
        job, held = self._job, self._job.data.held
        assert held is not None, "clients keep rows"
        stages = [stage for phase in job.phases for stage in phase.stages if isinstance(stage, Train)]
        together = job.stackable and all(stage.stack for stage in stages)
        units = plan_units(job.data, held.clients.tolist(), int(job.scenario.numerics.stack) if together else 1, {})
        found: list[Slice] = []
        for split in splits:
            for unit in units:
                counts = {client: len(held.of_client(split, client)) for client in unit.clients}
                most, clients = max(counts.values()), tuple(client for client, count in counts.items() if count)
                if tuning is not None and clients:
                    samples = tuning.epochs * int(job.data.sizes[list(clients)].sum())
                    found.append(Tuned(f"{CLIENTS}{split}{PERSONAL}", 0, most, clients, samples))
                    continue
                width = max(job.scenario.numerics.evaluation_batch // len(unit.clients), 1)
                for start in range(0, most, width):
                    there = tuple(client for client, count in counts.items() if count > start)
                    found.append(Own(f"{CLIENTS}{split}", start, min(start + width, most), there))
        return found

    def _cut(self, prefix: str) -> list[Slice]:
        batch = self._job.scenario.numerics.evaluation_batch
        return slices({name: view for name, view in self._views.items() if name.startswith(prefix)}, batch)


def unjudged(personal: Sequence[str]) -> str:
    """Why a trial whose predictions ask for clients' own groups has no scores, and what to do."""
    which = ", ".join(personal)
    return f"{which} stay with the clients, so no central score can be had; write evaluation.clients: {{share: 0.2}}"


def _plain(scores: ClientScores) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in scores.metrics.items()}
