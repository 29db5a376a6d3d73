"""Trials for the tests with Ray, and how to run them to the end with any executor."""

import sys
from pathlib import Path

import pytest
import ray

from raysim.engine.judging import judges_for
from raysim.engine.nodes import Cluster
from raysim.engine.placement import plan_actors
from raysim.engine.pool import ClientPool
from raysim.engine.session import cluster
from raysim.engine.shipping import Code
from raysim.report.events import RoundFinished
from raysim.scenario.check import check
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job

MATERIAL = Path(__file__).parent / "material"
TOYS = Path(__file__).parents[1] / "methods"


class Small:
    """Trials of `material/small.yaml` and what comes out of them, down to the bits."""

    paths = (str(MATERIAL), str(TOYS))
    _warm = None

    def trial(self, *settings):
        (trial,) = load(MATERIAL / "small.yaml", settings)
        sys.path.extend(p for p in self.paths if p not in sys.path)
        check(trial)
        return trial

    def pool(self, plan):
        return ClientPool(plan, Code(self.paths), 200)

    def warm(self, *settings):
        """Client actors as a scenario's placement asks for them on two cores; kept while the plan stays the same."""
        placement = self.trial(*settings).scenario.placement
        plan = plan_actors(placement, 4, Cluster.alike(2), device="cpu")  # no clients share a core
        if self._warm is None or self._warm.plan != plan:
            self.cool()
            self._warm = self.pool(plan)
        return self._warm

    def cool(self):
        """Ends the actors that were kept."""
        if self._warm is not None:
            self._warm.close()
        self._warm = None

    def run(self, trial, pool=None, watch=lambda event: None):
        """Metrics without times, global weights and private states; `watch` sees each event, and None for a wait."""
        prepared = prepare(trial)
        job = Job(trial, prepared.data, judges_for(trial, prepared.data.dataset))
        executor = LocalExecutor(job) if pool is None else self.executor(pool, trial, prepared.data)
        simulation = Simulation(job, executor, prepared.info)
        records = []
        for event in simulation.run():
            watch(event)
            if isinstance(event, RoundFinished):
                records.append(self.timeless(event.record))
        states = simulation.client_states
        if pool is not None:
            states = {client: ray.get(bundle)[client] for client, (bundle, _) in states.items()}
        return {
            "records": records,
            "weights": {name: x.tobytes() for name, x in simulation.x.items()},
            "states": {c: {n: v.tobytes() for n, v in s.items()} for c, s in sorted(states.items())},
        }

    def same_on_ray(self, trial, watch=lambda event: None):
        """What a trial gives in this process: the same bits as on Ray; `watch` sees the events of both."""
        expected = self.run(trial, watch=watch)
        assert self.run(trial, self.warm(), watch) == expected
        return expected

    def timeless(self, record):
        """A line of metrics.jsonl without what may differ between two runs."""
        if isinstance(record, dict):
            return {k: self.timeless(v) for k, v in record.items() if not k.endswith(("_s", "_bytes_rss"))}
        return [self.timeless(v) for v in record] if isinstance(record, list) else record

    def executor(self, pool, trial, data):
        judges = judges_for(trial, data.dataset)
        references = [ray.put(part) for part in (data.dataset, data.parts(), judges)]
        return pool.prepare(trial, references, 60, Job(trial, data))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Judges are kept from test to test, and nowhere else."""
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def small():
    return Small()


@pytest.fixture(scope="module")
def local_ray(small):
    """A Ray of our own on this machine, as `raysim run` starts it."""
    with cluster(None) as seen:
        yield seen
        small.cool()
