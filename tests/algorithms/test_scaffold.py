"""By hand: from w the gradient of a client is w minus the mean of its values; one step of 0.5 unless said otherwise."""

from dataclasses import replace

import numpy as np
import pytest

SGD = {"lr": 0.5}


def run(toy, clients, method=None, **federation):
    settings = {"algorithm": "scaffold", "optimizer": SGD, **federation}
    simulation = toy.run(toy.job(toy.points(*clients), method or toy.Pull, **settings))
    controls = {k: s["control/w"].tolist() for k, s in simulation.client_states.items()}
    return simulation.x["w"].tolist(), simulation.server_states["w"], controls


def test_the_first_round_leaves_each_client_its_gradient(toy):
    w, server, controls = run(toy, ([1, 3], [4]))
    assert w == [1.5]  # clients count alike: (1 + 2) / 2
    assert controls == {0: [-2.0], 1: [-4.0]}
    assert server["control"].tolist() == [-3.0]


@pytest.mark.parametrize("stack", [1, 2])
def test_the_second_round_moves_all_clients_alike(toy, stack):
    # -0.5 - 3 + 2 and -2.5 - 3 + 4 are both -1.5, so both go from 1.5 to 2.25.
    w, server, controls = run(toy, ([1, 3], [3, 5]), rounds=2, stack=stack)
    assert w == [2.25]
    assert controls == {0: [-0.5], 1: [-2.5]}
    assert server["control"].tolist() == [-1.5]


def test_a_client_that_was_left_out_counts_among_all_owners(toy):
    w, server, controls = run(toy, ([2], [4]), clients_per_round=1)
    (gradient,) = (c[0] for c in controls.values())
    assert gradient in (-2.0, -4.0)
    assert w == [-gradient / 2]
    assert server["control"].tolist() == [gradient / 2]


def test_under_momentum_a_control_is_still_the_mean_gradient(toy):
    # 0 -> 1 -> 2.4 with gradients -2 and -1, while (x - y) / (steps lr) would be -2.4.
    optimizer = {"lr": 0.5, "momentum": 0.9}
    w, _, controls = run(toy, ([1, 3],), optimizer=optimizer, local_epochs=2)
    assert w == pytest.approx([2.4])
    assert controls[0] == pytest.approx([-1.5])


def test_under_plain_sgd_a_control_is_the_papers_option_two(toy):
    w, _, controls = run(toy, ([1, 3],), local_epochs=3)
    assert controls[0] == pytest.approx([-w[0] / (3 * 0.5)])


@pytest.mark.parametrize("stack", [1, 2])
def test_the_mean_of_steps_by_hand(toy, benchmark, stack):
    # Round 1: 0, 1, 2.4 with v = -2, -2.8 towards 2, and twice that towards 4, so x = 3.6 and c = (-2.4 - 4.8) / 2.
    # Then towards 2, c - c_k = -1.2: v = 1.6, w = 3.6 - 0.5 (v - 1.2) = 3.4; v = 1.44 + 1.4, w = 3.4 - 0.5 (v - 1.2);
    # towards 4, c - c_k = 1.2: v = -0.4, w = 3.6 - 0.5 (v + 1.2) = 3.2; v = -0.36 - 0.8, w = 3.2 - 0.5 (v + 1.2).
    # By the formula the controls are -2.4 + 3.6 + (3.6 - 2.58) / (2 * 0.5) and -4.8 + 3.6 + (3.6 - 3.18) / (2 * 0.5).
    settings = {"optimizer": {"lr": 0.5, "momentum": 0.9}, "local_epochs": 2, "rounds": 2, "stack": stack}
    data = toy.points([1, 3], [3, 5])
    said = toy.job(data, toy.Pull, algorithm={"name": "scaffold", "control": "steps"}, **settings)
    for job in (said, benchmark(toy.job(data, toy.Pull, algorithm="scaffold", **settings))):
        simulation = toy.run(job)
        assert simulation.x["w"].tolist() == pytest.approx([(2.58 + 3.18) / 2])
        assert simulation.server_states["w"]["control"].tolist() == pytest.approx([(2.22 - 0.78) / 2], abs=1e-6)
        controls = {k: s["control/w"].tolist() for k, s in simulation.client_states.items()}
        assert controls == {0: pytest.approx([2.22]), 1: pytest.approx([-0.78])}


def reference(clients, rates):
    """Algorithm 1 with option II on numbers: the values and each client's rates, round by round.

    A control is c_k - c + (x - y_k) over the sum of the rates, which is the paper's K eta where they are the same.
    """
    x, c, own = 0.0, 0.0, [0.0] * len(clients)
    for round_ in rates:
        ys, new = [x] * len(clients), list(own)
        for k, value in enumerate(clients):
            for lr in round_[k]:
                ys[k] -= lr * (ys[k] - value - own[k] + c)
            new[k] = own[k] - c + (x - ys[k]) / sum(round_[k])
        x, c = sum(ys) / len(ys), c + sum(n - o for n, o in zip(new, own, strict=True)) / len(own)
        own = new
    return x, c, own


def check(toy, expected, **settings):
    w, server, controls = run(toy, ([2], [4, 4, 4]), **settings)
    assert w == pytest.approx([expected[0]], abs=1e-6)
    assert server["control"].tolist() == pytest.approx([expected[1]], abs=1e-6)
    assert [controls[k][0] for k in range(2)] == pytest.approx(expected[2], abs=1e-6)


@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize("control", ["gradient", "steps"])
def test_a_schedule_by_hand(toy, control, stack):
    # In batches of 2 two passes are 2 steps of the first client and 4 of the second, with the round's rate.
    optimizer = {"lr": 0.4, "schedule": {"name": "step", "step_size": 1, "gamma": 0.5}}
    expected = reference([2.0, 4.0], [([lr] * 2, [lr] * 4) for lr in (0.4, 0.2, 0.1)])
    algorithm = {"name": "scaffold", "control": control}
    check(toy, expected, algorithm=algorithm, optimizer=optimizer, local_epochs=2, rounds=3, stack=stack)


@pytest.mark.parametrize("stack", [1, 2])
def test_a_schedule_of_the_clients_steps_by_hand(toy, stack):
    # A cosine over a client's own steps: half the rate after half of them; the next round begins with half of all.
    optimizer = {"lr": 0.4, "schedule": {"name": "step", "step_size": 1, "gamma": 0.5}, "local_schedule": "cosine"}
    shares = [1.0, 0.5], [(1 + np.cos(np.pi * step / 4)) / 2 for step in range(4)]
    expected = reference([2.0, 4.0], [tuple([lr * s for s in each] for each in shares) for lr in (0.4, 0.2)])
    algorithm = {"name": "scaffold", "control": "steps"}
    check(toy, expected, algorithm=algorithm, optimizer=optimizer, local_epochs=2, rounds=2, stack=stack)


@pytest.mark.parametrize("control", ["gradient", "steps"])
@pytest.mark.parametrize(("optimizer", "rounds"), [({"lr": 0.1}, 3), ({"name": "adam", "lr": 0.01}, 1)])
def test_one_client_alone_is_fedavg(toy, optimizer, rounds, control):
    # c and c_k start from zero and stay equal, up to the grid of the sums, so nothing is corrected.
    data, corrected = toy.data((5,)), {"name": "scaffold", "control": control}
    plain, scaffold = (
        toy.run(toy.job(data, algorithm=a, optimizer=optimizer, rounds=rounds)).x for a in ("fedavg", corrected)
    )
    assert all(np.abs(plain[n] - scaffold[n]).max() < 1e-7 for n in plain)


@pytest.mark.parametrize("control", ["gradient", "steps"])
def test_a_group_that_opts_out_is_not_corrected(toy, control):
    class Apart(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], algorithm=False)}

    # 0 -> (1 + 2) / 2, then 1.5 -> (1.75 + 2.75) / 2.
    algorithm = {"name": "scaffold", "control": control}
    simulation = toy.run(toy.job(toy.points([2], [4]), Apart, algorithm=algorithm, optimizer=SGD, rounds=2))
    assert simulation.x["w"].tolist() == [2.25]
    assert simulation.client_states == {}
    assert simulation.server_states["w"] == {}


@pytest.mark.parametrize("control", ["gradient", "steps"])
def test_a_client_keeps_no_control_of_a_group_that_it_does_not_own(toy, control):
    algorithm = {"name": "scaffold", "control": control}
    job = toy.job(toy.data((3, 3), absent=[(0, "image")]), algorithm=algorithm, stack=2)
    states = toy.run(job).client_states
    assert "control/task.image" not in states[0]
    assert {"control/task.vector", "control/task.head"} <= states[0].keys()
    assert "control/task.image" in states[1]
