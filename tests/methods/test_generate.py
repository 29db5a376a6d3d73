import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.generate import Generate
from raysim import registry
from raysim.batch import Nets
from raysim.data.dataset import Modality
from raysim.models.vae import VaeDecoder, VaeEncoder

SMALL = {"latent": 3, "hidden": 8}
GENERATORS = [
    e.name
    for e in registry.listed("generator")
    if registry.find("generator", e.name).conditional and e.name not in ("autoencoders", "mapping")
]
"""Those whose modalities learn from each other by themselves."""
SLOW_BUT_ONE = [name if name == "mopoe" else pytest.param(name, marks=pytest.mark.slow) for name in GENERATORS]
"""In the default run others learn in tests/engine/test_ray.py, and their gradients are tested in tests/generators."""


def generate(name="mopoe", **options):
    return {"name": "generate", "generator": {"name": name} | SMALL | options}


def same(logvar=0.0):
    """An encoder of single numbers: the posterior's mean is x."""
    net = VaeEncoder(nn.Identity(), 1, 1)
    for part, weight, bias in ((net.mean, 1.0, 0.0), (net.logvar, 0.0, logvar)):
        nn.init.constant_(part.weight, weight)
        nn.init.constant_(part.bias, bias)
    return net


@pytest.fixture
def by_hand(tiny_data, make_job, make_batch, make_nets):
    """`by_hand(left, right, ...)`: a method, networks that change nothing, and a batch of single numbers."""

    def make(left, right, name="mmjsd", **options):
        given = {"left": left, "right": right}
        data = replace(tiny_data("vectors"), modalities={m: Modality("vector", (1,)) for m in given})
        job = make_job(data, generate(name, **options | {"latent": 1}))
        fakes = {f"gen__{m}__encoder": same() for m in given} | {
            f"gen__{m}__decoder": VaeDecoder(nn.Identity()) for m in given
        }
        x = {m: torch.tensor([[v or 0.0] for v in values]) for m, values in given.items()}
        batch = make_batch(job, x, {m: [v is not None for v in values] for m, values in given.items()})
        return job.method, make_nets(job, **fakes), batch

    return make


def test_errors_are_those_of_the_decoded_mean_on_samples_that_have_both(by_hand):
    method, nets, batch = by_hand([1.0, 3.0, 8.0], [2.0, 6.0, None])
    figures = method.examined({n: t.detach().double().numpy() for n, t in method.examine(nets, batch).items()})
    # Around 4 the right has a spread of 8; decoded from the left it is 1 and 3. Around 2 the left has 2.
    assert figures["left>right"] == {"error": pytest.approx((1 + 9) / 8)}
    assert figures["right>left"] == {"error": pytest.approx((1 + 9) / 2)}
    # A mean of x and a variance of 1 diverge by x^2 / 2.
    assert figures["right"] == {"error": 0, "divergence": pytest.approx((4 + 36) / 8)}
    assert figures["left"] == {"error": 0, "divergence": pytest.approx((1 + 9 + 64) / 26)}


def test_losses_are_the_generators(by_hand):
    method, nets, batch = by_hand([1.0, 3.0, None], [2.0, None, None])
    losses = method.losses(nets, batch)
    torch.testing.assert_close(losses, method.generator.terms(nets, batch, batch.noise).loss)
    torch.testing.assert_close(losses[:2].mean(), sum(method.generator.losses(nets, batch)))


def test_it_has_the_generators_networks_alone(tiny_data, make_job):
    job = make_job(tiny_data("vectors"), generate("mmvae_plus", private=2))
    parts = ("encoder", "decoder", "private", "auxiliary")
    assert set(job.groups) == {f"gen.{m}.{part}" for m in ("left", "right") for part in parts}
    assert [s.name for phase in job.phases for s in phase.stages] == ["generator"]
    assert job.metric == "loss"


@pytest.mark.parametrize("clients", [2, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SLOW_BUT_ONE)
def test_each_generator_learns_what_modalities_say_of_each_other(correlated, make_job, new_run, name, clients):
    likelihoods = {m: {"name": "normal", "scale": 0.2} for m in ("left", "right")}
    job = make_job(
        correlated(0), generate(name, latent=4, hidden=64, likelihoods=likelihoods), stack=2,
        partition={"name": "iid", "clients": clients},
        missing={"name": "per_sample", "rate": 0.3, "empty": "keep_one"},
        federation={"rounds": 4, "local_epochs": 10, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.005}},
        evaluation={"every_rounds": 1},
    )  # fmt: skip
    run = new_run(job).go()
    first, *losses = [record["validation"]["loss"] for record in run.records]
    assert max(losses) < first
    figures = run.records[-1]["examined"]
    assert set(figures) == {"left", "right", "left>right", "right>left"}
    assert all(figures[m]["error"] < 0.5 for m in ("left", "right"))
    assert all(figures[pair]["error"] < 0.8 for pair in ("left>right", "right>left"))


@pytest.mark.parametrize("backbone", ["autoencoders", pytest.param("mmvae_plus", marks=pytest.mark.slow)])
def test_a_mapping_learns_what_its_backbone_does_not(correlated, make_job, new_run, backbone):
    adam, sharp = {"name": "adam", "lr": 0.005}, {"name": "normal", "scale": 0.2}
    sizes = {"latent": 4, "hidden": 64, "likelihoods": {"left": sharp, "right": sharp}}
    mapping = {"name": "mapping", "map_hidden": 64, "backbone": {"name": backbone} | sizes, "pretrain_rounds": 3}
    mapping |= {"generator_epochs": 10, "mapping_epochs": 4, "generator_optimizer": adam, "mapping_optimizer": adam}
    job = make_job(
        correlated(0), {"name": "generate", "generator": mapping}, stack=2, partition={"name": "iid", "clients": 2},
        missing={"name": "per_sample", "rate": 0.3, "empty": "keep_one"}, federation={"rounds": 3, "batch_size": 32},
        evaluation={"every_rounds": 1},
    )  # fmt: skip
    run = new_run(job).go()
    assert [(p.name, [s.name for s in p.stages]) for p in job.phases] == [
        ("pretrain", ["generator"]), ("train", ["mapping"]),
    ]  # fmt: skip
    figures = run.records[-1]["examined"]
    assert all(figures[m]["error"] < 0.5 for m in ("left", "right"))
    assert all(figures[pair]["error"] < 0.8 for pair in ("left>right", "right>left"))
    assert all(figures[pair]["held back"] < 0.9 for pair in ("left>right", "right>left"))


@pytest.mark.parametrize("name", [e.name for e in registry.listed("generator")])
def test_two_rounds_of_any_generator_are_one_round_and_another(tiny_data, make_job, new_run, name):
    plain = generate(name, channels=[4])
    backbone = {"name": "mmvae_plus", "private": 2} | SMALL | {"channels": [4]}
    mapped = {"name": "mapping", "map_hidden": 8, "pretrain_rounds": 1, "backbone": backbone}
    method = {"name": "generate", "generator": mapped} if name == "mapping" else plain
    adam = {"name": "adam", "lr": 0.005, "persistent": True}

    def job():
        federation = {"rounds": 2, "batch_size": 4, "algorithm": "scaffold", "optimizer": adam}
        return make_job(tiny_data("vectors"), method, stack=4, federation=federation)

    whole = new_run(job()).go()
    assert new_run(job()).go(until=1).move(job()).go().bits() == whole.bits()


def test_the_least_validation_loss_tells_the_best_round(tiny_data, make_job, new_run, monkeypatch):
    federation = {"rounds": 3, "batch_size": 4}
    job = make_job(tiny_data("vectors"), generate(), federation=federation, evaluation={"every_rounds": 1})
    told = {1: 3.0, 2: 1.0, 3: 2.0}
    monkeypatch.setattr(
        Generate, "losses", lambda self, nets, batch: torch.full(batch.rows.shape, told[batch.clock.round])
    )
    run = new_run(job).go()
    assert [record["validation"] for record in run.records] == [{"loss": told[n]} for n in told]
    best = run.simulation.tally.best
    assert (best["round"], best["splits"]["test"]) == (2, {"loss": 1.0})
    assert run.simulation.tally.summary(None)["selected_by"] == "best validation loss"


def test_losses_of_another_shape_are_refused(tiny_data, make_job, new_run, monkeypatch):
    job = make_job(tiny_data("vectors"), generate())
    monkeypatch.setattr(Generate, "losses", lambda self, nets, batch: torch.zeros(2, 2))
    with pytest.raises(Exception, match=re.escape("losses must have the shape (8,), one for each row")):
        new_run(job).go()


def test_a_client_trains_the_networks_of_what_it_has(tiny_data, make_job, new_run):
    roles = [{"modalities": ["left"], "clients": 4}]
    job = make_job(tiny_data("vectors"), generate(), missing={"name": "roles", "roles": roles})
    run = new_run(job).go()
    changed = {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()}
    assert changed == {"gen.left.encoder", "gen.left.decoder"}
    assert math.isfinite(run.records[-1]["test"]["loss"])


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ({"name": "mopo"}, "there is no generator 'mopo'; did you mean 'mopoe'?"),
        ({"latent": 3}, "has no name; write for example {name: mopoe}"),
        ({"name": "mopoe", "latnt": 3}, "latnt: unknown key; did you mean 'latent'?"),
        ({"name": "mopoe", "latent": 0}, "latent: must be a whole number of at least 1, is 0"),
        ({"name": "mmvae", "family": "cauchy"}, "family: must be "),
    ],
)
def test_a_generator_that_there_is_not_is_refused_in_one_line(generator, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        registry.options(Generate, {"generator": generator})


def test_a_name_alone_will_do():
    assert type(Generate(registry.options(Generate, {"generator": "mvae"})).generator).__name__ == "Mvae"


@pytest.mark.parametrize("name", SLOW_BUT_ONE)
def test_each_generator_learns_from_pictures_and_texts(tiny_data, make_job, new_run, name):
    job = make_job(
        tiny_data("pictures"), generate(name, channels=[4], width=4), stack=2,
        federation={"rounds": 3, "local_epochs": 3, "batch_size": 4, "optimizer": {"name": "adam", "lr": 0.003}},
        evaluation={"every_rounds": 1},
    )  # fmt: skip
    run = new_run(job).go()
    first, *_, last = [record["validation"]["loss"] for record in run.records]
    assert last < first
    figures = run.records[-1]["examined"]
    assert set(figures) == {"image", "text", "image>text", "text>image"}
    assert all(0 < f["error"] < math.inf for f in figures.values())


def test_evaluation_reads_nothing_of_what_is_absent(tiny_data, make_job, make_nets, make_batch):
    job = make_job(tiny_data("vectors"), generate("mvtcae"))
    nets = make_nets(job)
    x = {"left": torch.ones(2, 6), "right": torch.full((2, 5), np.nan)}
    batch = make_batch(job, x, {"left": [True, True], "right": [False, False]})
    assert job.method.losses(Nets(dict(nets)), batch).isfinite().all()
