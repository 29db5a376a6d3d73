import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from raysim.method import Compute, Derive, Group, Method, Objective, Phase, Train
from raysim.models.layers import Linear
from raysim.scenario.optimizer import Adam
from raysim.training.results import ClientFailure

HARD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}


@pytest.mark.parametrize("optimizer", [HARD, {"name": "adam", "weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_a_group_that_a_client_does_not_own_stays_as_it_is(toy, optimizer, algorithm):
    data = toy.data((4, 4), absent=[(0, "image")])
    job = toy.job(data, optimizer=optimizer, algorithm=algorithm, local_epochs=2)
    alone, _ = toy.changes(job, 0)
    assert "task.image" in alone
    assert not alone["task.image"].any()
    assert alone["task.vector"].any()
    # In a stack the whole change is the other client's, who is the only owner.
    (result,) = toy.train(job, size=2)
    other, _ = toy.changes(job, 1)
    np.testing.assert_allclose(result.sums["task.image"], other["task.image"], rtol=0, atol=1e-5)


class Two(Method):
    """Trains one group in each of two stages, the second with Adam."""

    def modules(self, task):
        return {m: Group(Linear(3 if m == "vector" else 16, 1), frozenset({m})) for m in task.modalities}

    def phases(self, task):
        adam = Adam(name="adam", lr=0.1, persistent=True)
        return (Phase("train", tuple(Train(m, (Objective((m,), self.of(m), adam),)) for m in task.modalities)),)

    def of(self, m):
        return lambda nets, batch: batch.mean(
            nets[m](batch.x[m].flatten(2 if batch.y.dim() == 2 else 1)).square().squeeze(-1)
        )


def test_a_stage_whose_groups_a_client_does_not_own_only_measures(toy):
    job = toy.job(toy.data((4,), absent=[(0, "image")]), Two)
    changes, states = toy.changes(job, 0)
    assert not changes["image"].any()
    assert sorted(states[0]) == ["optimizer/vector/0/count", "optimizer/vector/0/mean/vector/0",
                                 "optimizer/vector/0/mean/vector/1", "optimizer/vector/0/square/vector/0",
                                 "optimizer/vector/0/square/vector/1"]  # fmt: skip


def test_moments_that_persist_make_two_rounds_one(toy):
    # One client, full batches: two rounds of one epoch are one round of two.
    data, optimizer = toy.data((6,)), {"name": "adam", "lr": 0.01, "persistent": True}
    settings = {"optimizer": optimizer, "batch_size": 6}
    twice = toy.run(toy.job(data, rounds=2, **settings))
    once = toy.run(toy.job(data, local_epochs=2, **settings))
    fresh = toy.run(toy.job(data, rounds=2, batch_size=6, optimizer={**optimizer, "persistent": False}))
    assert all(np.abs(twice.x[n] - once.x[n]).max() < 1e-6 for n in once.x)
    assert any(np.abs(fresh.x[n] - once.x[n]).max() > 1e-4 for n in once.x)
    assert twice.client_states[0]["optimizer/task/0/count"] == 2


def test_moments_find_their_weights_in_any_company(toy):
    # Client 0 lacks what comes first; stacked with client 1 in round 1, it trains alone in round 2.
    data = toy.data((4, 4), absent=[(0, "image")])
    optimizer = {"name": "adam", "lr": 0.01, "persistent": True}
    job = toy.job(data, optimizer=optimizer)
    (together,) = toy.train(job, size=2)
    _, apart = toy.changes(job, 0)
    assert together.states[0].keys() == apart[0].keys()
    second, _ = toy.changes(job, 0, together.states, round_=2)
    expected, _ = toy.changes(job, 0, apart, round_=2)
    for name in expected:
        np.testing.assert_allclose(second[name], expected[name], rtol=0, atol=1e-5)


def test_a_private_group_stays_with_its_client_and_moves_on(toy):
    class Private(toy.Pull):
        def modules(self, task):
            return {"w": replace(super().modules(task)["w"], shared=False)}

        def predict(self, nets, batch):
            return torch.cat([-batch.x["a"], batch.x["a"]], -1)

    job = toy.job(toy.points([2], [6]), Private, optimizer={"lr": 0.5}, rounds=2)
    simulation = toy.run(job)
    assert simulation.x == {}
    assert {k: s["private/w"].tolist() for k, s in simulation.client_states.items()} == {0: [1.5], 1: [4.5]}


class Notes(Method):
    """Notes the weight before and after its training stage."""

    def modules(self, task):
        return {"w": Group(Linear(1, 1))}

    def phases(self, task):
        train = Train("train", (Objective(("w",), lambda nets, batch: batch.mean(nets["w"](batch.x["a"])[..., 0])),))
        return (Phase("all", (train, Compute("note", self.note), replace(train, name="more"))),)

    def init_state(self, client, task):
        return {"id": torch.tensor(client.id), "seen": torch.tensor(0)}

    def note(self, nets, batch):
        return {"weight": nets["w"].weight, "seen": batch.state["seen"] + len(batch.y)}


def test_a_client_keeps_what_a_stage_computed_as_it_was_then(toy):
    job = toy.job(toy.points([1.0, 3.0]), Notes, optimizer={"lr": 0.5})
    changes, states = toy.changes(job, 0)
    start = job.groups["w"].net.weight.item()
    assert states[0]["method/weight"].item() == pytest.approx(start - 1)
    assert changes["w"][0] == pytest.approx(-2)
    _, states = toy.changes(job, 0, states)
    assert (states[0]["method/id"], states[0]["method/seen"]) == (0, 4)


def test_an_objective_of_a_gan_is_stepped_after_the_other(toy):
    class Alternating(toy.Pull):
        def modules(self, task):
            return {n: Group(super(Alternating, self).modules(task)["w"].net) for n in ("w", "v")}

        def phases(self, task):
            follow = Objective(("v",), lambda nets, batch: (0.5 * (nets["v"].weight - nets["w"].weight) ** 2).sum(-1))
            return (Phase("train", (Train("both", (Objective(("w",), self.loss), follow)),)),)

    changes, _ = toy.changes(toy.job(toy.points([4]), Alternating, optimizer={"lr": 0.5}), 0)
    assert {n: c.tolist() for n, c in changes.items()} == {"w": [2.0], "v": [1.0]}  # v sees the new w


@pytest.mark.parametrize("size", [1, 2])
def test_a_loss_may_come_in_parts_of_which_one_is_kept_at_a_time(toy, size):
    kept = []

    class Parts(toy.Pull):
        def phases(self, task):
            (phase,) = super().phases(task)
            stage = replace(phase.stages[0], objectives=(Objective(("w",), self.parts),))
            return (replace(phase, stages=(stage,)),)

        def parts(self, nets, batch):
            for share in (0.25, 0.75):
                assert not any(saved() is not None for saved in kept)
                yield self.part(nets, batch, share)

        def part(self, nets, batch, share):
            apart = nets["w"].weight[..., None] - batch.x["a"]
            kept.append(weakref.ref(apart))  # its square needs it for the gradient
            return batch.mean(0.5 * share * apart.square().squeeze(-1))

    data = toy.points([1, 2, 3], [4, 6])
    whole, parts = (toy.train(toy.job(data, kind, optimizer={"lr": 0.5}), size=size) for kind in (toy.Pull, Parts))
    assert len(kept) >= 2
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(other.sums["w"], one.sums["w"], rtol=1e-6)
        np.testing.assert_allclose(other.reports.losses["pull"], one.reports.losses["pull"], rtol=1e-6)


@pytest.mark.parametrize("wrong", [lambda batch: batch.x["a"], lambda _: None], ids=["shape", "nothing"])
def test_parts_that_are_no_losses_are_refused(toy, wrong):
    class Wrong(toy.Pull):
        def phases(self, task):
            (phase,) = super().phases(task)
            return (replace(phase, stages=(replace(phase.stages[0], objectives=(Objective(("w",), self.parts),)),)),)

        def parts(self, nets, batch):
            yield self.loss(nets, batch)
            yield wrong(batch)

    with pytest.raises(ClientFailure, match=r"parts must (have the|be a tensor of) shape \(\), one number"):
        toy.train(toy.job(toy.points([1, 2]), Wrong), size=1)


@pytest.mark.parametrize("size", [1, 2])
def test_a_derived_column_goes_with_its_sample(toy, size):
    # In slices of 2 of clients with 5 and 3 samples; every step checks that each row has its own.
    class Derived(toy.Pull):
        def phases(self, task):
            (phase,) = super().phases(task)
            derive = Derive(lambda nets, batch: {"twice": 2 * batch.x["a"] + nets["w"].weight[..., None]})
            return (replace(phase, stages=(replace(phase.stages[0], derive=derive),)),)

        def loss(self, nets, batch):
            assert torch.equal(batch.columns["twice"], 2 * batch.x["a"])
            return super().loss(nets, batch)

    job = toy.job(toy.points([1, 2, 3, 4, 5], [6, 7, 8]), Derived, evaluation_batch=2)
    assert [r.steps for result in toy.train(job, size=size) for r in result.reports] == [3, 2]


def test_clients_train_on_the_labels_that_they_have(toy):
    data = toy.data((4, 4), ("vector",))
    wrong = (data.dataset.train.labels + 1) % 3
    noisy = replace(data, noisy=wrong)
    same = replace(data, dataset=replace(data.dataset, train=replace(data.dataset.train, labels=wrong)))
    changes = [toy.changes(toy.job(d), 0)[0]["task.head"] for d in (noisy, same, data)]
    assert (changes[0] == changes[1]).all()
    assert (changes[0] != changes[2]).any()
