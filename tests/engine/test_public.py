"""What the server does with samples of its own. Clients pull the number w to the mean of their values."""

import json

import numpy as np
import pytest
import torch

from raysim.data.dataset import DataError
from raysim.data.dealing import federate, public_rows
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation import rounds

FULL_STEP = {"optimizer": {"lr": 1.0}, "batch_size": 8}


def test_public_samples_are_complete_and_the_seed_s():
    present = np.ones((10, 2), dtype=bool)
    present[:4, 1] = False
    rows = public_rows(present, 3, seed=0)
    assert (len(rows), list(rows)) == (3, sorted(set(rows)))
    assert rows.min() >= 4
    assert public_rows(present, 0.35, seed=0).tolist() == rows.tolist()
    assert public_rows(present, 0, seed=0).tolist() == []
    with pytest.raises(DataError, match="7 public samples are wanted, 6 of 10 are complete; write at most 6"):
        public_rows(present, 7, seed=0)
    with pytest.raises(DataError, match="1 public samples are wanted, 0 of 4 are complete; use a method without"):
        public_rows(present[:4], 0.1, seed=0)
    assert public_rows(present[:0], 0, seed=0).tolist() == []


def test_no_client_has_a_public_sample(toy):
    class Both(toy.Pull):
        server_trains = True

    dataset = toy.data((4, 4)).dataset
    scenario = toy.job(toy.points([1], [2]), Both).scenario.model_copy(update={"public": 2})
    data = federate(dataset, scenario, 0, lambda mask, present: mask)
    assert (data.clients, data.eligible, data.public) == (2, 2, True)
    public = data.part(2)
    assert len(public) == 2
    assert sorted([*data.part(0), *data.part(1), *public]) == list(range(8))
    assert (data.info(2).server, data.info(2).samples, data.info(1).server) == (True, 2, False)


@pytest.mark.parametrize(("server", "w"), [(False, 2.0), (True, 4.0)])
def test_the_server_trains_as_one_more_client(toy, server, w):
    # Clients of two samples pull to 1 and 3, the server's two to 8.
    class Maybe(toy.Pull):
        server_trains = server

    job = toy.job(toy.points([1, 1], [3, 3], [8, 8], public=True), Maybe, **FULL_STEP)
    simulation = toy.run(job)
    assert simulation.x["w"].tolist() == [w]
    assert simulation.tally.sent == {"w": [8, 8]}


def test_the_server_is_never_sampled(toy):
    job = toy.job(toy.points([1], [2], [3], [9], public=True), toy.Pull, clients_per_round=2)
    cohorts = {rounds.sample_cohort(job.data, job.scenario.federation, 0, r) for r in range(30)}
    assert cohorts == {(0, 1), (0, 2), (1, 2)}


def test_what_the_server_shares_reaches_training_and_evaluation(toy):
    # w is pulled to the public mean plus the w that the server shared, which is the global one: 6, then 6 + 6.
    class Told(toy.Pull):
        def share(self, nets, batch):
            assert not batch.clients
            return {"sum": batch.x["a"] + nets["w"].weight}

        def loss(self, nets, batch):
            return batch.mean(0.5 * (nets["w"].weight - batch.shared["sum"].mean()).square().expand(batch.rows.shape))

        def predict(self, nets, batch):
            assert batch.shared["sum"].tolist() == [[4.0 + float(nets["w"].weight)], [8.0 + float(nets["w"].weight)]]
            assert batch.public.take("a", torch.tensor([[1, 0]])).tolist() == [[[8.0], [4.0]]]
            return super().predict(nets, batch)

    data = toy.points([1, 1], [3], [4, 8], public=True)
    job = toy.job(data, Told, rounds=2, evaluation_batch=1, **FULL_STEP)
    simulation = toy.run(job)
    assert simulation.x["w"].tolist() == [12.0]
    assert simulation.tally.sent == {"w": [16, 16], "shared": [32, 0]}


def test_other_weights(toy):
    class Half(toy.Pull):
        def reweight(self, group, shares, clients):
            assert (group, dict(shares)) == ("w", {0: 0.75, 1: 0.25})
            assert [clients[c].samples for c in clients] == [3, 1]
            return {0: 0.5, 1: 0.5}

    job = toy.job(toy.points([1, 1, 1], [5]), Half, **FULL_STEP)
    assert toy.run(job).x["w"].tolist() == [3.0]


@pytest.mark.parametrize("wrong", [{0: 1.0}, {0: 0.9, 1: 0.2}, {0: 1.5, 1: -0.5}])
def test_weights_that_do_not_add_up_are_refused(toy, wrong):
    class Odd(toy.Pull):
        def reweight(self, group, shares, clients):
            return wrong

    job = toy.job(toy.points([1], [5]), Odd)
    with pytest.raises(ValueError, match="reweight must give shares of 'w' for the same clients that add up to 1"):
        rounds.shares(job, job.phases[0], (0, 1))


def test_a_method_that_needs_public_samples_says_so(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "sharing_toy.py").write_text(
        "from raysim.method import Method\n\n\nclass Shares(Method):\n    server_trains = True\n"
    )
    settings = {"name": "a", "dataset": "polydigits", "partition": {"name": "iid", "clients": 4},
                "method": "sharing_toy:Shares", "federation": {"rounds": 1}}  # fmt: skip
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps(settings))
    with pytest.raises(ScenarioError, match=r"needs public samples at the server; write for example public: 0\.1"):
        check(load(path)[0])
    path.write_text(json.dumps({**settings, "public": 0.1}))
    check(load(path)[0])
