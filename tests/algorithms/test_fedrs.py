"""Client 0 has classes 0 and 2, client 1 has class 1."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raysim.algorithms.fedrs import FedRS
from raysim.batch import Batch, Clock, Nets
from raysim.data.federated import ClientInfo
from raysim.draws import Draws
from raysim.models.layers import Linear
from raysim.registry import options
from raysim.training.loss import task_loss
from raysim.training.trainer import Trainer

SGD = {"lr": 0.5}
COUNTS = (2, 0, 1), (0, 3, 0)
LOGITS = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 4.0, 0.0]])
BARE = {"dim": 8, "head": {"hidden": None}, "dropout": 0.0, "encoders": {}}


def fedrs(**said):
    return FedRS(options(FedRS, said))


def batch(y, clients=COUNTS, loss=None):
    infos = tuple(ClientInfo(k, frozenset(), frozenset(), sum(c), c, 0) for k, c in enumerate(clients))
    draws = Draws(0, [()], axis=False, device=y.device)
    rows = torch.ones(y.shape[:2] if len(clients) > 1 else y.shape[:1], dtype=torch.bool)
    return Batch({}, {}, {}, y, rows, Clock("train", 1, 0, 0.0), draws, loss, infos)


def test_one_client_by_hand():
    found = fedrs().logits(LOGITS, batch(torch.tensor([0, 2]), COUNTS[:1]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.8, 3.0], [-1.0, 3.6, 0.0]]))


def test_a_stack_by_hand():
    found = fedrs(alpha=0.5).logits(torch.stack([LOGITS, LOGITS]), batch(torch.zeros(2, 2)))
    first, second = [[1.0, 1.0, 3.0], [-1.0, 2.0, 0.0]], [[0.5, 2.0, 1.5], [-0.5, 4.0, 0.0]]
    assert found.tolist() == [first, second]


def test_the_loss_is_that_of_the_restricted_softmax(toy):
    # -log(e / (e + e^1.8 + e^3)) and -log(e^0 / (e^-1 + e^3.6 + e^0)).
    job = toy.job(toy.data(), algorithm="fedrs")
    loss = batch(torch.tensor([0, 2]), COUNTS[:1], task_loss(job)).task_loss(LOGITS)
    assert loss.item() == pytest.approx((2.3622301 + 3.6366940) / 2)


def test_a_label_that_is_never_positive_counts_as_absent(toy):
    job = toy.job(toy.data(multi_label=True), algorithm="fedrs")
    y = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    loss = batch(y, COUNTS[:1], task_loss(job)).task_loss(LOGITS)
    scaled = torch.tensor([[1.0, 1.8, 3.0], [-1.0, 3.6, 0.0]])
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(scaled, y))


def test_without_clients_nothing_is_scaled():
    assert fedrs().logits(LOGITS, batch(torch.tensor([0, 2]), ())) is LOGITS


@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_head_without_its_last_bias(lead, hidden):
    last = Linear(2, 3)
    x = torch.tensor([[1.0, 2.0], [3.0, -1.0]]).expand(*lead, 2, 2)
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).expand(*lead, 3, 2)
    last._parameters["weight"], last._parameters["bias"] = weight, torch.full((*lead, 3), 7.0)
    nets = Nets({"task.head": nn.Sequential(nn.ReLU(), last) if hidden else last, "aside": Linear(1, 1)})
    found = fedrs(drop_bias=True).nets(nets)
    second = [3.0, 0.0, 3.0] if hidden else [3.0, -1.0, 2.0]
    assert found["task.head"](x).reshape(-1, 2, 3)[-1].tolist() == [[1.0, 2.0, 3.0], second]
    assert found["aside"] is nets["aside"]
    assert nets["task.head"](x).reshape(-1, 2, 3)[-1, 0].tolist() == [8.0, 9.0, 10.0]


@pytest.mark.parametrize("nets", [{"other.head": Linear(2, 3)}, {"task.head": nn.Sequential(Linear(2, 3), nn.ReLU())}])
def test_only_a_linear_layer_that_ends_the_task_head_loses_its_bias(nets):
    nets = Nets(nets)
    assert fedrs(drop_bias=True).nets(nets) is nets


def shifted(toy, job):
    """A job's first broadcast as it is, and with the head's bias shifted by 1, 2 and 3."""
    plain = toy.broadcast(job)
    head = plain.x["task.head"].copy()
    head[-3:] += [1, 2, 3]
    return plain, toy.broadcast(job, x={"task.head": head})


@pytest.mark.parametrize("stack", [1, 2])
@pytest.mark.parametrize("model", [BARE, {**BARE, "head": {"hidden": 4, "dropout": 0.0}}], ids=["linear", "hidden"])
def test_a_bias_that_is_dropped_means_nothing_in_training_and_stays(toy, model, stack):
    data = toy.data((4, 4), ("vector", "sequence"))
    job = toy.job(data, model=model, algorithm={"name": "fedrs", "drop_bias": True}, optimizer=SGD)
    plain, other = (toy.train(job, size=stack, x=broadcast.x) for broadcast in shifted(toy, job))
    for one, two in zip(plain, other, strict=True):
        for name, total in one.sums.items():
            assert total.tobytes() == two.sums[name].tobytes()
            assert total[:-3].any()
        assert not one.sums["task.head"][-3:].any()


def test_it_is_there_at_evaluation(toy):
    data = toy.data((4, 4), ("vector", "sequence"))
    job = toy.job(data, model=BARE, algorithm={"name": "fedrs", "drop_bias": True})
    plain, other = (Trainer(job).predict(b, "test", 0, 6) for b in shifted(toy, job))
    np.testing.assert_allclose(other - plain, np.tile([1.0, 2.0, 3.0], (6, 1)), rtol=0, atol=1e-6)


def results(toy, data, algorithm, change=lambda job: job, **settings):
    job = change(toy.job(data, algorithm=algorithm, optimizer=SGD, rounds=2, stack=2, **settings))
    return {n: x.tobytes() for n, x in toy.run(job).x.items()}


def test_with_all_classes_present_and_the_bias_kept_it_is_fedavg(toy):
    data = toy.data((9, 9))
    assert all(count for k in range(2) for count in data.info(k).class_counts)
    assert results(toy, data, "fedrs") == results(toy, data, "fedavg")


def test_where_a_class_is_absent_it_is_not(toy):
    data = toy.data((3, 9), classes=6)
    found = [results(toy, data, {"name": "fedrs", "alpha": alpha}) for alpha in (1.0, 0.9)]
    assert found[0] == results(toy, data, "fedavg")
    assert found[1] != found[0]


def test_compat_drops_the_bias_where_the_options_do_not_say(toy, benchmark):
    data = toy.data((4, 4))
    kept, dropped = ({"name": "fedrs", "drop_bias": drop} for drop in (False, True))
    assert results(toy, data, kept) != results(toy, data, dropped)
    assert results(toy, data, "fedrs") == results(toy, data, kept)
    assert results(toy, data, "fedrs", benchmark) == results(toy, data, dropped)
    assert results(toy, data, kept, benchmark) == results(toy, data, kept)
