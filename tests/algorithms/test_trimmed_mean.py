"""Robust means: one step of 0.5 from 0 changes a client by half of its value."""

import numpy as np
import pytest
import torch

from raysim.algorithms.base import Received
from raysim.algorithms.krum import Krum
from raysim.algorithms.median import Median
from raysim.algorithms.trimmed_mean import TrimmedMean
from raysim.registry import options

SGD = {"lr": 0.5}


def step(kind, updates, x=0.0, **said):
    """The server's step on changes (S, P)."""
    rows = torch.tensor(updates)
    start = torch.full(rows.shape[1:], x, dtype=torch.float64)
    shares = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
    received = Received(start, rows.double().mean(0), None, 0.1, shares, updates=rows)
    return kind(options(kind, said)).server(received, {})[0].tolist()


@pytest.mark.parametrize(("trim", "x"), [(0.0, 0.5 * 110 / 5), (0.1, 0.5 * 110 / 5), (0.2, 1.5), (0.49, 1.5)])
def test_the_trimmed_mean_of_a_federation(toy, trim, x):
    data = toy.points([0], [1], [3], [5, 5, 5], [101])
    job = toy.job(data, toy.Pull, algorithm={"name": "trimmed_mean", "trim": trim}, optimizer=SGD, batch_size=4)
    assert toy.run(job).x["w"].tolist() == pytest.approx([x])


def test_each_coordinate_is_trimmed_by_itself():
    updates = [[0.0, 9.0], [1.0, 1.0], [5.0, 2.0], [-7.0, 3.0]]
    assert step(TrimmedMean, updates, x=1.0, trim=0.25) == [1.5, 3.5]
    assert step(TrimmedMean, updates, trim=0.24) == [-0.25, 3.75]


@pytest.mark.parametrize(("updates", "middle"), [
    ([[5.0, 1.0]], [5.0, 1.0]),
    ([[5.0, 1.0], [6.0, -1.0]], [5.5, 0.0]),
    ([[5.0, 1.0], [6.0, -1.0], [900.0, 0.5]], [6.0, 0.5]),
    ([[5.0, 1.0], [6.0, -1.0], [900.0, 0.5], [8.0, 0.0]], [7.0, 0.25]),
])  # fmt: skip
def test_the_median(updates, middle):
    assert step(Median, updates) == middle
    assert step(Median, updates, x=1.0) == [m + 1 for m in middle]


def test_krum_takes_the_one_with_the_nearest_others():
    # With f = 1 of 5 the two nearest others count: 0 + 1, 1 + 1, 1 + 9, 9 + 16 ... so the second has the least.
    updates = [[0.0], [1.0], [2.0], [5.0], [100.0]]
    krum = Krum(options(Krum, {"byzantine": 1}))
    assert krum.scores(torch.tensor(updates)).tolist() == [5.0, 2.0, 5.0, 25.0, 95.0**2 + 98.0**2]
    assert step(Krum, updates, x=1.0) == [2.0]
    assert step(Krum, updates, keep=3) == [1.0]
    assert step(Krum, [[3.0, 4.0]]) == [3.0, 4.0]
    assert step(Krum, [[3.0], [5.0]]) == [3.0]


def test_an_attacker_moves_the_mean_and_not_the_others(toy):
    class Attacked(toy.Pull):
        def loss(self, nets, batch):
            return super().loss(nets, batch) * torch.where(batch.x["a"][..., 0, 0] == 7, -200.0, 1.0)

    data = toy.points([2], [2.1], [1.9], [2.05], [7])
    mean, *robust = (
        toy.run(toy.job(data, Attacked, algorithm=a, optimizer=SGD)).x["w"].item()
        for a in ("fedavg", "median", "krum", {"name": "trimmed_mean", "trim": 0.2})
    )
    assert mean < -100
    assert robust == pytest.approx([1.0, 1.0, 1.0], abs=0.1)


@pytest.mark.parametrize("algorithm", ["trimmed_mean", "median", "krum"])
def test_only_who_owns_a_group_counts_in_it(toy, algorithm):
    # Of two clients one lacks the image: its encoder takes the other's change as it is.
    data = toy.data((4, 4), absent=[(0, "image")])
    robust, plain = (toy.run(toy.job(data, algorithm=a)).x["task.image"] for a in (algorithm, "scaffold"))
    np.testing.assert_allclose(robust, plain, atol=1e-6)


@pytest.mark.parametrize("algorithm", ["trimmed_mean", "median", "krum"])
def test_a_client_that_is_skipped_is_not_there(toy, algorithm):
    data = toy.points([2], [4], [6], [np.inf])
    faults = {"on_invalid": "skip_client"}
    job = toy.job(data, toy.Pull, algorithm=algorithm, optimizer=SGD, faults=faults)
    assert toy.run(job).x["w"].tolist() == ([1.0] if algorithm == "krum" else [2.0])
