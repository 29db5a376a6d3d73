"""What goes wrong at a client says at which one, when and where."""

import pickle
import re
from pathlib import Path

import pytest
import torch

from raysim.method import Compute, Phase
from raysim.training.results import ClientFailure


def fails(toy, job, match, **how):
    with pytest.raises(ClientFailure, match=match) as caught:
        toy.train(job, **how)
    return caught.value


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite(toy, size, value):
    job = toy.job(toy.points([1, 2], [3, value]), toy.Pull)
    error = fails(
        toy,
        job,
        rf"^round 7, client 1, stage 'pull': the loss is {value}; lower the learning rate or",
        round_=7,
        size=size,
    )
    assert (error.clients, error.round, error.stage) == ((1,), 7, "pull")


@pytest.mark.parametrize("size", [1, 2])
def test_an_update_that_explodes(toy, size):
    job = toy.job(toy.points([1, 2], [5000, 5000]), toy.Pull, optimizer={"lr": 0.5})
    error = fails(toy, job, "the change of 'w' reaches 2.5e[+]03, beyond 1024; lower the learning rate", size=size)
    assert error.clients == (1,)


def test_an_update_that_is_not_finite_although_the_loss_was(toy):
    class Edge(toy.Pull):
        def loss(self, nets, batch):
            return nets["w"].weight.square().sum(-1).sqrt()  # no slope at 0

    assert fails(toy, toy.job(toy.points([1]), Edge), "the change of 'w' is not finite").clients == (0,)


def test_a_control_too_large_for_exact_sums(toy):
    job = toy.job(toy.points([5000]), toy.Pull, algorithm="scaffold", optimizer={"lr": 1e-6})
    fails(toy, job, "the control of 'w' reaches 5e[+]03, beyond 1024")


def test_code_that_raises_is_named_by_its_own_line(toy):
    class Broken(toy.Pull):
        def loss(self, nets, batch):
            return torch.zeros(2) @ torch.zeros(3)  # here

    line = 1 + Path(__file__).read_text().splitlines().index(
        "            return torch.zeros(2) @ torch.zeros(3)  # here"
    )
    error = fails(toy, toy.job(toy.points([1, 2], [3, 4]), Broken), "RuntimeError", size=2)
    assert error.clients == (0, 1)
    assert error.reason.endswith(f"({__file__}:{line} in loss)")
    assert "\n" not in str(error)
    assert "torch.zeros(2) @ torch.zeros(3)" in error.details
    assert "raysim/training" not in error.details


@pytest.mark.parametrize(("hook", "stage"), [("init_state", "init_state"), ("run", "compute"), ("offer", "offer")])
def test_so_is_any_other_hook(toy, hook, stage):
    def broken(*_):
        raise KeyError("absent")

    def fine(*_):
        return {}

    class Broken(toy.Pull):
        init_state = broken if hook == "init_state" else fine
        offer = broken if hook == "offer" else fine
        select = fine

        def phases(self, task):
            return (Phase("train", (Compute("compute", broken if hook == "run" else fine),)),)

    error = fails(toy, toy.job(toy.points([1]), Broken), re.escape(f"stage '{stage}': KeyError: 'absent' ({__file__}"))
    assert error.clients == (0,)


def test_a_prediction_that_raises(toy):
    class Broken(toy.Pull):
        def predict(self, nets, batch):
            raise ValueError("no")

    with pytest.raises(ClientFailure, match=r"^round 1, stage 'evaluation': ValueError: no "):
        toy.run(toy.job(toy.points([1]), Broken))


def test_a_failure_survives_pickling():
    error = ClientFailure((1, 2), 3, "task", "reason", "details")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "round 3, clients 1, 2, stage 'task': reason"
    assert vars(again) == vars(error)
