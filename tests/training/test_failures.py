"""What goes wrong at a client says at which one, when and where."""

import pickle
import re
from pathlib import Path

import pytest
import torch

from raysim.method import Compute, Objective, Phase, Train
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
    error = fails(
        toy, job, "the change of 'w' reaches 2.5e[+]03, beyond 1024; 'a' reaches 5e[+]03 where networks", size=size
    )
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


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("wrong", "has"), [(lambda loss: torch.stack([loss, loss], -1), (2,)), (lambda loss: loss.sum()[None, None], None)]
)
def test_a_loss_of_another_shape(toy, size, wrong, has):
    class Wide(toy.Pull):
        def loss(self, nets, batch):
            return wrong(super().loss(nets, batch))

    lead, meaning = ((), "one number") if size == 1 else ((3,), "one number for each client")
    error = fails(toy, toy.job(toy.points([1], [2], [3]), Wide), "stage 'pull'", size=size)
    assert error.reason == (
        f"ValueError: loss must have the shape {lead}, {meaning}, but has {(*lead, *has) if has else (1, 1)}; "
        f"use batch.mean(...) ({__file__}, Wide)"
    )


def test_a_loss_that_is_a_number(toy):
    class Number(toy.Pull):
        def phases(self, task):
            return (Phase("train", (Train("pull", (Objective(("w",), self.distance),)),)),)

        def distance(self, nets, batch):
            return 3.0

    error = fails(toy, toy.job(toy.points([1]), Number), "distance must be a tensor of shape .*, but is a float; use")
    assert error.reason.endswith(f" ({__file__}, Number)")


def test_an_error_with_no_line_of_the_methods_own(toy):
    class Detached(toy.Pull):
        def loss(self, nets, batch):
            return super().loss(nets, batch).detach()

    error = fails(toy, toy.job(toy.points([1]), Detached), "RuntimeError: element 0 of tensors does not require grad")
    assert error.reason.endswith(f" ({__file__}, Detached)")


@pytest.mark.parametrize(("kept", "says"), [
    (None, "must return a mapping of names to tensors, but returned None"),
    ({"n": torch.zeros(1), "count": 1.5}, "must return tensors, but 'count' is a float; use torch.tensor(...)"),
])  # fmt: skip
@pytest.mark.parametrize("hook", ["init_state", "note"])
def test_private_state_is_tensors(toy, hook, kept, says):
    class Keeping(toy.Pull):
        def init_state(self, client, task):
            return kept if hook == "init_state" else {}

        def phases(self, task):
            return (Phase("train", (Compute("compute", self.note),)),)

        def note(self, nets, batch):
            return kept

    fails(toy, toy.job(toy.points([1]), Keeping), re.escape(f"TypeError: {hook} {says} ({__file__}, Keeping)"))


@pytest.mark.parametrize("size", [1, 2])
def test_private_state_is_alike_within_a_stack(toy, size):
    class Unlike(toy.Pull):
        def init_state(self, client, task):
            return {"seen": torch.zeros(client.samples)}

    job = toy.job(toy.points([1], [2, 3]), Unlike)
    if size == 1:
        assert {c: len(s["method/seen"]) for r in toy.train(job) for c, s in r.states.items()} == {0: 1, 1: 2}
    else:
        fails(toy, job, r"clients of a stack keep 'seen' in the shapes \(1,\) and \(2,\); pad, or set stack", size=2)


@pytest.mark.parametrize(("wrong", "says"), [
    (lambda logits: logits[..., :1], "must have the shape (3, 2), task.classes logits for each row, but has (3, 1)"),
    (lambda logits: logits.argmax(-1), "must have the shape (3, 2), task.classes logits for each row, but has (3,)"),
    (lambda logits: None, "must be a tensor of shape (3, 2), task.classes logits for each row, but is None"),
])  # fmt: skip
def test_a_prediction_of_another_shape(toy, wrong, says):
    class Narrow(toy.Pull):
        def predict(self, nets, batch):
            return wrong(super().predict(nets, batch))

    job = toy.job(toy.points([1, 2, 3]), Narrow)
    with pytest.raises(ClientFailure, match=re.escape(f"predict {says}; return (*K, B, C) ({__file__}, Narrow)")):
        toy.run(job)


def test_a_failure_survives_pickling():
    error = ClientFailure((1, 2), 3, "task", "reason", "details")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == "round 3, clients 1, 2, stage 'task': reason"
    assert vars(again) == vars(error)
