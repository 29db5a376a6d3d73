"""Under every algorithm a stack of clients trains as its clients would one after another, to rounding."""

import numpy as np
import pytest

from raysim import registry
from raysim.training.results import summed

SIZES = (4, 7, 5)  # 2, 3 and 2 steps in batches of 3
OTHER_FORMS = {
    "fedprox beside momentum": {"name": "fedprox", "mu": 0.5, "prox_in_momentum": False},
    "fedrs without bias": {"name": "fedrs", "alpha": 0.5, "drop_bias": True},
    "scaffold by steps": {"name": "scaffold", "control": "steps"},
}
ALGORITHMS = {e.name: {"name": e.name} for e in registry.listed("algorithm")} | OTHER_FORMS


@pytest.mark.parametrize("absent", [(), ((0, "image"),)], ids=["complete", "missing"])
@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_stacked_is_one_after_another(toy, algorithm, absent):
    optimizer = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    job = toy.job(
        toy.data(SIZES, absent=absent, classes=6), algorithm=algorithm, batch_size=3, local_epochs=2,
        optimizer=optimizer,
    )  # fmt: skip
    start = {"control": {n: np.full(job.layouts[n].size, 0.1, np.float32) for n in job.shared}}
    (stacked,), alone = (toy.train(job, size=size, **start) for size in (3, 1))
    for field in ("sums", "controls"):
        for name, vector in summed(alone, field).items():
            np.testing.assert_allclose(getattr(stacked, field)[name], vector, rtol=0, atol=1e-5, err_msg=name)
            assert np.abs(vector).max() > 1e-3
    assert (stacked.controls != {}) == job.algorithm.control
    updates, steps = ({c: u for r in alone for c, u in getattr(r, field).items()} for field in ("updates", "steps"))
    assert bool(updates) == job.algorithm.updates
    assert bool(steps) == job.algorithm.steps
    assert stacked.steps == steps
    assert stacked.updates.keys() == updates.keys()
    for client, groups in updates.items():
        assert stacked.updates[client].keys() == groups.keys()
        assert ("task.image" in groups) == ((client, "image") not in absent)
        for name, value in groups.items():
            np.testing.assert_allclose(stacked.updates[client][name], value, rtol=0, atol=1e-5, err_msg=name)
    states = {c: s for r in alone for c, s in r.states.items()}
    assert stacked.states.keys() == states.keys()
    for client, state in states.items():
        assert stacked.states[client].keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_allclose(stacked.states[client][name], value, rtol=0, atol=1e-5, err_msg=name)
