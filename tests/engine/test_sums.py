"""Large sums of several actors on another node are added there. No Ray is started."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ray.exceptions import ObjectLostError

from raysim.engine import crew as module
from raysim.engine import messages, ray_executor
from raysim.engine.client import Client, Hello, Trained
from raysim.engine.crew import Crew
from raysim.engine.messages import unpacked
from raysim.engine.ray_executor import RayExecutor
from raysim.report.events import Warned
from raysim.training.reports import ClientReport, Reports
from raysim.training.results import Broadcast, UnitResult, summed
from raysim.training.units import Unit

LARGE, SMALL = 200_000, 10
REPORTS = Reports.of([ClientReport(0, 1, 1, {}, 0.5)])


def result(unit, size):
    return UnitResult(unit.index, {"w": np.full(size, 2.0**unit.index)}, {"w": np.ones(size)}, REPORTS)


class Reference:
    def __init__(self, value):
        self.value = value


class Actor:
    """Trains by making sums of its units' numbers; what it is asked for goes into a log."""

    def __init__(self, number, log, lost):
        self.number, self.log, self.lost = number, log, lost
        again = Hello("new", cuda=False, node="a")
        self.hello = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: Reference(again)))
        self.prepare = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda: Reference((again, False))))
        self.train_stateless = SimpleNamespace(remote=self._train)
        self.train_apart = SimpleNamespace(options=lambda num_returns: SimpleNamespace(remote=self._apart))
        self.add = SimpleNamespace(remote=self._add)

    def _train(self, broadcast, when, units):
        self.log.append((self.number, "train", [u.index for u in unpacked(units)]))
        size = len(unpacked(broadcast).x["w"])
        return Reference(Trained([result(u, size) for u in unpacked(units)], 1.0))

    def _apart(self, broadcast, when, units, states):
        assert states == {}
        self.log.append((self.number, "train", [u.index for u in unpacked(units)]))
        actor = SimpleNamespace(_train=lambda *_: (self._whole(broadcast, units), {}))
        return [Reference(value) for value in Client.train_apart(actor, broadcast, when, units, states)]

    def _whole(self, broadcast, units):
        first, *rest = [result(u, len(unpacked(broadcast).x["w"])) for u in unpacked(units)]
        sums, controls = (summed([first, *rest], field) for field in ("sums", "controls"))
        return Trained([UnitResult(first.index, sums, controls, REPORTS), *rest][:1], 1.0)

    def _add(self, *parts):
        self.log.append((self.number, "add", [part.value.index for part in parts]))
        if self.lost:
            return Reference(ObjectLostError("ab", "owner", "site"))
        return Reference(Client.add(SimpleNamespace(), *(part.value for part in parts)))


class FakeRay:
    """All is ready at once."""

    def wait(self, references, timeout):
        return references[:1], references[1:]

    def get(self, reference, timeout=None):
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value


@pytest.fixture
def trained(monkeypatch, small):
    """Trains a unit on each of some actors, named by their nodes; the log, the results and the warnings."""

    def train(nodes, size=LARGE, lost=(), dead=frozenset()):
        monkeypatch.setattr(module, "_ray", FakeRay())
        monkeypatch.setattr(module, "ray", SimpleNamespace(kill=lambda actor, no_restart: None))
        monkeypatch.setattr(ray_executor, "ray", SimpleNamespace(put=lambda value: value))
        monkeypatch.setattr(ray_executor, "this_node", lambda: "a")
        log = []
        actors = [Actor(i, log, i in lost) for i in range(len(nodes))]
        scenario, hellos = small.trial().scenario, [Hello("", cuda=False, node=node) for node in nodes]
        membership = SimpleNamespace(dead=lambda asked, now=False: dead & set(asked))
        crew = Crew(list(zip(actors, hellos, strict=True)), (), scenario.placement, membership)
        executor = RayExecutor(crew, scenario, stateful=False)
        units = [Unit(i, (i,), {}, 10_000, (2,)) for i in range(len(nodes))]
        told = list(executor.train(Broadcast(0, 1, {"w": np.zeros(size, np.float32)}), units, {}))
        results = sorted((t[0] for t in told if isinstance(t, tuple)), key=lambda r: r.index)
        assert [r.index for r in results] == list(range(len(nodes)))
        for field, value in (("sums", 2.0 ** len(nodes) - 1), ("controls", len(nodes))):
            (total,) = summed(results, field).values()
            assert total.shape == (size,)
            assert (total == value).all()
        return log, results, [t.text for t in told if isinstance(t, Warned)]

    return train


def test_one_copy_travels_from_a_node(trained):
    log, results, warnings = trained("abba")
    assert [entry for entry in log if entry[1] == "add"] == [(1, "add", [1, 2])]
    assert [bool(result.sums) for result in results] == [True, True, False, True]
    assert warnings == []


@pytest.mark.parametrize(("nodes", "size"), [("aaa", LARGE), ("abc", LARGE), ("abb", SMALL)])
def test_what_is_small_or_here_or_alone_travels_as_it_is(trained, nodes, size):
    log, results, _ = trained(nodes, size)
    assert {what for _, what, _ in log} == {"train"}
    assert all(result.sums for result in results)


def test_lost_sums_are_made_again(trained):
    log, _, warnings = trained("abb", lost={1, 2})
    assert sorted(actor for actor, what, _ in log if what == "train") == [0, 1, 1, 2, 2]
    assert [what for _, what, _ in log].count("add") == 1
    assert warnings == [f"round 1: the sums of client {i} are lost; its work is done again" for i in (1, 2)]


def test_nobody_adds_what_a_dead_node_has(trained):
    log, _, warnings = trained("abb", dead={"b"})
    assert sorted(log) == [(i, "train", [i]) for i in (0, 1, 1, 2, 2)]
    assert warnings == [f"round 1: the sums of client {i} are lost; its work is done again" for i in (1, 2)]


def test_networks_travel_once_while_they_stay_the_same(monkeypatch, small):
    put = []
    monkeypatch.setattr(ray_executor, "ray", SimpleNamespace(put=lambda value: put.append(value) or Reference(value)))
    scenario = small.trial().scenario
    executor = RayExecutor(Crew([], (), scenario.placement, SimpleNamespace()), scenario, stateful=False)
    x, control = {"w": np.zeros(LARGE, np.float32)}, {"w": np.ones(LARGE, np.float32)}
    trained = executor._message(Broadcast(0, 1, x, {}, control))
    judged = executor._message(Broadcast(1, 2, dict(x), {}, {"w": control["w"].copy()}))
    assert judged == replace(trained, when=(1, 2))
    heard = messages.heard(judged.body.value, judged.when)
    assert (heard.phase, heard.round, heard.x["w"] is x["w"]) == (1, 2, True)
    control["w"][3] += 1  # in place, as an algorithm might
    executor._message(Broadcast(1, 3, x, {}, control))
    executor._message(Broadcast(1, 3, {"w": x["w"] + 1}, {}, control))
    executor._message(Broadcast(1, 3, {**x, "v": x["w"]}, {}, control))
    assert len(put) == 4


def test_a_broadcast_in_parts_is_the_same_together():
    tables = [{name: np.full(3, i + k) for k, name in enumerate("abc")} for i in range(3)]
    whole = Broadcast(1, 2, *tables)
    rest, groups = messages.parted(whole, {"b", "c"})
    assert (list(rest.x), list(groups["b"].frozen), groups.keys()) == (["a"], ["b"], {"b", "c"})
    assert messages.heard(rest, (1, 2), [groups["c"], groups["b"]]) == whole
    assert messages.heard(rest, (1, 3), [groups["b"]]).control.keys() == {"a", "b"}
