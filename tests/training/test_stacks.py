"""A stack of clients trains as its clients would one after another, to rounding."""

import numpy as np
import pytest
import torch

from raysim.method import Compute, Group, Objective, Phase, Train
from raysim.training.results import summed
from raysim.training.trainer import Trainer
from raysim.training.units import Unit

SIZES = (4, 7, 5)  # 2, 3 and 2 steps in batches of 3
ENCODERS = {"image": {"name": "cnn", "channels": [4]}, "sequence": {"name": "conv_gru", "channels": [4]}}
DROPOUT = {"dim": 8, "head": {"hidden": 8, "dropout": 0.3}, "dropout": 0.3, "encoders": ENCODERS}
PLAIN = {**DROPOUT, "dropout": 0.0, "head": {"hidden": 8, "dropout": 0.0}}
SETTINGS = {
    "sgd": {"optimizer": {"lr": 0.5}},
    "momentum": {"optimizer": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}},
    "adam": {"optimizer": {"name": "adam", "lr": 0.01, "persistent": True}},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.3, "persistent": True}},
    "local": {"optimizer": {"lr": 0.1, "momentum": 0.9, "local_schedule": "cosine"}},
    "local_adamw": {"optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.3, "local_schedule": "cosine"}},
    "local_scaffold": {
        "algorithm": {"name": "scaffold", "control": "steps"},
        "optimizer": {"lr": 0.1, "local_schedule": "cosine"},
    },
    "clip": {"optimizer": {"lr": 0.5, "clip_norm": 0.3}},
    "scaffold": {"algorithm": "scaffold", "optimizer": {"lr": 0.1, "momentum": 0.9}},
    "dropout": {"model": DROPOUT, "optimizer": {"lr": 0.1}},
}


def both(toy, data, **settings):
    job = toy.job(data, **{"model": PLAIN, "batch_size": 3, **settings})
    assert job.stackable
    (stacked,) = toy.train(job, size=3)
    return toy.train(job), stacked


def check(alone, stacked):
    for field in ("sums", "controls"):
        expected = summed(alone, field)
        assert getattr(stacked, field).keys() == expected.keys()
        for name, vector in expected.items():
            np.testing.assert_allclose(getattr(stacked, field)[name], vector, rtol=0, atol=1e-5)
            assert np.abs(vector).max() > 3e-4
    for mine, (other,) in zip(stacked.reports, (r.reports for r in alone), strict=True):
        assert (mine.client, mine.samples, mine.steps) == (other.client, other.samples, other.steps)
        assert mine.losses == pytest.approx(other.losses, abs=1e-5)
    states = {c: s for r in alone for c, s in r.states.items()}
    assert stacked.states.keys() == states.keys()
    for client, state in states.items():
        assert stacked.states[client].keys() == state.keys()
        for name, value in state.items():
            np.testing.assert_allclose(stacked.states[client][name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kinds", [("image", "vector"), ("sequence", "tokens")], ids="+".join)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_stacked_is_one_after_another(toy, kinds, settings):
    check(*both(toy, toy.data(SIZES, kinds), **settings))


@pytest.mark.parametrize("settings", [s for n, s in SETTINGS.items() if n != "dropout"], ids=str)
def test_also_where_clients_lack_different_modalities(toy, settings):
    # Such clients share no unit, but they may own different groups: a mapping's, which needs both at once.
    data = toy.data(SIZES, absent=[(0, "vector"), (1, "image")])
    check(*both(toy, data, **settings))


@pytest.mark.parametrize("kinds", [("image", "vector"), ("sequence", "tokens")], ids="+".join)
def test_also_with_attention_and_several_labels(toy, kinds):
    model = {**DROPOUT, "fusion": {"name": "attention", "heads": 2, "hidden": 4}}
    data = toy.data(SIZES, kinds, multi_label=True)
    check(*both(toy, data, model=model, optimizer={"lr": 0.5}, local_epochs=2))


def test_also_with_dropout_where_all_lack_the_same(toy):
    data = toy.data(SIZES, ("vector", "sequence"), absent=[(k, "sequence") for k in range(3)])
    alone, stacked = both(toy, data, **SETTINGS["dropout"])
    assert not stacked.sums["task.sequence"].any()
    for name in ("task.vector", "task.head"):
        np.testing.assert_allclose(stacked.sums[name], summed(alone, "sums")[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_a_stack_gives_the_same_bits_twice(toy, size):
    data = toy.data(SIZES, absent=[(0, "vector")])
    first, second = (summed(toy.train(toy.job(data, model=DROPOUT), size=size), "sums") for _ in range(2))
    assert all(first[n].tobytes() == second[n].tobytes() for n in first)


def test_clients_that_are_done_stay_as_they_are(toy):
    # Value 4 takes one step in a batch of 2, the zeros two: it must not move with them.
    job = toy.job(toy.points([4, 4], [0, 0, 0]), toy.Pull, optimizer={"lr": 0.5, "momentum": 0.9})
    (result,) = toy.train(job, size=2)
    assert [r.steps for r in result.reports] == [1, 2]
    assert result.sums["w"].tolist() == pytest.approx([2 * 2 / 5])


def test_what_has_no_client_axis_runs_one_after_another(toy):
    class Foreign(toy.Pull):
        def modules(self, task):
            groups = super().modules(task)
            groups["w"].net.extra = torch.nn.Dropout(0.5)
            return groups

        def loss(self, nets, batch):
            assert batch.x["a"].dim() == 2
            return super().loss(nets, batch) * nets["w"].extra(torch.ones(8)).mean()

    job = toy.job(toy.points([4, 4], [1, 2]), Foreign)
    assert not job.stackable
    assert job.obstacle == "w has a Dropout, which takes no client axis"
    (first,) = toy.train(job, size=2)
    torch.rand(3)  # what others draw from torch must not matter
    (second,) = toy.train(job, size=2)
    assert first.sums["w"].tobytes() == second.sums["w"].tobytes()


@pytest.mark.parametrize("settings", [s for n, s in SETTINGS.items() if n != "dropout"], ids=str)
def test_a_group_that_a_client_uses_but_does_not_own_neither_moves_nor_counts(toy, settings):
    class Leaning(toy.Pull):
        def modules(self, task):
            point = super().modules(task)["w"].net
            return {"w": Group(point), "other": Group(point, frozenset({"image"}))}

        def phases(self, task):
            return (Phase("train", (Train("pull", (Objective(("*",), self.loss),)),)),)

        def loss(self, nets, batch):
            at = (nets["w"].weight + 0.5 * nets["other"].weight)[..., None]
            return batch.mean((at - batch.x["vector"] - 1).square().mean(-1))

    job = toy.job(toy.data((4, 4), absent=[(0, "image")]), Leaning, **{"local_epochs": 2, "batch_size": 3, **settings})
    start = {"x": {"other": np.ones(1, np.float32)}, "control": {"other": np.ones(1, np.float32)}}
    alone, state = toy.changes(job, 0, **start)
    unit = Unit(0, (0, 1), {"w": (1.0, 0.0), "other": (1.0, 0.0)})
    stacked = Trainer(job).train(toy.broadcast(job, **start), unit, {})
    assert not stacked.sums["other"].any()
    np.testing.assert_allclose(stacked.sums["w"], alone["w"], rtol=0, atol=1e-6)
    assert stacked.states.get(0, {}).keys() == state.get(0, {}).keys()


def test_stages_may_be_stacked_or_not_in_turn(toy):
    class Mixed(toy.Pull):
        def phases(self, task):
            both = [Train(n, (Objective(("w",), self.loss),), stack=n == "a") for n in ("a", "b")]
            return (Phase("train", (*both, Compute("note", lambda nets, batch: {"w": nets["w"].weight}))),)

    job = toy.job(toy.points([4, 4], [8, 8]), Mixed, optimizer={"lr": 0.5})
    (result,) = toy.train(job, size=2)
    assert {c: s["method/w"].tolist() for c, s in result.states.items()} == {0: [3.0], 1: [6.0]}
    assert result.sums["w"].tolist() == [4.5]
