import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.mvae_mapping import MvaeMapping
from raysim.data.dataset import Modality
from raysim.engine.rounds import shares
from raysim.method import ClientInfo, Feature
from raysim.models.vae import VAE
from raysim.seeding import stream

SMALL = {"name": "mvae_mapping", "latent": 3, "hidden": 8, "map_hidden": 8}
ROLES = [{"modalities": ["left"], "clients": 2}, {"modalities": ["left", "right"], "clients": 2}]
SOME = {"name": "per_sample", "rate": 0.4}
LN4 = math.log(4)
CLIENT = ClientInfo(
    id=0, modalities=frozenset({"left", "right"}), always=frozenset({"left"}), samples=2, class_counts=(2,), complete=1
)


class Times(nn.Module):
    """Multiplies by a factor."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def double(logvar):
    """An autoencoder of single numbers: the posterior's mean is 2 x, decoding changes nothing."""
    net = VAE(nn.Identity(), 1, 1, nn.Identity())
    for part, weight, bias in ((net.mean, 2.0, 0.0), (net.logvar, 0.0, logvar)):
        nn.init.constant_(part.weight, weight)
        nn.init.constant_(part.bias, bias)
    return net


class Pass(nn.Module):
    """An encoder that gives its input."""

    def forward(self, x, lengths=None):
        return Feature.of(x)


@pytest.fixture
def by_hand(tiny_data, make_job, make_batch, make_nets):
    """`by_hand(left, right, ...)`: the method, networks and a batch where all is a number and each mapping doubles."""

    def make(left, right, factor=2.0, frozen=None, round_=10, **options):
        data = tiny_data("vectors")
        data = replace(data, modalities={m: Modality("vector", (1,)) for m in data.modalities})
        job = make_job(data, SMALL | {"latent": 1} | options)
        fakes = {"gen__left": double(0.0), "gen__right": double(LN4), "task__left": Pass(), "task__right": Pass()}
        fakes |= {"map__left_right": Times(factor), "map__right_left": Times(factor)}
        nets = make_nets(job, frozen=frozen, **fakes)
        given = {"left": left, "right": right}
        x = {m: torch.tensor([[v or 0.0] for v in values]) for m, values in given.items()}
        batch = make_batch(job, x, {m: [v is not None for v in values] for m, values in given.items()}, round_=round_)
        return job.method, nets, batch

    return make


def test_the_generators_loss_is_equation_3(by_hand):
    method, nets, batch = by_hand([1.0, 3.0], [2.0, None])
    left, right = (
        stream(0, "draw", 0, f"posterior.{m}").standard_normal(2, dtype=np.float32) for m in ("left", "right")
    )
    # Squared error of 2 x + sigma eps against x, and (m^2 + s^2 - ln s^2 - 1) / 2 with m = 2 x.
    first = (2 + left[0] - 1) ** 2 + (4 + 1 - 0 - 1) / 2
    second = (6 + left[1] - 3) ** 2 + (36 + 1 - 0 - 1) / 2
    other = (4 + 2 * right[0] - 2) ** 2 + (16 + 4 - LN4 - 1) / 2
    assert method.generator_loss(nets, batch).item() == pytest.approx((first + second) / 2 + other, rel=1e-5)


@pytest.mark.parametrize(("round_", "share"), [(1, 0.1), (5, 0.5), (10, 1.0), (30, 1.0)])
def test_the_priors_weight_warms_up(by_hand, round_, share):
    losses = []
    for beta in (0.0, 2.0):
        method, nets, batch = by_hand([1.0], [None], round_=round_, beta=beta)
        losses.append(method.generator_loss(nets, batch).item())
    assert losses[1] - losses[0] == pytest.approx(2.0 * share * 2.0, rel=1e-5)


def test_the_mappings_loss_is_equation_5(by_hand):
    method, nets, batch = by_hand([1.0, 7.0, None], [3.0, None, 5.0])
    # Only the first sample is a pair: 2 -> 4 against 3, and 6 -> 12 against 1.
    assert method.mapping_loss(nets, batch).item() == 1.0 + 121.0
    method, nets, batch = by_hand([1.0], [3.0], alpha=1)
    # Left to right: N(4, 1) from N(6, 4); right to left: N(12, 16) from N(2, 1).
    divergences = 0.5 * (LN4 - 0 + (1 + 4) / 4 - 1) + 0.5 * (0 - 2 * LN4 + (16 + 100) / 1 - 1)
    assert method.mapping_loss(nets, batch).item() == pytest.approx(122.0 + divergences, rel=1e-6)


def test_the_mappings_stage_wants_pairs_and_leaves_the_generators_alone(tiny_data, make_job, new_run):
    with_, without = (
        new_run(make_job(tiny_data("vectors"), SMALL | {"mapping": mapping}, missing=SOME)).go(until=1)
        for mapping in (True, False)
    )
    assert [s.name for s in with_.job.phases[0].stages] == ["generator", "mapping", "task"]
    assert [s.name for s in without.job.phases[0].stages] == ["generator", "task"]
    assert set(with_.x) - set(without.x) == {"map.left_right", "map.right_left"}
    for name in ("gen.left", "gen.right"):
        assert with_.x[name].tobytes() == without.x[name].tobytes() != with_.start[name].tobytes()


def test_only_owners_of_both_train_a_mapping_and_owners_count_alike(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES})).go(until=1)
    both = [k for k in range(4) if run.job.data.info(k).complete]
    assert len(both) == 2
    assert [row["id"] for row in run.records[0]["clients"] if "mapping" in row["loss"]] == both
    found = shares(run.job, run.job.phases[0], range(4))
    assert found["gen.left"] == dict.fromkeys(range(4), 0.25)
    assert found["gen.right"] == found["map.left_right"] == found["map.right_left"] == dict.fromkeys(both, 0.5)
    sizes = run.job.data.sizes
    assert found["task.head"] == {k: sizes[k] / sizes.sum() for k in range(4)}


def streams(filled):
    """(weight, present, value) of each stream of a modality."""
    return [(f.weight, f.present().tolist(), f.pooled()[..., 0].tolist()) for f in filled]


def test_own_and_frozen_generators_weigh_as_one(by_hand):
    _, old, _ = by_hand([1.0], [1.0], factor=3.0)
    method, nets, batch = by_hand([1.0, 5.0], [None, 4.0], frozen=old)
    # The mapped mean of the first sample: 2 * 1 doubled by the own, tripled by the frozen mapping.
    expected = [(1.0, [False, True], [0.0, 4.0]), (0.5, [True, False], [4.0, 0.0]), (0.5, [True, False], [6.0, 0.0])]
    filled = method.fill(replace(batch, clients=(CLIENT,)), nets, {m: Feature.of(x) for m, x in batch.x.items()})
    assert streams(filled["right"]) == expected
    assert streams(filled["left"]) == [(1.0, [True, True], [1.0, 5.0])]


@pytest.mark.parametrize(
    ("options", "weight", "value"),
    [
        ({}, 1.0, 4.0),
        ({"mapping": False}, 1.0, 2.0),
        ({"synthetic_weight": 0.2}, 0.2, 4.0),
        ({"freeze": "never"}, 1.0, 4.0),
    ],
)
def test_a_single_generator_is_one_stream(by_hand, options, weight, value):
    method, nets, batch = by_hand([1.0], [None], **options)
    filled = method.fill(batch, nets, {m: Feature.of(x) for m, x in batch.x.items()})
    assert streams(filled["right"])[1:] == [(pytest.approx(weight), [True], [value])]
    assert len(filled["left"]) == 1


def flat(nets):
    """Copies of all parameters but the task model's, by group."""
    groups = [n for n in nets if not n.startswith("task.")]
    return {n: torch.cat([p.detach().flatten() for p in nets[n].parameters()]).numpy() for n in groups}


@pytest.fixture
def watched(monkeypatch):
    """Copies of the replicas and of the networks at each round's first task step, (frozen, own) by group."""
    seen = {}
    fill = MvaeMapping.fill

    def spy(self, batch, nets, features):
        if batch.clients and batch.clients[0].id == 0 and batch.clock.round not in seen:
            seen[batch.clock.round] = [flat(nets.frozen), flat(nets)]
        return fill(self, batch, nets, features)

    monkeypatch.setattr(MvaeMapping, "fill", spy)
    return seen


@pytest.mark.parametrize("freeze", ["round", "start", "never"])
def test_when_the_frozen_generator_is_taken(tiny_data, make_job, new_run, watched, freeze):
    run = new_run(make_job(tiny_data("vectors"), SMALL | {"freeze": freeze}, missing=SOME))
    starts = {1: run.start, 2: run.go(until=1).x}
    run.go()
    groups = {"gen.left", "gen.right", "map.left_right", "map.right_left"}
    for round_, (frozen, own) in watched.items():
        source = starts[1] if freeze == "start" else starts[round_]
        assert set(frozen) == (set() if freeze == "never" else groups)
        for name, values in frozen.items():
            np.testing.assert_array_equal(values, source[name])
            assert not np.array_equal(values, own[name])
    assert sorted(watched) == [1, 2]


def test_never_differs_from_round(tiny_data, make_job, new_run):
    heads = {
        freeze: new_run(make_job(tiny_data("vectors"), SMALL | {"freeze": freeze}, missing=SOME)).go().x["task.head"]
        for freeze in ("round", "start", "never")
    }
    assert len({h.tobytes() for h in heads.values()}) == 3


def test_token_ids_are_refused(tiny_data, make_job):
    data = tiny_data("vectors")
    data = replace(data, modalities=data.modalities | {"words": Modality("tokens", (4,), vocabulary=9)})
    with pytest.raises(
        ValueError, match=r"^mvae_mapping .* cannot make tokens: give 'words' as image or sequence or v"
    ):
        make_job(data, SMALL)


def test_a_single_modality_is_refused(tiny_data, make_job):
    data = tiny_data("vectors")
    with pytest.raises(ValueError, match=r"^mvae_mapping needs at least 2 modalities, the data has 1$"):
        make_job(replace(data, modalities={"left": data.modalities["left"]}), SMALL)


@pytest.mark.parametrize("encoder", ["gru", "conv_gru"])
def test_sequences_are_synthesised_for_their_encoder(tiny_data, make_job, new_run, encoder):
    data = tiny_data("vectors")
    shape, count = (16, 5), 51
    values = stream(0, "sequences").standard_normal((count, *shape)).astype(np.float32)
    lengths = {"right": np.arange(count) % 9 + 8}

    def sequences(split):
        n = len(split)
        right = {"right": values[:n]}
        return replace(split, inputs={**split.inputs, **right}, lengths={"right": lengths["right"][:n]})

    splits = {s: sequences(data.split(s)) for s in ("train", "validation", "test")}
    data = replace(data, modalities=data.modalities | {"right": Modality("sequence", shape)}, **splits)
    model = {"dim": 8, "encoders": {"right": {"name": encoder}}}
    run = new_run(make_job(data, SMALL, model=model, missing=SOME, evaluation={"missing": "same"})).go()
    assert all(np.isfinite(list(record["loss"].values())).all() for record in run.records)
    assert {n for n in run.x if run.x[n].tobytes() == run.start[n].tobytes()} == set()


def test_mappings_learn_to_synthesise_one_modality_from_the_other(correlated, make_job, new_run, learnt):
    adam = {"name": "adam", "lr": 0.003}
    method = {"latent": 8, "hidden": 64, "map_hidden": 64, "generator_optimizer": adam, "mapping_optimizer": adam}
    # With the prior's full weight so little data makes the posterior collapse.
    job = make_job(
        correlated(0), SMALL | method | {"beta": 0.1}, stack=8, model={"dim": 16},
        missing={"name": "per_sample", "rate": 0.5}, federation={"rounds": 40, "batch_size": 8},
        evaluation={"every_rounds": 40},
    )  # fmt: skip
    nets, x = learnt(new_run(job).go())
    posterior = nets["gen.left"].encode(x["left"])
    mapped, _ = job.method.mapped(nets["map.left_right"], *posterior)
    error, unmapped = (nets["gen.right"].error(z, x["right"]).mean() for z in (mapped, posterior[0]))
    spread = (x["right"] - x["right"].mean(0)).square().sum(-1).mean()
    assert error < 0.6 * spread < unmapped
