"""Columns that a client computes in its first round of a phase and keeps."""

import numpy as np
import pytest
import torch

from raysim.method import Derive, Objective, Phase, Train


@pytest.fixture
def keeper(toy):
    """A method whose column is what each sample's value was when it was asked for first; it counts its calls."""

    class Keeper(toy.Pull):
        calls = 0

        def phases(self, task):
            def stage(name):
                derive = Derive(self.columns, every="phase")
                return Train(name, (Objective(("w",), self.loss),), derive=derive)

            return (Phase("first", (stage("pull"),), rounds=2), Phase("second", (stage("pull"),), rounds=2))

        def columns(self, nets, batch):
            type(self).calls += 1
            number = torch.arange(batch.rows.shape[-1]).expand(batch.rows.shape)
            return {"kept": batch.x["a"] + nets["w"].weight.unsqueeze(-2), "number": number}

        def loss(self, nets, batch):
            assert batch.columns["number"].dtype == torch.int64
            pull = nets["w"].weight.unsqueeze(-2) - batch.columns["kept"]
            return batch.mean(0.5 * pull.square().squeeze(-1))

    return Keeper


@pytest.mark.parametrize("stack", [1, 2])
def test_columns_are_computed_once_a_phase(toy, keeper, stack):
    # Phase one: columns are 1 and 3 (w is 0), so w goes to 2 and stays. Phase two: 3 and 5, so w goes to 4.
    data = toy.points([1, 1], [3])
    job = toy.job(data, keeper, stack=stack, optimizer={"lr": 1.0}, local_epochs=2)
    simulation = toy.run(job)
    assert job.stateful
    assert job.method.calls == (4 if stack == 1 else 2)
    kept = {n: v.tolist() for n, v in simulation.client_states[0].items()}
    assert kept == {
        "column/first/pull/kept": [[1.0], [1.0]], "column/first/pull/number": [0, 1],
        "column/second/pull/kept": [[pytest.approx(1 + 5 / 3)]] * 2, "column/second/pull/number": [0, 1],
    }  # fmt: skip
    np.testing.assert_allclose(simulation.x["w"], [10 / 3], rtol=1e-6)


def test_who_has_columns_keeps_them_beside_a_client_that_has_none(toy, keeper):
    job = toy.job(toy.points([1, 1], [3, 3]), keeper, stack=2)
    kept = {"kept": np.array([[1], [1]], np.float32), "number": np.arange(2)}
    states = {0: {f"column/first/pull/{name}": values for name, values in kept.items()}}
    (result,) = toy.train(job, states, size=2, x={"w": np.float32([5])})
    found = [result.states[k]["column/first/pull/kept"].tolist() for k in (0, 1)]
    assert found == [[[1.0], [1.0]], [[8.0], [8.0]]]
