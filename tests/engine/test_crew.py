"""Calls, restarts and time limits, with actors that only say what they are told to. No Ray is started."""

from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, ObjectLostError

from raysim.engine import crew as module
from raysim.engine.client import Hello, NotPrepared
from raysim.engine.crew import Answer, Broken, Call, Crew, Left
from raysim.engine.states import StateLost
from raysim.scenario.schema import Placement
from raysim.simulation.faults import TrialLost

NEVER, DEAD = "never", ActorDiedError()


class Reference:
    def __init__(self, value):
        self.value = value


class Actor:
    """Answers calls by its script; says hello with its newest token, or with what `hellos` holds."""

    def __init__(self, name, *script, hellos=()):
        self.name, self.script, self.hellos = name, list(script), list(hellos)
        self.generation, self.prepared, self.killed = 0, [], []
        self.prepare = SimpleNamespace(remote=self.prepared.append)
        self.hello = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._hello))

    def _hello(self):
        return Reference(self.hellos.pop(0) if self.hellos else Hello(f"{self.name}{self.generation}", cuda=False))

    def work(self):
        value = self.script.pop(0)
        if value is DEAD:
            self.generation += 1
        return Reference(value)


class Work(Call):
    def send(self, actor):
        return [actor.work()]


@pytest.fixture
def crew(monkeypatch):
    """Makes a crew of actors; its clock stands still but for waits, which take as long as they may."""
    clock = SimpleNamespace(now=100.0)

    def wait(references, timeout):
        ready = [r for r in references if r.value is not NEVER]
        clock.now += 0 if ready else timeout
        return ready[:1], references

    def get(reference):
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def kill(actor, no_restart=True):
        actor.killed.append(no_restart)
        actor.generation += not no_restart

    monkeypatch.setattr(module, "_ray", SimpleNamespace(wait=wait, get=get))
    monkeypatch.setattr(module, "ray", SimpleNamespace(kill=kill))
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)

    def make(*actors):
        limits = Placement(unit_timeout_s=5.0, start_timeout_s=20.0)
        made = Crew(actors, [Hello(f"{a.name}0", cuda=False) for a in actors], ("trial",), limits)
        made.clock = clock
        return made

    return make


def steps(crew, count=50, tick=1.0):
    """What happens until nothing is open any more."""
    found = []
    while any(crew.open()):
        assert (count := count - 1) >= 0
        step = crew.step(tick)
        found += [] if step is None else [step]
    return found


def test_each_actor_has_one_call_at_a_time(crew):
    a, b = Actor("a", "one", "two"), Actor("b", "three")
    made = crew(a, b)
    made.give(0, Work())
    made.give(0, Work())
    made.give(1, Work())
    assert made.idle == []
    first = made.step(1.0)
    assert (first.value, a.script, b.script) == ("one", ["two"], [])
    assert {s.value for s in steps(made)} == {"two", "three"}
    assert made.idle == [0, 1]


def test_a_dead_actor_is_prepared_again_before_it_goes_on(crew):
    a = Actor("a", DEAD, "done", "next")
    made = crew(a)
    call = Work()
    made.give(0, call)
    made.give(0, Work())
    broken = made.step(1.0)
    assert (broken, broken.late) == (Broken(0, call, late=False), False)
    assert made.idle == []
    made.again(0, [call])
    assert [s.value for s in steps(made)] == ["done", "next"]
    assert a.prepared == ["trial"]


def test_one_that_ray_has_started_again_meanwhile_is_prepared(crew):
    a = Actor("a", NotPrepared("a7"), "done", "more")
    made = crew(a)
    call = Work()
    made.give(0, call)
    assert made.step(1.0) == Broken(0, call, late=False)
    made.again(0, [call])
    assert [s.value for s in steps(made)] == ["done"]
    assert (a.prepared, a.killed) == (["trial"], [])
    a.hellos = [Hello("a7", cuda=False), Hello("a8", cuda=False)]  # that was the process then, which is to end now
    made.restart(0)
    made.give(0, Work())
    assert [s.value for s in steps(made)] == ["more"]
    assert a.hellos == []


def test_a_process_that_is_about_to_end_is_not_taken_for_the_new_one(crew):
    a = Actor("a", "done", hellos=[Hello("a0", cuda=False), Hello("a0", cuda=False)])
    made = crew(a)
    made.restart(0)
    made.give(0, Work())
    assert [s.value for s in steps(made)] == ["done"]
    assert (a.killed, a.prepared, a.hellos) == ([False], ["trial"], [])


def test_a_late_call_is_broken_and_its_actor_started_again(crew):
    a, b = Actor("a", NEVER, "done"), Actor("b", "quick")
    made = crew(a, b)
    call = Work()
    made.give(0, call)
    made.give(1, Work())
    quick, broken = steps(made)
    assert (quick.value, broken) == ("quick", Broken(0, call, late=True))
    assert made.clock.now == pytest.approx(106)
    assert a.killed == [False]
    made.again(0, [call])
    assert [s.value for s in steps(made)] == ["done"]


def test_others_take_over_from_an_actor_that_does_not_come_back(crew):
    a, b = Actor("a", DEAD, hellos=[NEVER]), Actor("b", "one", "two", "three")
    made = crew(a, b)
    call = Work()
    made.give(0, call)
    made.give(1, Work())
    broken, one = made.step(1.0), made.step(1.0)
    assert isinstance(broken, Broken)
    assert one.value == "one"
    other = Work()
    made.again(0, [call, other])
    assert steps(made) == [Left(1), Answer(1, call, "two"), Answer(1, other, "three")]
    assert made.alive == [1]
    assert a.killed == [True]
    assert b.script == []
    made.again(0, [Work()])  # what was the lost one's goes elsewhere
    assert len(list(made.open())) == 1


def test_one_that_ray_gives_up_leaves_at_once(crew):
    a, b = Actor("a", DEAD, hellos=[DEAD]), Actor("b")
    made = crew(a, b)
    made.give(0, Work())
    assert [type(s) for s in (made.step(1.0), made.step(1.0))] == [Broken, Left]
    assert made.clock.now == 100.0


def test_without_any_actor_the_trial_is_lost(crew):
    made = crew(Actor("a", DEAD, hellos=[NEVER]))
    made.give(0, Work())
    made.step(1.0)
    made.give(0, Work())
    with pytest.raises(TrialLost, match=r"^no client actor is left$"):
        steps(made)


def test_a_state_that_is_lost_loses_the_trial(crew):
    made = crew(Actor("a", StateLost("gone")))
    made.give(0, Work())
    with pytest.raises(TrialLost, match=r"^a client's private state is lost with the node that kept it$"):
        made.step(1.0)


def test_an_answer_that_is_lost_is_asked_for_again(crew):
    a = Actor("a", ObjectLostError("00", None, ""), "done")
    made = crew(a)
    call = Work()
    made.give(0, call)
    assert made.step(1.0) == Broken(0, call, late=False)
    made.again(0, [call])
    assert [s.value for s in steps(made)] == ["done"]
    assert a.killed == [False]
