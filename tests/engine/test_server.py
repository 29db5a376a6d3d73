"""The server actor's own decisions, with client actors that only say what they are told to."""

import pytest

from raysim.engine import server as module
from raysim.engine.placement import ActorPlan
from raysim.engine.server import Server, Started
from raysim.engine.shipping import Code
from raysim.report.events import TrialFailed, TrialFinished
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.training.job import Job
from raysim.training.results import ClientFailure

GIB = 2**30


@pytest.fixture
def server(monkeypatch):
    """A server whose pools believe in a GPU of 80 GiB, of which a unit `needs` some."""

    class FakePool:
        cuda = True

        def __init__(self, plan, paths, start_timeout_s, *, fewer):
            self.plan, self.closed, self.count = plan, False, plan.count
            made.pools.append(self)

        def prepare(self, trial, data, timeout_s, job=None):
            return LocalExecutor(Job(trial, made.data))

        def fits(self, plan):
            return plan == self.plan

        def measure(self, broadcast, unit, timeout_s):
            made.measured.append(unit.clients)
            if made.needs is None:
                raise ClientFailure(unit.clients, 1, "task", "oops")
            return made.needs, 80 * GIB

        def close(self):
            self.closed = True

    monkeypatch.setattr(module, "ClientPool", FakePool)
    made = Server(Code())
    made.pools, made.measured, made.needs = [], [], 1 * GIB
    return made


@pytest.fixture
def start(server, small, monkeypatch):
    def start(*settings):
        trial = small.trial("numerics.stack=4", *settings)
        prepared = prepare(trial)
        server.data = prepared.data
        monkeypatch.setattr(module.ray, "get", lambda _, timeout: (prepared.data.dataset, prepared.data.parts()))
        return server.start(trial, prepared.info, [], ActorPlan(4, 1.0, 0.25), None)

    return start


def test_a_unit_that_fits_a_quarter_leaves_the_plan(server, start):
    started = start()
    assert isinstance(started, Started)
    assert started.plan == "6 clients on 4 actors, stack 4, cpu, 0.25 GPU each"
    assert started.hidden == "missing 0.3: in effect 0.273 in training, 0.311 at test"
    assert [p.plan.gpus for p in server.pools] == [0.25]
    (unit,) = server.measured
    assert 1 <= len(unit) <= 4


def test_a_unit_that_needs_more_gets_fewer_larger_actors(server, start):
    server.needs = 30 * GIB
    started = start()
    assert started.actors == 2
    assert started.plan.endswith("6 clients on 2 actors, stack 4, cpu, 0.5 GPU each")
    assert [(p.plan.count, p.plan.gpus, p.closed) for p in server.pools] == [(4, 0.25, True), (2, 0.5, False)]
    events = [event for _ in range(3) for event in server.advance(60.0, 0.0).events]
    assert isinstance(events[-1], TrialFinished)


def test_a_given_share_is_not_measured(server, start):
    start("placement.gpus_per_client=0.25")
    assert server.measured == []


def test_a_client_that_fails_meanwhile_fails_the_trial(server, start):
    server.needs = None
    failed = start()
    assert isinstance(failed, TrialFailed)
    assert "stage 'task': oops" in failed.error
