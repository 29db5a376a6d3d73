"""By hand: a client's gradient is w minus its value, so a step takes w a share of the way, which is the rate."""

import pytest
import torch

from raysim.method import Objective, Phase, Sgd, Train
from raysim.scenario.schedule import Constant, Cosine, Step, Warmup
from raysim.training.rates import Rates

HALVED = {"name": "step", "step_size": 1, "gamma": 0.5}


def reached(toy, method=None, value=1.0, **settings):
    job = toy.job(toy.points([value]), method or toy.Pull, **settings)
    return toy.run(job).x["w"].item()


def walked(rates, value=1.0, w=0.0):
    for lr in rates:
        w += lr * (value - w)
    return pytest.approx(w, abs=1e-6)


def test_rounds_have_rates(toy):
    optimizer = {"lr": 0.4, "schedule": HALVED}
    assert reached(toy, optimizer=optimizer, rounds=3, local_epochs=2) == walked([0.4, 0.4, 0.2, 0.2, 0.1, 0.1])


def test_steps_have_rates_and_begin_anew_each_round(toy):
    optimizer = {"lr": 0.4, "schedule": HALVED, "local_schedule": {"name": "warmup", "total_iters": 2}}
    found = reached(toy, optimizer=optimizer, rounds=2, local_epochs=3)
    third = [0.4 / 3, 0.4 * 2 / 3, 0.4]
    assert found == walked([*third, *(lr / 2 for lr in third)])


def test_each_phase_begins_anew_and_has_its_own_length(toy):
    class Two(toy.Pull):
        def phases(self, task):
            (only,) = super().phases(task)
            return (Phase("first", only.stages, rounds=4), only)

    def cosine(n):
        return [0.4 * Cosine(name="cosine").rate(1.0, at, n) for at in range(n)]

    optimizer = {"lr": 0.4, "schedule": "cosine"}
    assert reached(toy, Two, optimizer=optimizer, rounds=2) == walked([*cosine(4), *cosine(2)])


def test_a_methods_own_optimiser(toy):
    class Own(toy.Pull):
        def phases(self, task):
            own = Sgd(lr=0.4, schedule=Step(**HALVED), local_schedule=Step(name="step", step_size=1))
            return (Phase("train", (Train("pull", (Objective(("w",), self.loss, own),)),)),)

    assert reached(toy, Own, optimizer={"lr": 0.9}, rounds=2, local_epochs=2) == walked([0.4, 0.04, 0.2, 0.02])


def test_moments_that_persist_and_a_schedule_are_torchs(toy):
    # Rounds of one step: torch's optimiser and scheduler, stepped in each round.
    optimizer = {"name": "adamw", "lr": 0.1, "weight_decay": 0.5, "persistent": True, "schedule": "cosine"}
    w = torch.zeros(1, requires_grad=True)
    theirs = torch.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 20)
    for _ in range(20):
        w.grad = w.detach() - 1
        theirs.step()
        scheduler.step()
    assert reached(toy, optimizer=optimizer, rounds=20) == pytest.approx(w.item(), abs=1e-6)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_a_schedule_that_says_constant_changes_no_bit(toy, kind):
    data, optimizer = toy.data((5, 3)), {"name": kind, "lr": 0.01}
    found = [
        toy.run(toy.job(data, optimizer=o, rounds=2, stack=2)).x
        for o in (optimizer, {**optimizer, "schedule": "constant", "local_schedule": {**HALVED, "gamma": 1.0}})
    ]
    assert all((found[0][n] == found[1][n]).all() for n in found[0])


def test_clients_with_unlike_numbers_of_steps_have_rates_of_their_own():
    rates = Rates(Cosine(name="cosine"), 0.4, (4, 2, 2), torch.device("cpu"))
    assert rates.at(0, 3) == 0.4
    assert rates.at(1, 3).tolist() == pytest.approx([0.2 * (1 + 2**-0.5), 0.2, 0.2])
    assert rates.at(2, 1) == pytest.approx(0.2)
    assert rates.mean(3).tolist() == pytest.approx([0.25, 0.3, 0.3])
    assert rates.mean(1) == pytest.approx(0.25)


@pytest.mark.parametrize("schedule", [Constant(), Warmup(name="warmup"), Step(name="step", step_size=1)], ids=repr)
def test_one_rate_where_it_does_not_hang_on_the_number_of_steps(schedule):
    rates = Rates(schedule, 0.4, (4, 2, 2), torch.device("cpu"))
    assert rates.at(1, 3) == schedule.rate(0.4, 1, 4)
