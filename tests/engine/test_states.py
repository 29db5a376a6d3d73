"""Clients' states that are fetched from other nodes, which may die. No Ray is started."""

from types import SimpleNamespace

import pytest
from ray.exceptions import ObjectLostError

from raysim.engine import membership, states
from raysim.engine.states import COPY_S, StateLost, fetched


@pytest.fixture
def store(monkeypatch):
    """Bundles by reference, which come at some time by a clock that only waits move; never, if that is not said."""
    made = SimpleNamespace(now=0.0, bundles={}, comes={}, dead=set(), looks=0)

    def wait(references, num_returns, timeout):
        made.now += timeout
        ready = [r for r in references if made.comes.get(r, 1e9) <= made.now]
        return ready, [r for r in references if r not in ready]

    def get(references, timeout):
        for reference in references:
            if isinstance(made.bundles[reference], Exception):
                raise made.bundles[reference]
        return [made.bundles[reference] for reference in references]

    def nodes():
        made.looks += 1
        return [{"NodeID": node, "Alive": node not in made.dead} for node in ("here", "a", "b")]

    ray = SimpleNamespace(wait=wait, get=get, nodes=nodes)
    monkeypatch.setattr(states, "_ray", ray)
    monkeypatch.setattr(membership, "_ray", ray)
    for module in (states, membership):
        monkeypatch.setattr(module, "this_node", lambda: "here")
        monkeypatch.setattr(module.time, "monotonic", lambda: made.now)
    return made


def test_what_lies_here_is_not_waited_for(store):
    store.bundles = {"r": {1: "x", 2: "y"}}
    assert fetched({1: ("r", "here"), 2: ("r", "here")}) == {1: "x", 2: "y"}
    assert (fetched({}), store.now, store.looks) == ({}, 0.0, 0)


def test_other_nodes_are_waited_for_while_they_live(store):
    store.bundles, store.comes = {"r": {1: "x"}, "s": {2: "y"}}, {"s": 30.0}
    assert fetched({1: ("r", "here"), 2: ("s", "a")}) == {1: "x", 2: "y"}
    assert store.now == 30.0


def test_nobody_waits_for_a_dead_node_but_maybe_for_a_copy(store):
    store.bundles, store.dead = {"r": {1: "x"}, "s": {2: "y"}}, {"a"}
    with pytest.raises(StateLost, match=r"^its node is dead$"):
        fetched({1: ("r", "here"), 2: ("s", "a")})
    assert store.now <= COPY_S + 2
    store.now, store.comes = 0.0, {"s": COPY_S}
    assert fetched({2: ("s", "a")}) == {2: "y"}


def test_time_limits_and_what_ray_says_itself(store):
    store.bundles, store.comes = {"s": ObjectLostError("00", None, "")}, {}
    with pytest.raises(StateLost, match=r"^not here within 5 s$"):
        fetched({2: ("s", "b")}, timeout_s=5.0)
    store.comes = {"s": 0.0}
    with pytest.raises(StateLost):
        fetched({2: ("s", "b")})


def test_a_node_that_joins_is_told_once(store):
    store.nodes = membership.Membership()
    seen = store.nodes.joined()
    store.now += 2
    store.dead.add("a")
    assert (seen, store.nodes.joined(), store.nodes.dead(["a", "b", "here", ""])) == (False, False, {"a"})
    membership._ray.nodes = lambda: [{"NodeID": node, "Alive": True} for node in ("here", "b", "c")]
    assert not store.nodes.joined()  # it looked just now
    store.now += 2
    assert (store.nodes.joined(), store.nodes.joined()) == (True, False)
