"""The driver of a study: checks every trial before anything starts, then runs one after another on Ray."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from raysim.data.federated import Federated
from raysim.engine.placement import ActorPlan, Cluster, PlacementError, plan_actors
from raysim.engine.prepare import prepare
from raysim.engine.resources import Usage
from raysim.engine.rounds import cohort_size
from raysim.engine.server import Server, Started
from raysim.engine.session import cluster
from raysim.report.events import (
    Event,
    Sink,
    StudyFinished,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
)
from raysim.scenario.check import import_paths
from raysim.scenario.trial import Trial, dump

BUDGET_S = 0.25
"""How long the server works between two looks at the keyboard."""
RESOURCES_EVERY_S = 2.0
SERVER_GRACE_S = 60.0


def run_study(trials: Sequence[Trial], *, out: Path, address: str | None, sinks: Sequence[Sink]) -> int:
    """Runs trials and tells the sinks.

    Args:
        trials: what to run, in this order.
        out: the study's folder.
        address: a Ray cluster's, or None for a local one.
        sinks: where events go; closed at the end.

    Returns:
        The exit status: 0 all finished, 1 a trial failed, 130 interrupted.

    Raises:
        ScenarioError: a trial asks for something that its data or its method cannot give; nothing has started then.
        NoCluster: Ray cannot be reached or started.
    """
    try:
        infos = tuple(prepare(trial).info for trial in trials)
        return _Study(trials, infos, out, sinks).run(address)
    finally:
        for sink in sinks:
            sink.close()


class _Study:
    """A study under way."""

    def __init__(self, trials: Sequence[Trial], infos: tuple[TrialInfo, ...], out: Path, sinks: Sequence[Sink]) -> None:
        self.trials, self.infos, self.out, self.sinks = trials, infos, out, sinks
        self.finished = self.failed = 0
        self.server: Any = None
        self.datasets: dict[str, Any] = {}
        self.cluster = Cluster(0, 0, 0)
        self.usage = Usage(RESOURCES_EVERY_S)

    def run(self, address: str | None) -> int:
        try:
            with cluster(address) as self.cluster:
                return self.all_trials()
        except KeyboardInterrupt:  # before anything could be reported
            return 130

    def all_trials(self) -> int:
        began, interrupted = time.monotonic(), False
        self.tell(StudyStarted(self.infos, str(self.out), str(self.cluster)))
        try:
            for index, trial in enumerate(self.trials):
                self.trial(trial, index)
        except KeyboardInterrupt:
            interrupted = True
        seconds = time.monotonic() - began
        self.tell(StudyFinished(self.finished, self.failed, seconds, interrupted=interrupted))
        return 130 if interrupted else int(self.failed > 0)

    def tell(self, event: Event) -> None:
        self.finished += isinstance(event, TrialFinished)
        self.failed += isinstance(event, TrialFailed)
        for sink in self.sinks:
            sink.handle(event)

    def trial(self, trial: Trial, index: int) -> None:
        """Runs one trial to its end, whatever that is."""
        prepared = prepare(trial)
        info, wait_s = prepared.info, trial.scenario.placement.start_timeout_s + SERVER_GRACE_S
        try:
            plan = self.plan(trial, prepared.data)
            started = self.ask(
                self.get_server().start.remote(trial, info, self.data(trial, prepared.data), plan), wait_s
            )
            if isinstance(started, TrialFailed):
                self.tell(started)
                return
            self.write(started, trial)
            self.tell(TrialStarted(info, index, prepared.data.clients, started.actors, started.plan))
            over = False
            while not over:
                for event in self.ask(self.server.advance.remote(BUDGET_S), wait_s):
                    over = over or isinstance(event, TrialFinished | TrialFailed)
                    self.tell(event)
                if (usage := self.usage.now()) is not None:
                    self.tell(usage)
        except PlacementError as error:
            self.tell(TrialFailed(info, str(trial.error("placement", str(error)))))
        except RayError as error:
            reason = " ".join(str(error).split())[:300]
            self.drop_server()
            self.tell(TrialFailed(info, f"the server actor is gone: {reason}"))

    def plan(self, trial: Trial, data: Federated) -> ActorPlan:
        cohort = cohort_size(trial.scenario.federation, data.eligible)
        return plan_actors(trial.scenario.placement, cohort, self.cluster, device=trial.scenario.numerics.device)

    def data(self, trial: Trial, data: Federated) -> list[Any]:
        """References to the dataset, which sits once in shared memory for all trials, and to how it is dealt out."""
        key = trial.scenario.dataset.model_dump_json()
        if key not in self.datasets:
            self.datasets[key] = ray.put(data.dataset)
        return [self.datasets[key], ray.put(data.parts())]

    def get_server(self) -> Any:
        """The slot's server actor."""
        if self.server is None:
            paths = tuple(dict.fromkeys(p for t in self.trials for p in import_paths(t)))
            self.server = ray.remote(Server).options(num_cpus=0).remote(paths)
        return self.server

    def drop_server(self) -> None:
        """Ends the server actor, and with it its clients; the next trial gets another."""
        if self.server is not None:
            ray.kill(self.server)
            self.server = None

    def ask(self, reference: Any, wait_s: float) -> Any:
        """An answer of the server actor.

        Raises:
            RayError: it died, or did not answer in time.
        """
        return ray.get(reference, timeout=wait_s)

    def write(self, started: Started, trial: Trial) -> None:
        folder = self.out / trial.scenario.name / trial.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scenario.yaml").write_text(dump(started.trial.scenario), encoding="utf-8")
