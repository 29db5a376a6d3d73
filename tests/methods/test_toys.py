"""The hooks, proven on methods whose every number can be done by hand.

Client k = 0..3 has two samples, both x = k + 1; the learning rate is 0.5 and a round is one step (an epoch one batch).
"""

import numpy as np
import pytest

from raysim.data.dataset import Dataset, Modality, Split


@pytest.fixture
def ones():
    """The data: x = 1, 2, 3, 4 for the four clients."""
    clients = np.repeat(np.arange(4), 2)
    split = Split({"x": (clients[:, None] + 1).astype(np.float32)}, np.zeros(8, dtype=np.int64), clients=clients)
    return Dataset({"x": Modality("vector", (1,))}, ("yes", "no"), False, split, split, split)


@pytest.fixture(params=[1, 4])
def play(request, toys, ones, make_job, new_run):
    """`play(name)`: a toy's run, of clients one after another and of a stack."""

    def make(name, **federation):
        federation = {"rounds": 2, "optimizer": {"name": "sgd", "lr": 0.5}} | federation
        return new_run(make_job(ones, f"toys:{name}", stack=request.param, federation=federation))

    return make


def values(run, name):
    """What each client keeps under this name."""
    return [run.states[k][name].item() for k in range(4)]


def test_objectives_alternate_and_a_private_group_stays_with_the_client(play):
    run = play("Gan").go(until=1)
    # The critic steps first, w = 0 - 0.5 (0 - x + 0) = x / 2, and the generator follows it, g = 0 + 0.5 w.
    assert values(run, "private/disc") == [0.5, 1.0, 1.5, 2.0]
    assert run.x["gen"].tolist() == [0.625]
    run.go()
    # w <- w - 0.5 (g - x + w) = 0.75 x - 0.3125, from each client's own w; g <- 0.625 + 0.5 * mean 1.5625.
    assert values(run, "private/disc") == [0.4375, 1.1875, 1.9375, 2.6875]
    assert run.x["gen"].tolist() == [1.40625]
    assert set(run.x) == {"gen"}
    assert [(r["bytes_down"], r["bytes_up"]) for r in run.records] == [(16, 16), (16, 16)]


def test_a_clients_state_persists_and_enters_the_loss(play):
    run = play("Diary").go(until=1)
    assert run.x["w"].tolist() == [1.25]
    run.go()
    # The target is count * x + mean = 2 x + 0.625, so w = 1.25 + 0.5 (2 x + 0.625 - 1.25) = x + 0.9375.
    assert run.x["w"].tolist() == [3.4375]
    assert values(run, "method/count") == [2.0] * 4
    assert values(run, "method/mean") == [0.625] * 4


def test_only_those_who_take_part_write_their_diary(play):
    run = play("Diary", rounds=5, clients_per_round=2).go(until=3)
    part = [[client for r in run.records for client in r["cohort"]].count(k) for k in range(4)]
    assert sum(part) == 6
    assert {k: s["method/count"].item() for k, s in run.states.items()} == {k: n for k, n in enumerate(part) if n}


def test_a_derived_column_holds_what_was_when_the_stage_began(play):
    run = play("Shift").go(until=1)
    # Two steps towards x: 0.75 x. Towards a target that moves along, it would be x.
    assert run.x["w"].tolist() == [1.875]
    assert run.go().x["w"].tolist() == [3.75]


def test_only_what_was_selected_is_sent_and_averaged(play):
    run = play("Auction").go(until=1)
    assert (run.x["w"].tolist(), run.x["v"].tolist()) == ([1.75], [0.5])
    run.go()
    assert (run.x["w"].tolist(), run.x["v"].tolist()) == ([2.625], [0.75])
    assert [r["bytes_up"] for r in run.records] == [12, 12]
    assert [r["bytes_down"] for r in run.records] == [32, 32]


def test_phases_follow_each_other_and_refresh_the_replicas(play):
    run = play("Relay").go(until=2)
    assert (run.x["a"].tolist(), run.x["b"].tolist()) == ([1.875], [0.0])
    run.go(until=3)
    assert (run.x["a"].tolist(), run.x["b"].tolist()) == ([0.9375], [0.9375])
    run.go()
    # b still follows 1.875, the a of the phase's start.
    assert (run.x["a"].tolist(), run.x["b"].tolist()) == ([0.46875], [1.40625])
    assert [r["phase"] for r in run.records] == ["first", "first", "second", "second"]
    assert ["test" in r for r in run.records] == [False, False, True, True]
    assert [r["bytes_up"] for r in run.records] == [16, 16, 32, 32]
