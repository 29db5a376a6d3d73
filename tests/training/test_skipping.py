"""With `on_invalid: skip_client` a client that comes to nothing of use is left out, and nobody else notices."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raysim.method import Compute, Group, Objective, Phase, Train
from raysim.training.results import summed
from raysim.training.trainer import Trainer
from raysim.training.units import Unit

SKIP = {"faults": {"on_invalid": "skip_client"}, "optimizer": {"lr": 0.5}}
NAN = float("nan")
ENCODERS = {"image": {"name": "cnn", "channels": [4]}, "sequence": {"name": "conv_gru", "channels": [4]}}
MODEL = {"dim": 8, "head": {"hidden": 8, "dropout": 0.3}, "dropout": 0.3, "encoders": ENCODERS,
         "fusion": {"name": "attention", "heads": 2}}  # fmt: skip
SETTINGS = {
    "momentum": {"optimizer": {"lr": 0.1, "momentum": 0.9}},
    "adam": {"optimizer": {"name": "adam", "lr": 0.01, "persistent": True, "clip_norm": 1.0}},
    "scaffold": {"algorithm": "scaffold", "optimizer": {"lr": 0.1}},
}


def clients(results):
    return [r.client for result in results for r in result.reports]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_a_loss_that_is_not_finite(toy, size, value):
    results = toy.train(toy.job(toy.points([1, 1], [3, value], [3, 3]), toy.Pull, **SKIP), size=size)
    assert {c: why for r in results for c, why in r.skipped.items()} == {1: f"stage 'pull': the loss is {value}"}
    assert clients(results) == [0, 2]
    assert summed(results, "sums")["w"].tolist() == pytest.approx([(0.5 + 1.5) / 3], abs=1e-11)


@pytest.mark.parametrize("size", [1, 3])
def test_an_update_that_explodes(toy, size):
    results = toy.train(toy.job(toy.points([1, 1], [5000, 5000], [3, 3]), toy.Pull, **SKIP), size=size)
    (why,) = [why for r in results for why in r.skipped.values()]
    assert why == "stage 'train': the change of 'w' reaches 2.5e+03, beyond 1024"
    assert summed(results, "sums")["w"].tolist() == pytest.approx([2 / 3], abs=1e-11)


def test_an_update_that_is_not_finite_although_the_loss_was(toy):
    class Edge(toy.Pull):
        def loss(self, nets, batch):
            weight, seven = nets["w"].weight[..., 0], batch.x["a"][..., 0, 0] == 7
            return super().loss(nets, batch) + torch.where(seven, weight, 1.0).sqrt()  # no slope at 0

    (result,) = toy.train(toy.job(toy.points([1], [7]), Edge, **SKIP), size=2)
    assert result.skipped == {1: "stage 'train': the change of 'w' is not finite"}


@pytest.mark.parametrize("kinds", [("image", "vector"), ("vector", "sequence")], ids="+".join)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_others_bits_are_those_beside_a_client_of_weight_0_that_behaves(toy, kinds, settings):
    def train(broken):
        data = toy.data((4, 7, 5), kinds)
        if broken:
            data.dataset.train.inputs["vector"][data.part(1)[-1]] = np.inf
        job = toy.job(data, batch_size=3, model=MODEL, local_epochs=2, **{**SKIP, **settings})
        shares = (0.25, 0.5 if broken else 0.0, 0.25)
        return Trainer(job).train(toy.broadcast(job), Unit(0, (0, 1, 2), dict.fromkeys(job.groups, shares)), {})

    bad, good = train(broken=True), train(broken=False)
    assert (list(bad.skipped), list(good.skipped)) == ([1], [])
    assert [(r.client, r.losses) for r in bad.reports] == [(r.client, r.losses) for r in good.reports if r.client != 1]
    assert all(v.any() for v in good.sums.values())
    assert {n: v.tobytes() for n, v in bad.sums.items()} == {n: v.tobytes() for n, v in good.sums.items()}
    assert sorted(bad.states) == [c for c in sorted(good.states) if c != 1]
    for client, state in bad.states.items():
        assert {n: v.tobytes() for n, v in state.items()} == {n: v.tobytes() for n, v in good.states[client].items()}
    for name, control in bad.controls.items():
        changes = [good.states[c][f"control/{name}"] for c in (0, 2)]
        np.testing.assert_allclose(control, sum(changes) / 3, rtol=0, atol=1e-7)


def test_controls_go_on_without_it(toy):
    job = toy.job(toy.points([1, 1], [NAN, 1], [3, 3]), toy.Pull, algorithm="scaffold", **SKIP)
    states = {1: {"control/w": np.array([9], np.float32)}, 2: {"control/w": np.array([-1], np.float32)}}
    (result,) = toy.train(job, states, size=3)
    assert result.controls["w"].tolist() == pytest.approx([(-1 - 2) / 3])
    assert {c: s["control/w"].tolist() for c, s in result.states.items()} == {0: [-1.0], 2: [-3.0]}
    assert states[1]["control/w"].tolist() == [9.0]


@pytest.mark.parametrize("size", [1, 2])
def test_a_control_too_large_takes_its_client_out_of_all_groups(toy, size):
    class Both(toy.Pull):
        def modules(self, task):
            return {n: Group(super(Both, self).modules(task)["w"].net) for n in ("a", "b")}

        def phases(self, task):
            return (Phase("train", (Train("pull", (Objective(("*",), self.loss),)),)),)

        def loss(self, nets, batch):
            x = batch.x["a"][..., 0, 0]
            return 0.5 * (nets["a"].weight[..., 0] - 1) ** 2 + 0.5 * (nets["b"].weight[..., 0] - x) ** 2

    job = toy.job(toy.points([5000], [2]), Both, algorithm="scaffold", **{**SKIP, "optimizer": {"lr": 0.125}})
    results = toy.train(job, size=size)
    assert results[0].skipped == {0: "stage 'train': the control of 'b' reaches 5e+03, beyond 1024"}
    assert {n: v.tolist() for n, v in summed(results, "sums").items()} == {"a": [0.0625], "b": [0.125]}
    assert {n: v.tolist() for n, v in summed(results, "controls").items()} == {"a": [-0.5], "b": [-1.0]}
    assert [c for r in results for c in r.states] == [1]


def test_two_step_uploads(toy):
    class Offering(toy.Pull):
        def offer(self, nets, batch):
            assert nets["w"].weight.isfinite()
            return {"w": float(nets["w"].weight)}

        def select(self, offers, clock, memory):
            raise NotImplementedError

    (result,) = toy.train(toy.job(toy.points([1, 1], [NAN, 1], [3, 3]), Offering, **SKIP), size=3)
    assert {r.client: r.offer for r in result.reports} == {0: {"w": 0.5}, 2: {"w": 1.5}}
    assert {c: {n: v.tolist() for n, v in u.items()} for c, u in result.updates.items()} == {
        0: {"w": [0.5]}, 2: {"w": [1.5]},
    }  # fmt: skip
    assert list(result.skipped) == [1]


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_everyone_in_a_unit(toy, algorithm):
    (result,) = toy.train(toy.job(toy.points([NAN], [5000]), toy.Pull, algorithm=algorithm, **SKIP), size=2)
    assert sorted(result.skipped) == [0, 1]
    assert result.sums["w"].tolist() == [0.0]
    assert {n: v.tolist() for n, v in result.controls.items()} == ({"w": [0.0]} if algorithm == "scaffold" else {})
    assert (len(result.reports), result.states) == (0, {})


@pytest.mark.parametrize("stack", [True, False])
def test_no_later_stage_sees_what_it_came_to(toy, stack):
    class Stages(toy.Pull):
        def modules(self, task):
            point = super().modules(task)["w"]
            return {"w": point, "own": replace(point, shared=False)}

        def phases(self, task):
            first = Train("first", (Objective(("*",), self.first),))
            again = Train("again", (Objective(("w",), self.again),), stack=stack)
            return (Phase("train", (first, Compute("note", self.note), again)),)

        def first(self, nets, batch):
            x = batch.x["a"][..., 0]
            return batch.mean(0.5 * (nets["w"].weight - x) ** 2 + 0.5 * (nets["own"].weight + x) ** 2)

        def note(self, nets, batch):
            assert batch.clients[0].id != 1
            return {"seen": nets["w"].weight + nets["own"].weight + 1}

        def again(self, nets, batch):
            assert nets["w"].weight.isfinite().all()
            assert (len(batch.clients), batch.state["seen"].dim()) == ((3, 2) if stack else (1, 1))
            return -(batch.state["seen"] * nets["w"].weight)[..., 0]

    (result,) = toy.train(toy.job(toy.points([1, 1], [NAN, 1], [3, 3]), Stages, **SKIP), size=3)
    assert result.skipped == {1: "stage 'first': the loss is nan"}
    assert [(r.client, sorted(r.losses)) for r in result.reports] == [(0, ["again", "first"]), (2, ["again", "first"])]
    assert result.sums["w"].tolist() == pytest.approx([(1.0 + 2.0) / 3], abs=1e-11)
    assert {c: s["private/own"].tolist() for c, s in result.states.items()} == {0: [-0.5], 2: [-1.5]}


def test_a_unit_in_parts(toy):
    class Narrow(toy.Pull):
        def loss(self, nets, batch):
            if len(batch.clients) > 2:
                raise torch.OutOfMemoryError
            return super().loss(nets, batch)

    (result,) = toy.train(toy.job(toy.points([NAN], [1], [NAN], [3]), Narrow, **SKIP), size=4)
    assert result.deviation
    assert result.skipped == dict.fromkeys((0, 2), "stage 'pull': the loss is nan")
    assert clients([result]) == [1, 3]
    assert result.sums["w"].tolist() == [0.5]
