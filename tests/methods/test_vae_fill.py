import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.vae_fill import VaeFill
from raysim import registry
from raysim.batch import Nets
from raysim.data.dataset import Modality
from raysim.draws import Draws
from raysim.method import Feature
from raysim.models.vae import VaeDecoder, VaeEncoder
from raysim.report.events import Warned
from raysim.seeding import stream

SIZES = {"latent": 3, "hidden": 8}
SMALL = {"name": "vae_fill", "generator": {"name": "mopoe"} | SIZES}
SOME = {"name": "per_sample", "rate": 0.4}
NAMES = [e.name for e in registry.listed("generator")]
GENERATORS = [name for name in NAMES if registry.find("generator", name).conditional]


class Pass(nn.Module):
    """An encoder that gives its input."""

    def forward(self, x, lengths=None):
        return Feature.of(x)


def doubling(logvar):
    """An encoder of single numbers: the posterior's mean is 2 x."""
    net = VaeEncoder(nn.Identity(), 1, 1)
    for part, weight, bias in ((net.mean, 2.0, 0.0), (net.logvar, 0.0, logvar)):
        nn.init.constant_(part.weight, weight)
        nn.init.constant_(part.bias, bias)
    return net


@pytest.fixture
def by_hand(tiny_data, make_job, make_batch, make_nets):
    """`by_hand(given, ...)`: the method, networks and a batch of single numbers, None where there is nothing.

    Posteriors are N(2 x, 1), of c N(2 x, 1 / 3); decoding changes nothing.
    """

    def make(given, name="mvtcae", **options):
        data = replace(tiny_data("vectors"), modalities={m: Modality("vector", (1,)) for m in given})
        job = make_job(data, {"name": "vae_fill", "generator": {"name": name, "latent": 1}} | options)
        fakes = {f"task__{m}": Pass() for m in given} | {f"gen__{m}__decoder": VaeDecoder(nn.Identity()) for m in given}
        fakes |= {f"gen__{m}__encoder": doubling(-math.log(3) if m == "c" else 0.0) for m in given}
        x = {m: torch.tensor([[v or 0.0] for v in values]) for m, values in given.items()}
        batch = make_batch(job, x, {m: [v is not None for v in values] for m, values in given.items()})
        return job.method, make_nets(job, **fakes), batch

    return make


def fill(method, nets, batch):
    """Modality -> (present, value) of each row."""
    filled = method.fill(batch, nets, {m: Feature.of(x) for m, x in batch.x.items()})
    return {m: (f.present().tolist(), f.pooled()[..., 0].tolist()) for m, f in filled.items()}


def test_what_is_absent_is_decoded_from_all_that_is_there(by_hand):
    method, nets, batch = by_hand({"a": [1.0, 3.0, None], "b": [None, 5.0, None], "c": [2.0, None, 7.0]})
    filled = fill(method, nets, batch)
    # Precisions are 1 and 3: around (2 + 3 * 4) / 4; from a and b around the middle.
    assert filled["a"] == ([True] * 3, [1.0, 3.0, 14.0])
    assert filled["b"] == ([True] * 3, [pytest.approx(3.5), 5.0, 14.0])
    assert filled["c"] == ([True] * 3, [2.0, 8.0, 7.0])


def test_a_row_that_has_nothing_stays_empty(by_hand):
    method, nets, batch = by_hand({"a": [1.0, None], "b": [None, None]})
    assert fill(method, nets, batch)["b"] == ([True, False], [2.0, 0.0])


def test_a_mixture_gives_the_mean_or_a_draw_of_one(by_hand):
    given = {"a": [1.0], "b": [2.0], "c": [None]}
    assert fill(*by_hand(given, "mmjsd"))["c"] == ([True], [3.0])
    method, nets, batch = by_hand(given, "mmjsd", draw="sample")
    ((_, (value,)),) = [fill(method, nets, batch)["c"]]
    place = stream(0, "draw", 0, "component").random(1, dtype=np.float32)[0]
    eps = stream(0, "draw", 0, "z").standard_normal(1, dtype=np.float32)[0]
    assert value == pytest.approx((2.0 if place < 0.5 else 4.0) + eps, rel=1e-5)


def test_draws_of_a_sample_are_its_own(by_hand):
    method, nets, batch = by_hand({"a": [1.0] * 3, "b": [None] * 3}, draw="sample")
    values = []
    for keys in ([1, 2, 3], [3, 1, 2]):
        rows = replace(batch, draws=Draws(0, [(k,) for k in keys], axis=True, device=torch.device("cpu")))
        values.append(dict(zip(keys, fill(method, nets, rows)["b"][1], strict=True)))
    assert values[0] == values[1]
    assert len(set(values[0].values())) == 3


def test_a_modality_is_made_where_somebody_had_it_together_with_one_that_is_there(by_hand):
    method, nets, batch = by_hand({"a": [1.0, None, 1.0], "b": [None, 5.0, 5.0], "c": [None, None, None]}, "mmjsd")

    def made(*unmet):
        known = Nets(dict(nets), None, lambda name, net: torch.tensor([name not in unmet]))
        return fill(method, known, batch)["c"]

    assert made() == ([True] * 3, [2.0, 10.0, 6.0])
    assert made("pair.a_c") == ([False, True, True], [0.0, 10.0, 6.0])
    assert made("pair.a_c", "pair.b_c") == ([False] * 3, [0.0] * 3)


@pytest.mark.parametrize("stack", [1, 4])
def test_pairs_are_met_by_those_who_have_both(tiny_data, make_job, new_run, learnt, stack):
    names = list(tiny_data("mixed").modalities)
    roles = [{"modalities": names[:2], "clients": 2}, {"modalities": names[2:], "clients": 2}]
    small = SMALL | {"generator": SMALL["generator"] | {"channels": [4]}}
    job = make_job(tiny_data("mixed"), small, missing={"name": "roles", "roles": roles}, stack=stack)
    run = new_run(job).go()
    nets, _ = learnt(run)
    first, *others = [n for n in nets if n.startswith("pair.")]
    assert (nets.learnt(first).item(), nets[first].met.item()) == (True, 1.0)
    assert not any(nets.learnt(n).item() for n in others)
    assert [e.text for e in run.told if isinstance(e, Warned)] == [
        f"no client has samples that teach {', '.join(others)}: they fill nothing in"
    ]


def test_the_pairs_change_nothing_of_the_generator(tiny_data, make_job, new_run, monkeypatch):
    def go():
        return new_run(make_job(tiny_data("vectors"), SMALL, missing=SOME)).go()

    run = go()
    monkeypatch.setattr(VaeFill, "meet", lambda self, nets, batch: torch.zeros(batch.rows.shape[:-1]).requires_grad_())
    without = go()
    assert run.x["pair.left_right"][0] == 1.0
    assert without.x["pair.left_right"][0] == 0.0
    assert all(run.x[n].tobytes() == without.x[n].tobytes() for n in run.x if n.startswith("gen."))


def stages(job):
    return {phase.name: (phase.rounds, [s.name for s in phase.stages]) for phase in job.phases}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"train": (None, ["generator", "task"])}),
        ({"pretrain_rounds": 2}, {"generator": (2, ["generator"]), "train": (None, ["generator", "task"])}),
        ({"pretrain_rounds": 2, "freeze": "phase"}, {"generator": (2, ["generator"]), "train": (None, ["task"])}),
        (
            {
                "pretrain_rounds": 2, "freeze": "phase",
                "generator": {"name": "mapping", "pretrain_rounds": 1, "map_hidden": 8, "backbone": SMALL["generator"]},
            },
            {"pretrain": (1, ["generator"]), "generator": (2, ["mapping"]), "train": (None, ["task"])},
        ),
    ],
)  # fmt: skip
def test_when_the_generator_is_trained(tiny_data, make_job, new_run, options, expected):
    job = make_job(tiny_data("vectors"), SMALL | options, missing=SOME)
    assert stages(job) == expected
    run = new_run(job).go(until=job.rounds - 1)
    before = dict(run.x)
    changed = {n for n in run.go().x if run.x[n].tobytes() != before[n].tobytes()}
    assert {n for n in changed if n.startswith("task.")}
    assert any(n.startswith("gen.") for n in changed) == (options.get("freeze") != "phase")


def test_its_settings_are_the_federations_or_its_own(tiny_data, make_job):
    adam = {"name": "adam", "lr": 0.25}
    own = {"generator_epochs": 3, "generator_optimizer": adam}
    mapping = {"name": "mapping", "generator_epochs": 2, "mapping_epochs": 4}
    for options, found in (
        ({}, [(None, None)]),
        (own, [(3, 0.25)]),
        (own | {"generator": mapping}, [(2, 0.001), (4, 0.001)]),
    ):
        train = [s for s in make_job(tiny_data("vectors"), SMALL | options).phases[0].stages if s.name != "task"]
        assert [(s.epochs, getattr(s.objectives[0].optimizer, "lr", None)) for s in train] == found


@pytest.mark.parametrize("name", GENERATORS)
def test_any_generator_fills_in(tiny_data, make_job, new_run, name):
    generator = {"name": "mapping", "map_hidden": 8, "backbone": {"name": "mmvae_plus"} | SIZES}
    plain = {"generator": generator if name == "mapping" else {"name": name} | SIZES}
    one, four = (
        new_run(
            make_job(
                tiny_data("vectors"), SMALL | plain, missing=SOME, stack=stack, evaluation={"missing": "same"},
                federation={"rounds": 2, "batch_size": 16, "optimizer": {"lr": 0.001}},
            )
        ).go(until=1)
        for stack in (1, 4)
    )  # fmt: skip
    for group, values in one.x.items():
        np.testing.assert_allclose(four.x[group], values, rtol=0, atol=1e-4, err_msg=group)
    assert all(np.isfinite(list(record["loss"].values())).all() for record in four.go().records)


def test_a_generator_that_makes_the_absent_one_is_better_than_nothing(correlated, make_job, new_run):
    sharp = {"name": "normal", "scale": 0.3}
    generator = {"name": "mopoe", "latent": 4, "hidden": 64, "likelihoods": {"left": sharp, "right": sharp}}
    methods = {
        "fill": {"name": "vae_fill", "generator": generator, "pretrain_rounds": 10, "freeze": "phase"},
        "zero": {"name": "zero_fill"},
    }
    accuracy = {}
    for name, method in methods.items():
        found = []
        for seed in range(2):
            job = make_job(
                correlated(seed), method, seed=seed, stack=8, model={"dim": 16, "normalize": True, "dropout": 0.0},
                missing={"name": "roles", "roles": [
                    {"modalities": ["left"], "clients": 3}, {"modalities": ["right"], "clients": 3},
                    {"modalities": ["left", "right"], "clients": 2},
                ]},
                federation={"rounds": 20, "batch_size": 16, "optimizer": {"name": "adam", "lr": 0.005}},
                evaluation={"every_rounds": 20},
            )  # fmt: skip
            found.append(new_run(job).go().records[-1]["test"]["accuracy"])
        accuracy[name] = np.mean(found)
    assert accuracy["fill"] > accuracy["zero"]


def test_a_generator_that_nobody_trains_is_refused():
    message = "freeze: phase would leave the generator untrained; write pretrain_rounds of 1 or more"
    with pytest.raises(ValueError, match=re.escape(message)):
        registry.options(VaeFill, {"generator": "mopoe", "freeze": "phase"})


@pytest.mark.parametrize("name", sorted({*NAMES} - {*GENERATORS}))
def test_a_generator_that_makes_nothing_of_another_modality_is_refused(name):
    with pytest.raises(ValueError, match="makes no modality of another; name one that does, such as mopoe"):
        registry.options(VaeFill, {"generator": name})


def test_token_ids_and_single_modalities_are_refused():
    with pytest.raises(ValueError, match=r"^vae_fill .* cannot make tokens: give 'words' as image or sequence or vect"):
        VaeFill.suits({"a": "vector", "words": "tokens"})
    with pytest.raises(ValueError, match=r"^vae_fill needs at least 2 modalities, the data has 1$"):
        VaeFill.suits({"a": "vector"})
