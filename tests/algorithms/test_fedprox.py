"""By hand: the gradient of w is w minus 2, the mean of the client's values, in two or three steps of 0.5 from 0."""

from dataclasses import replace

import pytest

MOMENTUM = {"lr": 0.5, "momentum": 0.9}
ADAM = {"name": "adam", "lr": 0.1}


def job(toy, method=None, clients=((1, 3),), optimizer=MOMENTUM, local_epochs=3, rounds=1, stack=1, **algorithm):
    algorithm = {"name": "fedprox", "mu": 0.1} | algorithm
    settings = {"optimizer": optimizer, "local_epochs": local_epochs, "rounds": rounds, "stack": stack}
    return toy.job(toy.points(*clients), method or toy.Pull, algorithm=algorithm, **settings)


def run(toy, *args, **settings):
    return toy.run(job(toy, *args, **settings)).x["w"].tolist()


@pytest.mark.parametrize(
    "optimizer",
    [{"lr": 0.1}, {"lr": 0.1, "momentum": 0.9}, {"name": "adam", "lr": 0.1}],
    ids=["sgd", "momentum", "adam"],
)
def test_every_optimiser_ends_where_the_local_objective_is_least(toy, optimizer):
    # 0.5 (w - 1)^2 + 0.5 w^2 is least at 0.5. Beside momentum it would end at 0.909, beside Adam's scaling at 0.875.
    found = run(toy, clients=((1,),), optimizer=optimizer, local_epochs=400, mu=1.0)
    assert found == pytest.approx([0.5], abs=2e-4)


def test_beside_the_momentum_it_holds_a_tenth_as_hard(toy):
    momentum = {"clients": ((1,),), "optimizer": {"lr": 0.1, "momentum": 0.9}, "local_epochs": 400}
    assert run(toy, mu=1.0, prox_in_momentum=False, **momentum) == pytest.approx([1 / 1.1], abs=2e-4)


def test_in_the_momentum_by_hand(toy):
    # v = -2, w = 1; v = -2.8 + 0.1 = -2.7, w = 2.35; v = -2.43 + 0.35 + 0.235 = -1.845, w = 2.35 + 0.9225.
    assert run(toy) == pytest.approx([3.2725])


def test_beside_the_momentum_by_hand(toy):
    # v = -2, w = 1; v = -1.8 - 1 = -2.8, w = 1 - 0.5 (v + 0.1) = 2.35; v = -2.52 + 0.35, w = 2.35 - 0.5 (v + 0.235).
    assert run(toy, prox_in_momentum=False) == pytest.approx([3.3175])


@pytest.mark.parametrize("in_momentum", [False, True])
def test_the_anchor_is_where_the_round_started(toy, in_momentum):
    # Both forms agree in two steps, as the first has no proximal term. The first round ends at 2.35. In the second
    # v = 0.35, w = 2.175; v = 0.315 + 0.175 = 0.49, w = 2.175 - 0.5 (0.49 - 0.1 * 0.175).
    assert run(toy, local_epochs=2, rounds=2, prox_in_momentum=in_momentum) == pytest.approx([1.93875])


@pytest.mark.parametrize("stack", [1, 2])
def test_clients_of_a_stack_are_held_near_the_same_start(toy, stack):
    # Plain steps of 0.5: 0, 1, 1.5 - 0.05 towards 2 and twice that towards 4.
    plain = {"clients": ((1, 3), (3, 5)), "optimizer": {"lr": 0.5}, "local_epochs": 2, "stack": stack}
    assert run(toy, **plain) == pytest.approx([(1.45 + 2.9) / 2])
    assert run(toy, prox_in_momentum=True, **plain) == pytest.approx([(1.45 + 2.9) / 2])


@pytest.mark.parametrize(("in_momentum", "w"), [(False, 0.1898335), (True, 0.1995878)])
def test_under_adam_the_pull_is_beside_the_adaptive_step_or_in_the_gradient(toy, in_momentum, w):
    # Gradients -2, then -1.9: 0.1 and 0.0998335 by Adam alone, the pull takes 0.1 * 0.1 away. With it in the gradient,
    # -1.8: means -0.36 / 0.19, squares 0.007236 / 0.001999, so 0.0995878.
    assert run(toy, optimizer=ADAM, local_epochs=2, mu=1.0, prox_in_momentum=in_momentum) == pytest.approx([w])


def test_a_group_that_opts_out_is_not_held(toy):
    class Apart(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], algorithm=False)}

    # v = -2, -2.8, -2.52 + 0.4: 0, 1, 2.4, 3.46.
    for in_momentum in (False, True):
        assert run(toy, Apart, prox_in_momentum=in_momentum) == pytest.approx([3.46])


@pytest.mark.parametrize("in_momentum", [False, True])
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=["sgd", "adam"])
def test_without_a_proximal_term_it_is_fedavg(toy, optimizer, in_momentum):
    data = toy.data((5, 3), absent=[(0, "image")])
    prox = {"name": "fedprox", "mu": 0.0, "prox_in_momentum": in_momentum}
    settings = {"optimizer": optimizer, "rounds": 2, "stack": 2}
    found, plain = (toy.run(toy.job(data, algorithm=a, **settings)).x for a in (prox, "fedavg"))
    assert all(found[n].tobytes() == plain[n].tobytes() for n in plain)


def test_the_benchmark_has_the_same_form(toy, benchmark):
    assert toy.run(benchmark(job(toy))).x["w"].tolist() == pytest.approx([3.2725])
