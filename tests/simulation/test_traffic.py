import json
from dataclasses import replace

import numpy as np
import pytest

from raysim.method import Group
from raysim.simulation import rounds
from raysim.simulation.tally import Tally
from raysim.simulation.traffic import Traffic, traffic
from raysim.training.results import Broadcast


def test_bytes_add_up_by_client_and_by_group():
    sent = Traffic((3, 5))
    sent.count("a", [3, 5], 8, up=False)
    sent.count("a", [5], 8, up=True)
    sent.count("b", [5, 9], 100, up=True)  # 9 is not of the cohort
    assert (sent.down.tolist(), sent.up.tolist()) == ([8, 8], [0, 108])
    assert sent.groups == {"a": [16, 8], "b": [0, 100]}
    assert [column.tolist() for column in sent.of(np.array([5, 2, 9]))] == [[8, 0, 0], [108, 0, 0]]
    assert [column.tolist() for column in Traffic(()).of(np.array([5]))] == [[0], [0]]
    assert sent.total == (16, 108)


def test_a_group_goes_down_to_whom_it_reaches_and_up_from_who_sent_it(toy):
    class Far(toy.Pull):
        def modules(self, task):
            first = super().modules(task)["w"]
            return {"w": first, "far": Group(first.net, reaches=lambda client: client.id == 2)}

        def hears(self, client):
            return client.id == 0

    job = toy.job(toy.points([1], [2], [3]), Far)
    sent = traffic(job, Broadcast(0, 1, {}), (0, 2), {}, {"w": [0, 2], "far": [2]}, {}, shared=10)
    assert sent.groups == {"w": [8, 8], "far": [4, 4], "shared": [10, 0]}
    assert (sent.down.tolist(), sent.up.tolist()) == ([14, 8], [4, 8])


def test_controls_travel_too(toy):
    # The server's control of w is known from the second round on; client 1's control comes up without its weights.
    job = toy.job(toy.points([1], [2]), toy.Pull, algorithm="scaffold")
    first = traffic(job, Broadcast(0, 1, {}), (0, 1), {}, {"w": [0]}, {"w": [0, 1]})
    assert first.groups == {"w": [8, 12]}
    later = traffic(job, Broadcast(0, 2, {}, control={"w": None}), (0, 1), {}, {"w": [0, 1]}, {"w": [0, 1]})
    assert later.groups == {"w": [16, 16]}


def test_what_has_not_changed_is_not_sent_again(toy, monkeypatch):
    # Client 2 alone trains `w`, nobody `still`: `w` goes to two, two, one, one, two and none of the pairs below.
    class Rare(toy.Pull):
        def modules(self, task):
            first = super().modules(task)["w"]
            return {"w": first, "still": Group(type(first.net)(), reaches=lambda client: client.id > 0)}

        def phases(self, task):
            (phase,) = super().phases(task)
            (stage,) = phase.stages
            return (replace(phase, stages=(replace(stage, clients=lambda client: client.id == 2),)),)

    cohorts = ((0, 2), (0, 1), (0, 3), (1, 2), (1, 3), (1, 3))
    monkeypatch.setattr(rounds, "sample_cohort", lambda *args: cohorts[args[3] - 1])
    job = toy.job(toy.points([1], [2], [3], [4]), Rare, rounds=6, clients_per_round=2)
    tally = toy.run(job).tally
    assert tally.sent == {"w": [4 * 8, 4 * 2], "still": [4 * 3, 0]}
    assert tally.held == {"w": {1, 3}, "still": {1, 2, 3}}
    assert Tally(job, json.loads(json.dumps(tally.figures))).held == tally.held


def test_nobody_keeps_count_of_a_group_without_tensors(toy):
    tally = toy.run(toy.job(toy.data(), model={"dim": 4, "encoders": {}})).tally
    assert tally.held.keys() == {"task.image", "task.vector", "task.head"}
    assert tally.figures["held"] == {}


def test_what_the_server_trains_is_not_sent(toy):
    class Both(toy.Pull):
        server_trains = True

    job = toy.job(toy.points([1], [2], [9], public=True), Both)
    sent = traffic(job, Broadcast(0, 1, {}), (0, 1), {}, {"w": [0, 1, 2]}, {})
    assert sent.groups == {"w": [8, 8]}
    assert sent.up.tolist() == [4, 4]


@pytest.mark.parametrize(("reached", "down"), [(lambda client: True, 8), (lambda client: client.id == 1, 4)])
def test_a_client_has_no_network_that_it_does_not_download(toy, reached, down):
    class Peek(toy.Pull):
        def modules(self, task):
            first = super().modules(task)["w"]
            return {"w": first, "far": Group(type(first.net)(), reaches=reached)}

        def loss(self, nets, batch):
            assert ("far" in nets) is all(reached(c) for c in batch.clients)
            return super().loss(nets, batch)

        def predict(self, nets, batch):
            assert "far" in nets, "all is there at evaluation"
            return super().predict(nets, batch)

    simulation = toy.run(toy.job(toy.points([1], [2]), Peek, stack=1))
    assert simulation.tally.sent == {"w": [8, 8], "far": [down, 0]}
