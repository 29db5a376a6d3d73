import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.fedmmr import FedMMR, Generator
from raysim.data.dataset import Dataset, Modality
from raysim.method import ClientInfo, Feature
from raysim.models.pooling import Pooling
from raysim.seeding import stream
from raysim.simulation.rounds import shares
from raysim.training.trainer import Trainer

SMALL = {"name": "fedmmr", "noise": 2, "generator": [8], "discriminator": [8]}
ROLES = [{"modalities": ["left"], "clients": 2}, {"modalities": ["left", "right"], "clients": 2}]
SOME = {"name": "per_sample", "rate": 0.4}
PLAYERS = {"disc.left_right", "disc.right_left", "gen.left_right", "gen.right_left"}
LEFT_ONLY = ClientInfo(
    id=0, modalities=frozenset({"left"}), always=frozenset({"left"}), samples=2, class_counts=(2, 0, 0), complete=0
)


class Times(Generator):
    """Multiplies numbers by a factor and adds the first noise, scaled."""

    def __init__(self, factor, source, target, spread=0.0):
        nn.Module.__init__(self)
        number = Modality("vector", (1,))
        self.source, self.target, self.noise = Pooling(source, number), Pooling(target, number), 1
        self.factor, self.spread = nn.Parameter(torch.tensor(factor)), spread

    def forward(self, x, noise):
        return self.factor * x + self.spread * noise


class Slope(nn.Module):
    """A discriminator: the logit is so many times the number."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, x):
        return self.slope * x.squeeze(-1)


class Turn(nn.Module):
    """An encoder of numbers: (x, 1)."""

    def forward(self, x, lengths=None):
        return Feature.of(torch.cat([x, torch.ones_like(x)], dim=-1))


@pytest.fixture
def numbers(tiny_data, make_job, make_batch, make_nets):
    """`numbers({modality: values or None}, {(source, target): factor}, ...)`: all are numbers."""

    def make(given, factors, *, slope=0.5, spread=0.0, **options):
        modalities = {m: Modality("vector", (1,)) for m in given}
        data = tiny_data("vectors").train
        data = replace(data, inputs={m: np.ones((51, 1), np.float32) for m in given}, present={})
        job = make_job(Dataset(modalities, ("x", "y", "z"), False, *[data] * 3), SMALL | options)
        fakes = {f"task__{m}": Turn() for m in given} | {f"disc__{s}_{t}": Slope(slope) for s, t in factors}
        nets = make_nets(job, **fakes, **{f"gen__{s}_{t}": Times(f, s, t, spread) for (s, t), f in factors.items()})
        x = {m: torch.tensor([[math.nan if v is None else v] for v in values]) for m, values in given.items()}
        batch = make_batch(job, x, {m: [v is not None for v in values] for m, values in given.items()})
        return job.method, nets, batch

    return make


@pytest.fixture
def job(tiny_data, make_job):
    return make_job(tiny_data("vectors"), SMALL)


PAIR = {("left", "right"): -2.0, ("right", "left"): 3.0}


def surprise(logit, real):
    return math.log(1 + math.exp(-logit if real else logit))


def test_the_discriminators_loss_by_hand(numbers):
    # The second sample is no pair. Made are -2 beside 3, and 9 beside 1; logits are half of them.
    method, nets, batch = numbers({"left": [1.0, 7.0], "right": [3.0, None]}, PAIR)
    right, left = surprise(1.5, True) + surprise(-1.0, False), surprise(0.5, True) + surprise(4.5, False)
    loss = method.discriminator_loss(nets, batch)
    assert loss.item() == pytest.approx(right + left, rel=1e-6)
    loss.backward()
    assert all(nets[n].slope.grad != 0 for n in PLAYERS if n.startswith("disc."))
    assert all(nets[n].factor.grad is None for n in PLAYERS if n.startswith("gen."))


@pytest.mark.parametrize("weights", [(10.0, 1.0), (0.0, 1.0), (2.0, 0.0)])
def test_the_generators_loss_by_hand(numbers, weights):
    error, similarity = weights
    options = {} if weights == (10.0, 1.0) else {"reconstruction_weight": error, "similarity_weight": similarity}
    method, nets, batch = numbers({"left": [1.0, 7.0], "right": [3.0, None]}, PAIR, **options)
    # Features are (-2, 1) beside (3, 1), and (9, 1) beside (1, 1).
    right = surprise(-1.0, True) + error * 25.0 + similarity * (1 + 5 / math.sqrt(5 * 10))
    left = surprise(4.5, True) + error * 64.0 + similarity * (1 - 10 / math.sqrt(82 * 2))
    assert method.generator_loss(nets, batch).item() == pytest.approx(right + left, rel=1e-6)


def test_the_similarity_reaches_the_generator_through_the_encoder(numbers):
    method, nets, batch = numbers({"left": [1.0], "right": [3.0]}, PAIR, slope=0.0, reconstruction_weight=0.0)
    method.generator_loss(nets, batch).backward()
    # The cosine of (g, 1) and (3, 1) is (3 g + 1) / sqrt(10 (g^2 + 1)); its slope is (3 - g) / sqrt(10) (g^2 + 1)^-1.5.
    assert nets["gen.left_right"].factor.grad.item() == pytest.approx(-5 / math.sqrt(10) / 5**1.5, rel=1e-5)


def test_both_players_see_the_same_noise(numbers):
    method, nets, batch = numbers({"left": [1.0, 2.0], "right": [3.0, 4.0]}, PAIR, spread=1.0)
    noise = stream(0, "draw", 0, "made.left_right").standard_normal(2, dtype=np.float32)
    for _ in range(2):
        made = method.generated(nets, batch, "left", "right")[:, 0]
        assert made.tolist() == pytest.approx([-2 + noise[0], -4 + noise[1]], rel=1e-6)


def test_noise_stands_beside_the_source(job, make_nets):
    net = make_nets(job)["gen.left_right"]
    assert net.net[0].weight.shape == (8, 6 + 2)
    x, noise = torch.ones(1, 6), torch.zeros(1, 2)
    assert not torch.equal(net(x, noise), net(x, noise + 1))


def test_sizes(make_job, tiny_data):
    modalities = {"image": Modality("vector", (1280,)), "text": Modality("vector", (512,))}
    inputs = {m: np.zeros((51, modality.shape[0]), np.float32) for m, modality in modalities.items()}
    split = replace(tiny_data("vectors").train, inputs=inputs, present={})
    job = make_job(Dataset(modalities, ("x", "y", "z"), False, *[split] * 3), "fedmmr")
    sizes = {n: job.layouts[n].parameters for n in job.groups if not n.startswith("task.")}
    assert sizes == {
        "gen.image_text": 534_528,
        "gen.text_image": 535_296,
        "disc.image_text": 164_353,
        "disc.text_image": 360_961,
    }


def test_the_players_step_in_turn_on_pairs_and_leave_the_task_model_alone(job):
    gan, task = job.phases[0].stages
    assert [o.trains for o in gan.objectives] == [("disc.*",), ("gen.*",)]
    assert [(o.optimizer.lr, o.optimizer.betas) for o in gan.objectives] == [(2e-4, (0.5, 0.999))] * 2
    assert (gan.epochs, task.globs) == (1, ("task.*",))
    present = {"left": np.array([True, True, False]), "right": np.array([True, False, True])}
    assert gan.samples(present).tolist() == [True, False, False]


def test_what_is_absent_is_encoded_from_the_mean_of_what_is_made(numbers):
    given = {"left": [1.0, 1.0, None, None], "right": [10.0, None, 10.0, None], "third": [None] * 4}
    factors = {("left", "third"): 2.0, ("right", "third"): 3.0, ("left", "right"): 5.0, ("right", "left"): 7.0}
    method, nets, batch = numbers(given, factors)
    filled = method.fill(batch, nets, {m: nets[f"task.{m}"](x) for m, x in batch.x.items()})
    assert filled["third"].pooled()[:, 0].tolist() == [16.0, 2.0, 30.0, 0.0]
    assert filled["right"].pooled()[:, 0].tolist() == [10.0, 5.0, 10.0, 0.0]
    assert filled["left"].pooled()[:, 0].tolist() == [1.0, 1.0, 70.0, 0.0]
    assert filled["third"].present().tolist() == [True, True, True, False]


def test_at_evaluation_a_sample_draws_its_own_noise(tiny_data, make_job, new_run):
    job = make_job(tiny_data("vectors"), SMALL, evaluation={"missing": 0.5})
    trainer, broadcast = Trainer(job), new_run(job).simulation._broadcast(0)
    together = trainer.predict(broadcast, "test", 0, 10)
    apart = np.concatenate([trainer.predict(broadcast, "test", i, i + 1) for i in range(10)])
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-6)


def test_no_gradient_into_the_players(job, make_batch, make_nets):
    nets = make_nets(job)
    x = {"left": torch.ones(2, 6), "right": torch.zeros(2, 5)}
    batch = make_batch(job, x, {"left": [True] * 2, "right": [False] * 2}, clients=(LEFT_ONLY,))
    job.method.loss(nets, batch).backward()
    assert all(p.grad is None for n in PLAYERS for p in nets[n].parameters())
    assert all(p.grad.any() for p in nets["task.left"].parameters())


def test_a_unimodal_client_changes_neither_the_other_encoder_nor_the_generators(tiny_data, make_job, new_run):
    missing = {"name": "roles", "roles": [{"modalities": ["left"], "clients": 4}]}
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing=missing)).go()
    changed = {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()}
    assert changed == {"task.left", "task.head"}


def flat(net):
    return torch.cat([p.detach().flatten() for p in net.parameters()]).numpy().copy()


@pytest.fixture
def first_steps(monkeypatch):
    """The discriminator left_right at each client's first step of each round, by (round, client)."""
    seen = {}
    loss = FedMMR.discriminator_loss

    def spy(self, nets, batch):
        seen.setdefault((batch.clock.round, batch.clients[0].id), flat(nets["disc.left_right"]))
        return loss(self, nets, batch)

    monkeypatch.setattr(FedMMR, "discriminator_loss", spy)
    return seen


def test_discriminators_stay_with_their_client(tiny_data, make_job, new_run, first_steps):
    # Without an evaluation in between, round 1 ends before round 2 begins.
    job = make_job(
        tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES}, evaluation={"every_rounds": 2}
    )
    both = [k for k in range(4) if job.data.info(k).complete]
    start = flat(job.groups["disc.left_right"].net)
    run = new_run(job).go(until=1)
    one, other = (run.states[k]["private/disc.left_right"].copy() for k in both)
    run.go()
    for k, mine in zip(both, (one, other), strict=True):
        np.testing.assert_array_equal(first_steps[1, k], start)
        np.testing.assert_array_equal(first_steps[2, k], mine)
        assert not np.array_equal(mine, start)
        assert not np.array_equal(run.states[k]["private/disc.left_right"], mine)
    assert not np.array_equal(one, other)
    assert set(run.x) & PLAYERS == {"gen.left_right", "gen.right_left"}
    assert {k for _, k in first_steps} == set(both)


def test_clients_with_pairs_train_the_generators_and_weigh_by_samples(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES})).go(until=1)
    both = [k for k in range(4) if run.job.data.info(k).complete]
    assert [row["id"] for row in run.records[0]["clients"] if "gan" in row["loss"]] == both
    sizes = run.job.data.sizes[both] / run.job.data.sizes[both].sum()
    found = shares(run.job, run.job.phases[0], range(4))
    for name in ("gen.left_right", "gen.right_left"):
        assert found[name] == pytest.approx(dict(zip(both, sizes, strict=True)))


def test_what_is_made_follows_the_other_modality_and_is_better_than_zeros(
    correlated, make_job, new_run, make_batch, learnt
):
    roles = [{"modalities": ["left"], "clients": 6}, {"modalities": ["left", "right"], "clients": 2}]

    def run(method, seed):
        return new_run(
            make_job(
                correlated(seed), method, seed=seed, stack=8, missing={"name": "roles", "roles": roles},
                model={"dim": 16, "normalize": True, "dropout": 0.0, "head": {"hidden": 32, "dropout": 0.0}},
                federation={"rounds": 25, "optimizer": {"name": "adam", "lr": 0.003}}, evaluation={"every_rounds": 25},
            )
        ).go()  # fmt: skip

    runs = [(run("fedmmr", seed), run("zero_fill", seed)) for seed in range(2)]
    ours, zeros = np.mean([[r.records[-1]["test"]["accuracy"] for r in pair] for pair in runs], axis=0)
    assert ours > zeros + 0.1
    nets, x = learnt(runs[0][0])
    batch = make_batch(runs[0][0].job, x, {m: [True] * 200 for m in x})
    error = (runs[0][0].job.method.generated(nets, batch, "left", "right") - x["right"]).square().mean()
    assert error < 0.75 * (x["right"] - x["right"].mean(0)).square().mean()
