from dataclasses import replace

import numpy as np
import pytest
import torch

from raysim.simulation.rounds import shares
from raysim.training.trainer import Trainer
from raysim.training.units import Unit

SCHEMES = {"full": (), "private_head": ("task.head",), "private_head_and_fusion": ("task.head", "task.fusion")}
ATTENTION = {"dim": 8, "head": {"hidden": 8, "dropout": 0.3}, "fusion": {"name": "attention", "hidden": 4, "heads": 1}}
OWN = {"clients": {"share": 0.4}}


def of(scheme):
    return {"name": "blossom", "scheme": scheme}


@pytest.fixture
def run(tiny_data, make_job, new_run):
    """A trial of two rounds; clients who lack one of two modalities, and who have both."""

    def make(scheme, stack=1, data="vectors", evaluation=OWN, federation=None, **more):
        names = list(tiny_data(data).modalities)[:2]
        roles = [{"modalities": names[:1], "clients": 1}, {"modalities": names[1:], "clients": 1},
                 {"modalities": names, "clients": 2}]  # fmt: skip
        settings = {"rounds": 2, "batch_size": 4, "optimizer": {"name": "sgd", "lr": 0.1}} | (federation or {})
        missing = {"name": "roles", "roles": roles}
        return new_run(make_job(
            tiny_data(data), of(scheme), stack=stack, missing=missing, model=ATTENTION, evaluation=evaluation,
            federation=settings, **more,
        ))  # fmt: skip

    return make


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_private_stays_and_the_rest_is_averaged(run, scheme):
    done = run(scheme).go()
    own = set(SCHEMES[scheme])
    assert set(done.x) == {"task.left", "task.right", "task.fusion", "task.head"} - own
    assert set(done.simulation._serving.personal) == own
    for record in done.records:
        assert set(record["traffic"]) == set(done.x)
    for state in done.states.values():
        assert {n for n in state if n.startswith("private/")} == {f"private/{n}" for n in own}
    for name in own:
        assert len({state[f"private/{name}"].tobytes() for state in done.states.values()}) == 4
    summary = done.told[-1].summary
    assert summary["by_client"]["test"]["accuracy"]["undefined"] == 0
    assert summary["splits"].keys() == (set() if own else {"validation", "test"})


def test_an_encoder_is_of_those_that_have_its_modality_by_their_samples(run):
    start = run("private_head")
    done = run("private_head", federation={"rounds": 1}).go()
    job = done.job
    assert job.owners("task.left").sum() == job.owners("task.right").sum() == 3
    first = replace(start.simulation._broadcast(0), round=1)
    found = np.zeros_like(start.x["task.left"], dtype=np.float64)
    sizes = job.data.sizes[:4] * job.owners("task.left")
    assert shares(job, job.phases[0], range(4))["task.left"] == {
        c: pytest.approx(size / sizes.sum()) for c, size in enumerate(sizes) if size
    }
    for client in np.flatnonzero(sizes).tolist():
        unit = Unit(0, (client,), {n: (float(job.owners(n)[client]),) for n in job.groups})
        result = Trainer(job).train(first, unit, {})
        found += result.sums["task.left"] * sizes[client] / sizes.sum()
    np.testing.assert_allclose(done.x["task.left"] - start.x["task.left"], found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["image", "sequence"])
def test_zeros_are_heard_and_teach_nothing(toy, make_batch, make_nets, kind):
    job = toy.job(toy.data((4,), (kind, "vector")), of("full"))
    shape = job.task.modalities[kind].shape
    x = {kind: torch.randn(3, *shape), "vector": torch.ones(3, 3)}
    x[kind][1] = 0.0
    lengths = {kind: torch.tensor([6, 1, 5])} if kind == "sequence" else {}
    present = {kind: [True, False, True], "vector": [True, True, True]}
    batch, nets = make_batch(job, x, present, lengths=lengths), make_nets(job)
    encoded = {m: nets[f"task.{m}"](batch.x[m], batch.lengths.get(m)) for m in x}
    filled = job.method.fill(batch, nets, encoded)
    steps = (torch.tensor([1]),) if lengths else ()
    zeros = nets[f"task.{kind}"](torch.zeros(1, *shape), *steps).pooled()[0]
    torch.testing.assert_close(filled[kind].pooled()[1], zeros)
    assert filled["vector"] is encoded["vector"]
    weights = list(nets[f"task.{kind}"].parameters())
    for w in weights:
        w.requires_grad_()
    again = job.method.fill(batch, nets, {kind: nets[f"task.{kind}"](batch.x[kind], batch.lengths.get(kind))})
    heard = torch.autograd.grad(again[kind].pooled()[1].sum(), weights, allow_unused=True)
    assert all(g is None or not g.any() for g in heard)


@pytest.mark.parametrize("scheme", list(SCHEMES)[1:])
def test_equal_seeds_give_equal_bits_and_a_stack_agrees(run, scheme):
    assert run(scheme).go().bits() == run(scheme).go().bits()
    one, four = (run(scheme, stack).go(until=1) for stack in (1, 4))
    for group, values in one.x.items():
        np.testing.assert_allclose(four.x[group], values, rtol=0, atol=1e-5, err_msg=group)
    ours, theirs = (done.records[0]["by_client"]["test"]["loss"] for done in (one, four))
    assert ours["mean"] == pytest.approx(theirs["mean"], abs=1e-5)


@pytest.mark.parametrize("scheme", list(SCHEMES)[1:])
def test_two_rounds_are_one_round_and_another(run, scheme):
    at_once, halved = run(scheme).go(), run(scheme)
    assert halved.go(until=1).move(run(scheme).job).go().bits() == at_once.bits()


def test_opposite_labels_are_learnt_by_heads_of_ones_own(make_job, new_run, correlated):
    """Half of the clients name the classes otherwise: only with heads of their own all are served."""
    data = correlated(0)
    clients = np.arange(400) // 4 % 8
    odd = clients % 2 == 1
    labels = np.where(odd, 3 - data.train.labels, data.train.labels)
    data = replace(data, train=replace(data.train, labels=labels, clients=clients))
    settings = {"rounds": 10, "batch_size": 4, "local_epochs": 2, "optimizer": {"name": "sgd", "lr": 0.1}}
    found = {}
    for scheme in SCHEMES:
        job = make_job(data, of(scheme), federation=settings, evaluation=OWN | {"every_rounds": 5}, stack=4)
        found[scheme] = new_run(job).go().told[-1].summary["by_client"]["test"]["accuracy"]["mean"]
    assert found["full"] < 0.7
    assert min(found["private_head"], found["private_head_and_fusion"]) > 0.85
