"""Calls, restarts and time limits, with actors that only say what they are told to. No Ray is started."""

from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError, ObjectLostError

from raysim.engine import crew as module
from raysim.engine.client import Hello, NotPrepared
from raysim.engine.crew import Answer, Broken, Call, Crew, Left
from raysim.engine.states import StateLost
from raysim.scenario.schema import Placement
from raysim.simulation.faults import Severed, TrialLost

NEVER, DEAD = "never", ActorDiedError()


class Reference:
    def __init__(self, value):
        self.value = value


class Actor:
    """Answers calls by its script; says hello with its newest token, or with what `hellos` holds.

    It lives on a node of its own, with its name, and is started again on a node `new`.
    """

    def __init__(self, name, *script, hellos=()):
        self.name, self.script, self.hellos = name, list(script), list(hellos)
        self.generation, self.prepared, self.killed = 0, [], []
        self.prepare, self.hello = (
            SimpleNamespace(options=lambda *, act=act, **_: SimpleNamespace(remote=act))
            for act in (self._prepare, self._hello)
        )

    def says(self):
        return Hello(f"{self.name}{self.generation}", cuda=False, node="new" if self.generation else self.name)

    def _hello(self):
        return Reference(self.hellos.pop(0) if self.hellos else self.says())

    def _prepare(self, arguments):
        self.prepared.append(arguments)
        return Reference((self.says(), True))

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

    def wait(references, timeout, num_returns=1):
        ready = [r for r in references if r.value is not NEVER][:num_returns]
        clock.now += 0 if ready else timeout
        return ready, [r for r in references if r not in ready]

    def get(reference, timeout):
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def kill(actor, no_restart=True):
        actor.killed.append(no_restart)
        actor.generation += not no_restart

    monkeypatch.setattr(module, "_ray", SimpleNamespace(wait=wait, get=get))
    monkeypatch.setattr(module, "ray", SimpleNamespace(kill=kill))
    monkeypatch.setattr(module, "this_node", lambda: "here")
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)

    def make(*actors, unit_timeout_s=5.0):
        limits = Placement(unit_timeout_s=unit_timeout_s, start_timeout_s=60.0)
        lost = set()
        away = {}  # node -> bytes that have not come there
        nodes = SimpleNamespace(
            dead=lambda asked, now=False: lost & set(asked), away=lambda needs, node: away.get(node, 0)
        )
        made = Crew([(a, a.says()) for a in actors], ("trial",), limits, nodes)
        made.clock, made.lost, made.away = clock, lost, away
        return made

    return make


def steps(crew, count=100, tick=1.0):
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
    a = Actor("a", NotPrepared(), "done", "more")
    made = crew(a)
    a.generation = 7
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
    began = made.clock.now
    assert steps(made) == [Left(1), Answer(1, call, "two"), Answer(1, other, "three")]
    assert made.clock.now - began == pytest.approx(module.BACK_S + 1)
    assert made.alive == [1]
    assert (a.killed, b.script) == ([], [])
    made.again(0, [Work()])  # what was the lost one's goes elsewhere
    assert len(list(made.open())) == 1
    b.script = [NEVER]
    made.clock.now += 60
    made.step(0.0)
    assert a.killed == [True]


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


def test_the_work_of_a_dead_node_is_taken_over_at_once(crew):
    a, b = Actor("a", NEVER, "later", hellos=[NEVER]), Actor("b", "one", "two", "three", "four")
    made = crew(a, b)
    call, next_ = Work(), Work()
    made.give(0, call)
    made.give(0, next_)
    made.give(1, Work())
    assert made.step(1.0).value == "one"
    began = made.clock.now
    made.lost.add("a")
    assert made.step(1.0) == Broken(0, call, late=False, gone=True)
    made.again(0, [call])
    assert steps(made) == [Answer(1, call, "two"), Answer(1, next_, "three")]
    assert made.clock.now == began + 1
    assert (made.alive, a.killed) == ([1], [])


def test_an_answer_that_is_half_there_when_its_node_dies_is_not_waited_for(crew):
    a, b = Actor("a", GetTimeoutError(), hellos=[NEVER]), Actor("b", "done")
    made = crew(a, b)
    call = Work()
    made.give(0, call)
    assert made.step(1.0) is None  # it is only late
    assert list(made.open()) == [call]
    made.lost.add("a")
    assert made.step(1.0) == Broken(0, call, late=False, gone=True)
    made.again(0, [call])
    assert steps(made) == [Answer(1, call, "done")]


@pytest.mark.parametrize("said", [DEAD, ObjectLostError("00", None, "")])
def test_what_ray_says_of_a_dead_node_is_known_as_that(crew, said):
    a, b = Actor("a", said, hellos=[NEVER]), Actor("b")
    made = crew(a, b)
    call = Work()
    made.give(0, call)
    made.lost.add("a")
    assert made.step(1.0) == Broken(0, call, late=False, gone=True)
    assert (made.alive, a.killed) == ([1], [])


def test_one_that_comes_back_on_another_node_has_its_share(crew):
    a, b = Actor("a", NEVER, "back", "more"), Actor("b", "one", "two")
    made = crew(a, b)
    call = Work()
    made.give(0, call)
    made.lost.add("a")
    a.generation = 1
    made.step(1.0)
    assert made.alive == [1]
    made.again(0, [call])
    for _ in range(3):
        made.give(1, Work())
    found = steps(made)
    assert {(s.actor, s.value) for s in found} == {(0, "back"), (0, "more"), (1, "one"), (1, "two")}
    assert (made.node(0), a.prepared) == ("new", ["trial"])


def test_the_last_one_keeps_its_calls_until_it_is_back(crew):
    a = Actor("a", NEVER, "done")
    made = crew(a)
    call = Work()
    made.give(0, call)
    made.step(0.0)
    made.lost.add("a")
    a.generation = 1
    assert made.step(1.0) == Broken(0, call, late=False, gone=True)
    made.again(0, [call])
    assert steps(made) == [Answer(0, call, "done")]


def test_one_that_joins_is_given_work_once_it_is_prepared(crew):
    a, b = Actor("a", "one", "two"), Actor("b", "three", "four")
    made = crew(a)
    b.generation = 1
    made.join(b)
    assert (made.alive, made.idle) == ([0], [0])
    for _ in range(4):
        made.give(0, Work())
    assert {(s.actor, s.value) for s in steps(made)} == {(0, "one"), (0, "two"), (1, "three"), (1, "four")}
    assert (made.alive, b.prepared) == ([0, 1], ["trial"])


def test_what_a_lost_round_leaves_under_way_is_waited_for(crew):
    a, b, c = Actor("a", NEVER), Actor("b", "one", StateLost("gone")), Actor("c", NEVER, hellos=[NEVER])
    made = crew(a, b, c)
    for actor in (0, 1, 2):
        made.give(actor, Work())
    assert made.step(1.0).value == "one"
    made.give(1, Work())
    with pytest.raises(TrialLost):
        made.step(1.0)
    made.lost.add("c")
    assert not made.quiet(3.0)
    assert made.clock.now == 100.0 + 3.0
    (call,) = made.open()
    call.refs[0].value = "at last"
    assert (made.quiet(3.0), made.alive, len(made.handles)) == (True, [0, 1], 3)


@pytest.mark.parametrize(
    ("node", "what"),
    [("a", "what client actor 1 needs has not come to its node"), ("here", "what client actor 1 answers has not come")],
)
def test_what_does_not_travel_between_nodes_that_are_there_ends_this_servers_trial(crew, node, what):
    """A link that was cut for a while may leave Ray waiting for ever for an object that nobody sends."""
    made = crew(Actor("a", NEVER), Actor("b", "done"), unit_timeout_s=600.0)
    made.away[node] = 500_000  # two seconds of the slowest link
    made.give(0, Work())
    made.give(1, Work())
    began = made.clock.now
    with pytest.raises(Severed, match=f"{what}.* for 4[34] s, though that is there"):
        steps(made)
    assert 43.0 <= made.clock.now - began <= 44.0


def test_what_travels_for_long_may_come(crew):
    made = crew(Actor("a", NEVER), unit_timeout_s=200.0)
    made.give(0, call := Work())
    made.away["a"] = 20_000_000
    assert [made.step(15.0) for _ in range(7)] == [None] * 7
    assert not call.arrived
    made.away.clear()
    assert made.step(15.0) is None
    assert call.arrived
    made.away["a"] = 1  # its copy may go while it works
    assert isinstance(steps(made)[0], Broken)  # late, as any other


def test_on_one_node_nothing_travels(crew):
    made = crew(Actor("here", NEVER), unit_timeout_s=200.0)
    made.away["here"] = 1
    made.give(0, Work())
    assert isinstance(steps(made, count=300)[0], Broken)
