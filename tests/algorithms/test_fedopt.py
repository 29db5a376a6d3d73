from dataclasses import replace

import numpy as np
import pytest

SGD = {"lr": 0.5}


def test_two_rounds_by_hand_with_a_momentum_that_persists(toy):
    # Value 2, from 0: y = 1, D = -2, V = -2, x = 0.2; then y - x = 0.9, D = -1.8, V = -3.6, x = 0.56.
    algorithm = {"name": "fedopt", "server_lr": 0.1, "momentum": 0.9}
    simulation = toy.run(toy.job(toy.points([2]), toy.Pull, algorithm=algorithm, optimizer=SGD, rounds=2))
    assert simulation.x["w"].tolist() == pytest.approx([0.56])
    assert simulation.server_states["w"]["velocity"].tolist() == pytest.approx([-3.6])


def test_without_momentum_at_the_clients_rate_it_is_fedavg(toy):
    algorithm = {"name": "fedopt", "server_lr": 0.1, "momentum": 0.0}
    data = toy.data((5, 3))
    opt, plain = (toy.run(toy.job(data, algorithm=a, optimizer={"lr": 0.1}, rounds=2)).x for a in (algorithm, "fedavg"))
    assert all(np.abs(opt[n] - plain[n]).max() < 1e-7 for n in plain)


def test_the_mean_change_is_divided_by_the_rounds_rate(toy):
    # Value 2, no momentum: D is -2, then -1.6, whatever the rate was that the client's one step had.
    algorithm = {"name": "fedopt", "server_lr": 0.2, "momentum": 0.0}
    optimizer = {"lr": 0.5, "schedule": {"name": "step", "step_size": 1}}
    simulation = toy.run(toy.job(toy.points([2]), toy.Pull, algorithm=algorithm, optimizer=optimizer, rounds=2))
    assert simulation.x["w"].tolist() == pytest.approx([0.2 * 2 + 0.2 * 1.6])


def test_a_group_that_opts_out_takes_the_plain_mean(toy):
    class Apart(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], algorithm=False)}

    simulation = toy.run(toy.job(toy.points([2]), Apart, algorithm="fedopt", optimizer=SGD))
    assert simulation.x["w"].tolist() == [1.0]
