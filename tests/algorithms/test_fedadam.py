import pytest

from raysim import registry


def test_two_rounds_by_hand(toy):
    # The change is 1, then 0.5 from x = 1. m = 0.5, v = 0.75 + 0.25, x = 4 * 0.5 / (1 + 1) = 1;
    # m = 0.25 + 0.25, v = 0.75 + 0.0625, x = 1 + 4 * 0.5 / (0.9013878 + 1).
    algorithm = {"name": "fedadam", "server_lr": 4.0, "beta1": 0.5, "beta2": 0.75, "tau": 1.0}
    simulation = toy.run(toy.job(toy.points([2]), toy.Pull, algorithm=algorithm, optimizer={"lr": 0.5}, rounds=2))
    assert simulation.x["w"].tolist() == pytest.approx([2.0518633])
    state = {n: t.item() for n, t in simulation.server_states["w"].items()}
    assert state == pytest.approx({"mean": 0.5, "second": 0.8125})


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_the_papers_defaults(name):
    kind = registry.find("algorithm", name)
    found = registry.options(kind, {})
    assert (found.beta1, found.beta2, found.tau) == (0.9, 0.99, 1e-3)
