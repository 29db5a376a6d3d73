"""A unit that does not fit the device's memory is trained in parts."""

import numpy as np
import pytest
import torch

from raysim.report.events import RoundFinished, TrialFinished, Warned
from raysim.simulation.simulation import Simulation
from raysim.training.results import ClientFailure, summed
from raysim.training.trainer import Trainer
from raysim.training.units import Unit, halves


def short_of(toy, most):
    """The toy method on a device that holds `most` clients."""

    calls = []

    class Narrow(toy.Pull):
        def loss(self, nets, batch):
            clients = len(batch.clients)
            calls.append(clients)
            if clients > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().loss(nets, batch)

    Narrow.calls = calls
    return Narrow


def test_halves():
    first, second = halves(Unit(3, (7, 8, 9), {"a": (0.1, 0.2, 0.7)}))
    assert (first.clients, second.clients) == ((7,), (8, 9))
    assert (first.weights, second.weights) == ({"a": (0.1,)}, {"a": (0.2, 0.7)})
    assert (first.index, second.index) == (3, 3)


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_a_unit_in_parts_gives_what_the_whole_gives(toy, algorithm):
    data = toy.points([1], [2], [3], [4], [5])
    whole = toy.train(toy.job(data, toy.Pull, algorithm=algorithm), size=5)
    method = short_of(toy, 2)
    (result,) = toy.train(toy.job(data, method, algorithm=algorithm), size=5)
    assert result.deviation
    assert not whole[0].deviation
    assert method.calls == [5, 2, 3, 1, 2]
    assert [r.client for r in result.reports] == [0, 1, 2, 3, 4]
    assert result.states.keys() == whole[0].states.keys()
    for field in ("sums", "controls"):
        for name, vector in summed(whole, field).items():
            np.testing.assert_allclose(summed([result], field)[name], vector, rtol=0, atol=1e-6)


def test_what_did_not_fit_is_not_tried_again(toy):
    method = short_of(toy, 2)
    job = toy.job(toy.points([1], [2], [3], [4]), method)
    trainer, unit = Trainer(job), Unit(0, (0, 1, 2, 3), {"w": (0.25,) * 4})
    trainer.train(toy.broadcast(job), unit, {})
    method.calls.clear()
    trainer.train(toy.broadcast(job), unit, {})
    assert method.calls == [2, 2]


def test_one_client_that_does_not_fit_fails_with_a_remedy(toy):
    job = toy.job(toy.points([1], [2]), short_of(toy, 0))
    with pytest.raises(
        ClientFailure, match=r"round 1, client 0, .* does not fit the device's memory; lower federation"
    ):
        toy.train(job, size=2)


def test_the_user_is_told_once_and_the_trial_is_marked(toy):
    job = toy.job(toy.points([1], [2], [3], [4]), short_of(toy, 2), rounds=2, stack=4)
    simulation: Simulation = toy.simulation(job)
    events = [e for e in simulation.run() if isinstance(e, Warned | RoundFinished | TrialFinished)]
    assert [type(e) for e in events] == [Warned, RoundFinished, RoundFinished, TrialFinished]
    assert "round 1: a stack did not fit the device's memory" in events[0].text
    assert events[-1].summary["bit_comparable"] is False


def test_an_evaluation_that_does_not_fit_names_its_setting(toy):
    class Wide(toy.Pull):
        def predict(self, nets, batch):
            raise torch.OutOfMemoryError

    job = toy.job(toy.points([1]), Wide)
    with pytest.raises(ClientFailure, match=r"1 rows do not fit .* lower numerics.evaluation_batch"):
        Trainer(job).predict(toy.broadcast(job), "test", 0, 1)
