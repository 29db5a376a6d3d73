import numpy as np
import pytest
import torch

from methods.train_on_generated import TrainOnGenerated
from raysim import registry
from raysim.batch import Nets

SMALL = {"name": "mopoe", "latent": 4, "hidden": 32}


def method(data, rounds=10, **generator):
    return {"name": "train_on_generated", "data": data, "pretrain_rounds": rounds, "generator": SMALL | generator}


@pytest.mark.parametrize(
    "data", ["generated", *(pytest.param(data, marks=pytest.mark.slow) for data in ("both", "real"))]
)
def test_labels_are_learnt_from_what_is_made_of_samples(correlated, make_job, new_run, data):
    likelihoods = {m: {"name": "normal", "scale": 0.3} for m in ("left", "right")}
    job = make_job(
        correlated(0), method(data, likelihoods=likelihoods), stack=4, model={"dim": 32, "dropout": 0.0},
        missing={"name": "per_sample", "rate": 0.3, "empty": "keep_one"},
        federation={"rounds": 6, "local_epochs": 5, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.01}},
        evaluation={"every_rounds": 6, "missing": "none"},
    )  # fmt: skip
    run = new_run(job).go()
    assert run.records[-1]["test"]["accuracy"] > 0.5  # a quarter by chance


def test_the_task_sees_all_modalities_of_what_was_learnt(tiny_data, make_job, make_nets, make_batch):
    job = make_job(tiny_data("vectors"), method("generated"))
    x = {"left": torch.ones(3, 6), "right": torch.full((3, 5), np.nan)}
    batch = make_batch(job, x, {"left": [True, True, False], "right": [False, False, False]})
    nets = make_nets(job)
    made = job.method.generated(nets, batch)
    assert {m: t.shape for m, t in made.x.items()} == {"left": (3, 6), "right": (3, 5)}
    assert [p.tolist() for p in made.present.values()] == [[True, True, False]] * 2
    assert all(t.isfinite().all() and not t.requires_grad for t in made.x.values())
    partly = Nets(dict(nets), None, lambda name, net: torch.tensor("left" in name))
    present = job.method.generated(partly, batch).present
    assert {m: p.tolist() for m, p in present.items()} == {"left": [True, True, False], "right": [False] * 3}


def test_both_is_the_mean_of_both(tiny_data, make_job, make_nets, make_batch):
    losses = {}
    for data in ("real", "generated", "both"):
        job = make_job(tiny_data("vectors"), method(data))
        g = torch.Generator().manual_seed(0)
        x = {"left": torch.randn(4, 6, generator=g), "right": torch.randn(4, 5, generator=g)}
        batch = make_batch(job, x, {m: [True] * 4 for m in x})
        losses[data] = job.method.loss(make_nets(job), batch)
    torch.testing.assert_close(losses["both"], (losses["real"] + losses["generated"]) / 2)
    assert losses["real"] != losses["generated"]


def test_a_generator_that_knows_no_sample_is_refused():
    with pytest.raises(ValueError, match="makes no modality of another; name one that does, such as mopoe"):
        registry.options(TrainOnGenerated, {"generator": "vae"})


def test_kinds_that_it_cannot_make_are_refused():
    assert registry.find("method", "train_on_generated") is TrainOnGenerated
    with pytest.raises(ValueError, match="cannot make tokens"):
        TrainOnGenerated.suits({"text": "tokens"})
