"""How trials of a study begin or go on, and what is written of it at that moment."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from raysim import registry
from raysim.disk import write
from raysim.engine.origin import VERSIONS, code_digests, own_code
from raysim.engine.placement import ActorPlan
from raysim.engine.server import Started
from raysim.engine.shipping import Code
from raysim.engine.slot import Beginning, Work
from raysim.engine.states import handed_out
from raysim.report.events import Event, TrialInfo, Warned
from raysim.report.files import rounds_done
from raysim.scenario.check import import_paths
from raysim.scenario.model import CODE
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import dump
from raysim.simulation.checkpoint import Found
from raysim.simulation.extension import misfit
from raysim.simulation.keeper import Keeper, as_resolved
from raysim.simulation.prepare import prepare
from raysim.training.job import method_of, task_of


class Beginnings:
    """Of the trials of a study.

    Args:
        out: the study's folder.
        keeper: its checkpoints.
        code: what its processes import besides the installed packages.
        tell: where remarks go.
    """

    def __init__(self, out: Path, keeper: Keeper, code: Code, tell: Callable[[Event], None]) -> None:
        self._out, self._keeper, self._code, self._tell = out, keeper, code, tell
        self._origins: dict[tuple[str, str], Callable[[], Mapping[str, Any]]] = {}

    def of(self, work: Work, plan: ActorPlan) -> Beginning:
        """How a trial begins: from its newest checkpoint, where there is one.

        Raises:
            NoCheckpoint: there are some and none is intact.
        """
        found = self._keeper.newest(work.trial, work.info)
        anew = self._anew(work, found)
        if anew:
            self._tell(Warned(f"begins anew, for {work.info.rounds} rounds: {anew}", work.info))
            self._keeper.end(work.info)
        if found is None or anew:
            return Beginning(work.trial, plan)
        for event in self._keeper.remarks(found, work.info):
            self._tell(event)
        snapshot = replace(found.snapshot, clients=dict(handed_out(found.snapshot.clients)))
        return Beginning(as_resolved(work.trial, found), plan, snapshot, found.records)

    def _anew(self, work: Work, found: Found | None) -> str:
        """Why a trial that has more rounds now cannot go on from what there is; empty where it can, or is new."""
        before, scenario = rounds_done(self._out, work.info), work.trial.scenario
        if found is None:
            kept = "kept no checkpoint at its end (federation.checkpoint.at_end)"
            return f"it was finished with {before} and {kept}" if before else ""
        was = Scenario.model_validate(found.scenario)
        if was.federation.rounds == scenario.federation.rounds:
            return ""
        method = method_of(scenario)
        phases = method.phases(task_of(scenario, prepare(work.trial).data.dataset))
        authors: list[type[Any]] = [type(method)]
        if method.generator is not None:
            authors.append(method.generator.__class__)
        algorithm = registry.find("algorithm", scenario.federation.algorithm.name)
        return misfit(found.snapshot.round, was, phases, [*authors, algorithm])

    def write(self, work: Work, started: Started, digest: Future[str]) -> None:
        """Keeps what a trial begins with: its settings as they are used, its partition, and what is not raysim's.

        Args:
            work: the trial.
            started: as its server has begun it.
            digest: of its dataset, which `origin` will wait for.
        """
        folder = self._out / work.trial.scenario.name / work.trial.name
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "scenario.yaml", dump(started.trial.scenario).encode())
        code = self._copied(work, folder)
        if work.dealt is not None:
            write(folder / "partition.json", json.dumps(work.dealt).encode())
        write(folder / "partition.npz", work.rows)
        digests = code_digests(code)
        self._origins[work.info.scenario, work.info.name] = lambda: {
            **VERSIONS, "data": digest.result(), "code": digests
        }  # fmt: skip

    def _copied(self, work: Work, folder: Path) -> Mapping[str, bytes]:
        """Copies the code that is not raysim's."""
        code = own_code(import_paths(work.trial), dict(self._code.files))
        for name, content in code.items():
            copy = folder / CODE / name
            if copy.exists() and copy.read_bytes() != content:
                self._tell(Warned(f"goes on with other code: {name} has changed since its first rounds", work.info))
            copy.parent.mkdir(parents=True, exist_ok=True)
            write(copy, content)
        return code

    def origin(self, info: TrialInfo) -> Mapping[str, Any]:
        """What made a trial that is over: versions, data and code; for its summary, once."""
        return self._origins.pop((info.scenario, info.name))()
