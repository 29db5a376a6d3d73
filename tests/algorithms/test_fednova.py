"""From w the gradient of a client is w minus the mean of its batch; the paper's quadratic example is of this kind."""

from dataclasses import replace

import pytest

from raysim.algorithms.fednova import FedNova
from raysim.registry import options
from raysim.scenario.optimizer import Adam, Sgd

SIZES = (1, 4, 8)
VALUES = (1.0, 3.0, 9.0)


def uniform(toy):
    class Alike(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], weights="uniform")}

    return Alike


def run(toy, algorithm, rounds, optimizer, **settings):
    data = toy.points(*([v] * n for v, n in zip(VALUES, SIZES, strict=True)))
    job = toy.job(data, uniform(toy), algorithm=algorithm, rounds=rounds, optimizer=optimizer, batch_size=1, **settings)
    return toy.run(job).x["w"].item()


def weights(steps, momentum, rates):
    """How often each gradient of a client is in its change, in units of the rate: by unrolling its steps."""
    direction, moved = [0.0] * steps, [0.0] * steps
    for step in range(steps):
        direction = [momentum * d for d in direction]
        direction[step] += 1.0
        moved = [m + rates[step] * d for m, d in zip(moved, direction, strict=True)]
    return moved


def reference(rounds, lr, momentum, rates, *, normalised):
    """Averaging on numbers, and where it ends."""
    x = 0.0
    for _ in range(rounds):
        changes, norms = [], []
        for value, steps in zip(VALUES, SIZES, strict=True):
            w, direction = x, 0.0
            for step in range(steps):
                direction = momentum * direction + (w - value)
                w -= lr * rates(step, steps) * direction
            changes.append(w - x)
            norms.append(sum(weights(steps, momentum, [rates(s, steps) for s in range(steps)])))
        if normalised:
            effective = sum(norms) / len(norms)
            x += effective * sum(c / n for c, n in zip(changes, norms, strict=True)) / len(changes)
        else:
            x += sum(changes) / len(changes)
    return x


def test_one_round_by_hand(toy):
    # One step of 0.5 towards 2: change 1; two towards 4: change 3. They count 1 : 2, so tau_eff = 1/3 + 2/3 * 2 = 5/3,
    # and x = 5/3 (1/3 * 1 + 2/3 * 1.5) = 20/9.
    job = toy.job(toy.points([2], [4, 4]), toy.Pull, algorithm="fednova", optimizer={"lr": 0.5}, batch_size=1)
    assert toy.run(job).x["w"].tolist() == pytest.approx([20 / 9])


@pytest.mark.parametrize("stack", [1, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("schedule", ["constant", {"name": "warmup", "total_iters": 3}])
def test_it_is_the_papers_update(toy, momentum, schedule, stack):
    optimizer = {"lr": 0.1, "momentum": momentum, "local_schedule": schedule}
    local = Sgd.model_validate({"local_schedule": schedule}).local_schedule

    def rates(step, steps):
        return local.rate(1.0, step, steps)

    found = run(toy, "fednova", 3, optimizer, stack=stack)
    assert found == pytest.approx(reference(3, 0.1, momentum, rates, normalised=True), abs=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_plain_averaging_ends_elsewhere_and_fednova_at_the_true_optimum(toy, momentum):
    optimum = sum(VALUES) / 3
    optimizer = {"lr": 0.02 * (1 - momentum), "momentum": momentum}
    plain, nova = (run(toy, a, 60, optimizer, evaluation={"every_rounds": 60}) for a in ("fedavg", "fednova"))
    lengths = [sum(weights(steps, momentum, [1.0] * steps)) for steps in SIZES]
    surrogate = sum(n * v for n, v in zip(lengths, VALUES, strict=True)) / sum(lengths)
    assert plain == pytest.approx(surrogate, abs=0.2)
    assert nova == pytest.approx(optimum, abs=0.2)
    assert surrogate - optimum > 1.8


def test_equal_numbers_of_steps_are_fedavg(toy):
    data, settings = toy.points([1, 3], [4, 6]), {"optimizer": {"lr": 0.5, "momentum": 0.5}, "rounds": 3}
    plain, nova = (
        toy.run(toy.job(data, toy.Pull, algorithm=a, local_epochs=2, **settings)).x["w"] for a in ("fedavg", "fednova")
    )
    assert nova.tolist() == pytest.approx(plain.tolist(), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_what_scales_by_the_papers_formula(steps):
    nova, rho = FedNova(options(FedNova, {})), 0.9
    length = (steps - rho * (1 - rho**steps) / (1 - rho)) / (1 - rho)
    assert nova.scale(steps, Sgd(momentum=rho)) == pytest.approx(1 / length)
    assert nova.scale(steps, Sgd()) == pytest.approx(1 / steps)
    assert nova.scale(steps, Adam(name="adam")) == pytest.approx(1 / steps)


def test_buffers_and_groups_that_opt_out_are_not_scaled(toy):
    class Apart(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], algorithm=False)}

    job = toy.job(toy.points([2], [4, 4]), Apart, algorithm="fednova", optimizer={"lr": 0.5}, batch_size=1)
    assert toy.run(job).x["w"].tolist() == pytest.approx([1 / 3 + 2 / 3 * 3])
