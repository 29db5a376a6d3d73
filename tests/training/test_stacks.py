"""A stack of clients trains as its clients would one after another, to rounding."""

import numpy as np
import pytest
import torch

from raysim.engine.rounds import summed

SIZES = (4, 7, 5)  # 2, 3 and 2 steps in batches of 3
ENCODERS = {"image": {"name": "cnn", "channels": [4]}, "sequence": {"name": "conv_gru", "channels": [4]}}
DROPOUT = {"dim": 8, "head": {"hidden": 8, "dropout": 0.3}, "dropout": 0.3, "encoders": ENCODERS}
PLAIN = {**DROPOUT, "dropout": 0.0, "head": {"hidden": 8, "dropout": 0.0}}
SETTINGS = {
    "sgd": {"optimizer": {"lr": 0.5}},
    "momentum": {"optimizer": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}},
    "adam": {"optimizer": {"name": "adam", "lr": 0.01, "persistent": True}},
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
    (first,) = toy.train(job, size=2)
    torch.rand(3)  # what others draw from torch must not matter
    (second,) = toy.train(job, size=2)
    assert first.sums["w"].tobytes() == second.sums["w"].tobytes()
