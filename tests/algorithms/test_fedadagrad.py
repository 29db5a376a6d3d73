"""By hand: value 2, clients' steps of 0.5, so the mean change from x is (2 - x) / 2: 1 from 0, 0.5 from 1."""

import pytest

from raysim.simulation.executor import LocalExecutor
from raysim.simulation.simulation import Simulation

ADAPTIVE = ("fedadagrad", "fedadam", "fedyogi")
SGD = {"lr": 0.5}


def run(toy, rounds, **algorithm):
    job = toy.job(toy.points([2]), toy.Pull, algorithm=algorithm, optimizer=SGD, rounds=rounds)
    simulation = toy.run(job)
    return simulation.x["w"].item(), {n: t.item() for n, t in simulation.server_states["w"].items()}


def test_two_rounds_by_hand(toy):
    # v = 0.75^2 + 1 = 1.25^2, x = 2 * 1 / (1.25 + 0.75) = 1; v = 1.5625 + 0.25, x = 1 + 2 * 0.5 / (1.3462912 + 0.75).
    settings = {"name": "fedadagrad", "server_lr": 2.0, "tau": 0.75}
    assert run(toy, 1, **settings) == (1.0, {"mean": 1.0, "second": 1.5625})
    x, state = run(toy, 2, **settings)
    assert x == pytest.approx(1.4770328)
    assert state == {"mean": 0.5, "second": 1.8125}


def test_momentum_is_an_option(toy):
    # The mean is half as much at first, so with twice the rate x is 1 again, and then 0.25 + 0.25.
    x, state = run(toy, 2, name="fedadagrad", server_lr=4.0, beta1=0.5, tau=0.75)
    assert x == pytest.approx(1 + 4 * 0.5 / 2.0962912)
    assert state == {"mean": 0.5, "second": 1.8125}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_group_that_nobody_sent_is_left_alone(toy, name):
    data = toy.data((4, 4), absent=[(0, "image")])
    simulation = toy.simulation(toy.job(data, algorithm=name, rounds=6, clients_per_round=1))
    senders, x, states = set(), simulation.x, dict(simulation.server_states)
    for event in simulation.run():
        if type(event).__name__ == "RoundFinished":
            (client,) = event.record["cohort"]
            senders.add(client)
            for group in ("task.image", "task.vector"):
                left_alone = client == 0 and group == "task.image"
                assert (simulation.x[group] is x[group]) == left_alone
                assert (simulation.server_states.get(group) is states.get(group)) == left_alone
            x, states = simulation.x, dict(simulation.server_states)
    assert senders == {0, 1}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_its_state_survives_a_snapshot(toy, name):
    job = toy.job(toy.data((4, 3)), algorithm=name, rounds=3, checkpoint={"every_rounds": 1})
    first = toy.simulation(job)
    taken = []
    for _ in first.run():
        if first.snapshot is not None and first.snapshot.round not in [s.round for s in taken]:
            taken.append(first.snapshot)
    assert taken[0].round == 1
    second = Simulation(job, LocalExecutor(job), first.info, taken[0])
    for _ in second.run():
        pass
    for group in job.shared:
        assert second.x[group].tobytes() == first.x[group].tobytes()
        assert second.server_states[group].keys() == {"mean", "second"}
        for key, tensor in first.server_states[group].items():
            assert second.server_states[group][key].numpy().tobytes() == tensor.numpy().tobytes()
