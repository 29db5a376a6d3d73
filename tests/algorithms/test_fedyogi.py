import pytest


def test_two_rounds_by_hand(toy):
    # The change is 1, then 0.5 from x = 1. v starts at 0.25, below 1, and grows: v = 0.25 + 0.75 * 1, m = 0.5,
    # x = 3 * 0.5 / (1 + 0.5) = 1. Now v is above 0.25 and falls: v = 1 - 0.75 * 0.25, m = 0.5,
    # x = 1 + 3 * 0.5 / (0.9013878 + 0.5).
    algorithm = {"name": "fedyogi", "server_lr": 3.0, "beta1": 0.5, "beta2": 0.25, "tau": 0.5}
    simulation = toy.run(toy.job(toy.points([2]), toy.Pull, algorithm=algorithm, optimizer={"lr": 0.5}, rounds=2))
    assert simulation.x["w"].tolist() == pytest.approx([2.0703676])
    state = {n: t.item() for n, t in simulation.server_states["w"].items()}
    assert state == pytest.approx({"mean": 0.5, "second": 0.8125})
