"""Actors that are done with their units predict slices meanwhile. No Ray is started."""

from types import SimpleNamespace

import numpy as np
import pytest

from raysim.engine import crew as module
from raysim.engine.client import Hello, Trained
from raysim.engine.crew import Crew
from raysim.engine.messages import unpacked
from raysim.engine.ray_executor import RayExecutor
from raysim.evaluation.slices import Slice
from raysim.generation.plan import Part
from raysim.simulation.executor import Evaluation
from raysim.training.reports import ClientReport, Reports
from raysim.training.results import Broadcast, ClientFailure, UnitResult
from raysim.training.units import Unit

BROADCAST = Broadcast(0, 1, {"w": np.zeros(1, np.float32)})


class Actor:
    """Notes what it is asked for; `bad` slices fail."""

    def __init__(self, number, log, bad):
        self.number, self.log, self.bad = number, log, bad

    def __getattr__(self, name):
        return SimpleNamespace(remote=lambda *a: Reference(*getattr(self, f"_{name}")(*a)))

    def _train_stateless(self, broadcast, when, units):
        self.log.append((self.number, "train", [u.index for u in unpacked(units)]))
        reports = Reports.of([ClientReport(0, 1, 1, {}, 0.5)])
        return "train", Trained([UnitResult(u.index, {}, {}, reports) for u in unpacked(units)], 1.0)

    def _predict(self, broadcast, when, parts, states):
        self.log.append((self.number, "predict", list(parts)))
        if self.bad & set(parts):
            return "predict", ClientFailure((), 1, "evaluation", "oops")
        return "predict", {i: np.zeros((1, 2), np.float32) for i in parts}


class Reference:
    def __init__(self, kind, value):
        self.kind, self.value = kind, value


class FakeRay:
    """Predictions are ready at once, training when nothing else is under way."""

    def wait(self, references, timeout):
        if timeout == 0:
            return [], references
        return sorted(references, key=lambda r: r.kind == "train")[:1], references

    def get(self, reference, timeout=None):
        return reference.value


@pytest.fixture
def made(monkeypatch, small):
    """Makes an executor on two fake actors, the log of their calls, and an evaluation of some slices."""

    def make(slices, bad=()):
        monkeypatch.setattr(module, "_ray", FakeRay())
        log = []
        actors = [Actor(i, log, set(bad)) for i in range(2)]
        scenario = small.trial().scenario
        nobody = SimpleNamespace(dead=lambda asked, now=False: set())
        crew = Crew([(actor, Hello("", cuda=False)) for actor in actors], (), scenario.placement, nobody)
        executor = RayExecutor(crew, scenario, stateful=False)
        return executor, log, Evaluation(BROADCAST, [Slice("test", i, i + 1) for i in range(slices)])

    return make


def train(executor, spare, units=1):
    work = [Unit(i, (i,), {}, 10_000, (2,)) for i in range(units)]
    return [d[0].index for d in executor.train(BROADCAST, work, {}, spare) if isinstance(d, tuple)]


def test_an_idle_actor_predicts_one_slice_after_another(made):
    executor, log, evaluation = made(3)
    assert train(executor, evaluation) == [0]
    assert log == [(0, "train", [0]), (1, "predict", [0]), (1, "predict", [1]), (1, "predict", [2])]
    assert sorted(evaluation.logits) == [0, 1, 2]
    assert list(executor.evaluate(evaluation)) == []


def test_busy_actors_leave_the_slices_for_later(made):
    executor, log, evaluation = made(3)
    executor._slice_s = 100.0  # it would not be done before the round's last unit
    assert train(executor, evaluation, units=2) == [0, 1]
    assert {kind for _, kind, _ in log} == {"train"}
    assert list(executor.evaluate(evaluation)) == [None]
    assert sorted(evaluation.logits) == [0, 1, 2]
    assert log[2:] == [(0, "predict", [0, 2]), (1, "predict", [1])]


def test_a_slice_that_fails_does_not_fail_the_round_in_training(made):
    executor, log, evaluation = made(3, bad=[1])
    assert train(executor, evaluation) == [0]
    assert log[1:] == [(1, "predict", [0]), (1, "predict", [1])]
    assert sorted(evaluation.waiting) == [1, 2]
    with pytest.raises(ClientFailure, match="oops"):
        list(executor.evaluate(evaluation))


def test_what_takes_long_is_called_one_by_one_by_its_cost(made):
    executor, log, _ = made(0)
    long = [Part(i, i + 1, "made", ("a",), 9 if i == 2 else 1) for i in range(4)]
    evaluation = Evaluation(BROADCAST, [Slice("test", 0, 1), Slice("test", 1, 2), *long])
    list(executor.evaluate(evaluation))
    assert sorted(evaluation.logits) == list(range(6))
    calls = {actor: [numbers for who, _, numbers in log if who == actor] for actor in (0, 1)}
    assert [len(numbers) for some in calls.values() for numbers in some if set(numbers) & {2, 3, 4, 5}] == [1] * 4
    (alone,) = [some for some in calls.values() if [4] in some]
    assert alone == [[4]]  # as much as all others together


def test_how_long_the_busiest_actor_trained(made):
    executor, _, _ = made(0)
    train(executor, None, units=2)
    assert executor.busy_s == 1.0
