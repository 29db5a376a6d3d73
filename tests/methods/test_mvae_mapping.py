import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn

from methods.mvae_mapping import MvaeMapping
from raysim.batch import Nets
from raysim.data.dataset import Modality
from raysim.evaluation.scores import added
from raysim.generators.mapping import MappedCodes
from raysim.method import ClientInfo, Feature
from raysim.models.mapping import LatentMapping
from raysim.models.reconstruction import moments
from raysim.models.vae import VaeDecoder, VaeEncoder
from raysim.seeding import stream
from raysim.simulation.rounds import shares
from raysim.training.context import Networks

SMALL = {"name": "mvae_mapping", "latent": 3, "hidden": 8, "map_hidden": 8}
ROLES = [{"modalities": ["left"], "clients": 2}, {"modalities": ["left", "right"], "clients": 2}]
SOME = {"name": "per_sample", "rate": 0.4}
LN4 = math.log(4)
CLIENT = ClientInfo(
    id=0, modalities=frozenset({"left", "right"}), always=frozenset({"left"}), samples=2, class_counts=(2,), complete=1
)
GENERATORS = ["gen.left.encoder", "gen.left.decoder", "gen.right.encoder", "gen.right.decoder"]
MAPPINGS = ["map.left_right", "map.right_left"]


def save_generators(job, path):
    nets = {name: job.groups[name].net for name in GENERATORS}
    save_file({f"{n}/{key}": t for n, net in nets.items() for key, t in net.state_dict().items()}, path)
    return nets


class Times(LatentMapping):
    """Multiplies by a factor."""

    def __init__(self, factor):
        super().__init__(1, 1)
        self.factor = factor

    def forward(self, z):
        return self.factor * z


def doubling(logvar):
    """An encoder of single numbers: the posterior's mean is 2 x."""
    net = VaeEncoder(nn.Identity(), 1, 1)
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
    """`by_hand(left, right, ...)`: the method, networks and a batch where all is a number and each mapping doubles.

    Posteriors are N(2 x, 1) of the left and N(2 x, 4) of the right, or Laplace's with these variances; decoding changes
    nothing.
    """

    def make(left, right, factor=2.0, frozen=None, round_=10, more=(), **options):
        given = {"left": left, "right": right} | dict(more)
        data = tiny_data("vectors")
        data = replace(data, modalities={m: Modality("vector", (1,)) for m in given})
        job = make_job(data, SMALL | {"latent": 1, "source_latent": "mean"} | options)
        fakes = {f"map__{s}_{t}": Times(factor) for s in given for t in given if s != t}
        for m in given:
            fakes |= {f"gen__{m}__encoder": doubling(LN4 if m == "right" else 0.0), f"task__{m}": Pass()}
            fakes[f"gen__{m}__decoder"] = VaeDecoder(nn.Identity())
        nets = make_nets(job, frozen=frozen, **fakes)
        x = {m: torch.tensor([[v or 0.0] for v in values]) for m, values in given.items()}
        batch = make_batch(job, x, {m: [v is not None for v in values] for m, values in given.items()}, round_=round_)
        return job.method, nets, batch

    return make


def fill(method, nets, batch):
    return method.fill(batch, nets, {m: Feature.of(x) for m, x in batch.x.items()})


def streams(filled):
    """(weight, present, value) of each stream of a modality."""
    return [(f.weight, f.present().tolist(), f.pooled()[..., 0].tolist()) for f in filled]


def draw(modality, count):
    return stream(0, "draw", 0, f"posterior.{modality}").standard_normal(count, dtype=np.float32)


def test_the_generators_loss_is_equation_3(by_hand):
    method, nets, batch = by_hand([1.0, 3.0], [2.0, None])
    left, right = draw("left", 2), draw("right", 2)
    # Half the squared error of 2 x + sigma eps against x, and (m^2 + s^2 - ln s^2 - 1) / 2 with m = 2 x.
    first = (2 + left[0] - 1) ** 2 / 2 + (4 + 1 - 0 - 1) / 2
    second = (6 + left[1] - 3) ** 2 / 2 + (36 + 1 - 0 - 1) / 2
    other = (4 + 2 * right[0] - 2) ** 2 / 2 + (16 + 4 - LN4 - 1) / 2
    loss = sum(method.generator.backbone.losses(nets, batch))
    assert loss.item() == pytest.approx((first + second) / 2 + other, rel=1e-5)


def test_a_posterior_is_of_its_priors_family(by_hand):
    priors = {"left": {"name": "normal", "mean": 1.0, "std": 2.0}, "right": {"name": "laplace", "scale": 2.0}}
    method, nets, batch = by_hand([1.0], [2.0], priors=priors)
    left, right = draw("left", 1)[0], draw("right", 1)[0]
    # N(2, 1) from N(1, 4).
    first = (2 + left - 1) ** 2 / 2 + (LN4 + (1 + 1) / 4 - 1) / 2
    # A Laplace draw around 4 of variance 4, b = sqrt 2, as rare as the normal one; the prior's b is 2.
    b, tail = math.sqrt(2), math.erfc(abs(right) / math.sqrt(2))
    drawn = 4 + b * math.copysign(math.log(tail), right)
    other = (drawn - 2) ** 2 / 2 + math.log(2 / b) + 4 / 2 + b / 2 * math.exp(-4 / b) - 1
    assert sum(method.generator.backbone.losses(nets, batch)).item() == pytest.approx(first + other, rel=1e-5)


@pytest.mark.parametrize(("round_", "share"), [(1, 0.1), (5, 0.5), (10, 1.0), (30, 1.0)])
def test_the_priors_weight_warms_up(by_hand, round_, share):
    losses = {}
    for beta in (0.0, 2.0):
        method, nets, batch = by_hand([1.0], [None], round_=round_, beta=beta)
        for clients in ((CLIENT,), ()):
            loss = sum(method.generator.backbone.losses(nets, replace(batch, clients=clients)))
            losses[beta, len(clients)] = loss.item()
    assert losses[2.0, 1] - losses[0.0, 1] == pytest.approx(2.0 * share * 2.0, rel=1e-5)
    assert losses[2.0, 0] - losses[0.0, 0] == pytest.approx(2.0 * 2.0, rel=1e-5)  # at evaluation


def test_the_mappings_loss_is_equation_5(by_hand):
    method, nets, batch = by_hand([1.0, 7.0, None], [3.0, None, 5.0])
    # Only the first sample is a pair: 2 -> 4 against 3, and 6 -> 12 against 1.
    assert sum(method.generator.mapping_losses(nets, batch)).item() == (1.0 + 121.0) / 2
    method, nets, batch = by_hand([1.0], [3.0], alpha=1)
    # Left to right: N(4, 1) from N(6, 4); right to left: N(12, 16) from N(2, 1).
    divergences = 0.5 * (LN4 - 0 + (1 + 4) / 4 - 1) + 0.5 * (0 - 2 * LN4 + (16 + 100) / 1 - 1)
    assert sum(method.generator.mapping_losses(nets, batch)).item() == pytest.approx(61.0 + divergences, rel=1e-6)


def test_a_mapped_posterior_is_of_the_targets_family(by_hand):
    method, nets, batch = by_hand([1.0], [3.0], alpha=1, priors={"right": {"name": "laplace"}})
    # Left to right: Laplace's of the variances 1 and 4, 4 and 6; right to left: N(12, 16) from N(2, 1).
    b, c = math.sqrt(0.5), math.sqrt(2)
    divergences = math.log(c / b) + 2 / c + b / c * math.exp(-2 / b) - 1 + 0.5 * (0 - 2 * LN4 + (16 + 100) / 1 - 1)
    assert sum(method.generator.mapping_losses(nets, batch)).item() == pytest.approx(61.0 + divergences, rel=1e-6)


def test_moments_of_mapped_and_real_means(by_hand):
    losses = []
    for weight in (0.0, 0.5):
        # The last two are no pairs.
        method, nets, batch = by_hand([1.0, 3.0, 9.0, None], [2.0, 8.0, None, 9.0], moments=weight)
        losses.append(sum(method.generator.mapping_losses(nets, batch)).item())
    # Left to right 4 and 12, mean 8, deviation 4, against 4 and 16: 10 and 6; right to left 8 and 32: 20 and 12,
    # against 2 and 6: 4 and 2.
    gaps = (10 - 8) ** 2 + (6 - 4) ** 2 + (20 - 4) ** 2 + (12 - 2) ** 2
    assert losses[1] - losses[0] == pytest.approx(0.5 * gaps, rel=1e-6)


def test_moments_are_of_each_dimension_and_client():
    values = torch.tensor([[[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 6.0], [7.0, 8.0], [9.0, 9.0]]])
    values.requires_grad_()
    mean, deviation = moments(values, torch.tensor([[True, True, False], [True, False, False]]))
    assert mean.tolist() == [[2, 2], [5, 6]]
    assert deviation.tolist() == [[1, 2], [0, 0]]
    (gradient,) = torch.autograd.grad(deviation.sum(), values)
    assert gradient.tolist() == [[[-0.5, -0.5], [0.5, 0.5], [0, 0]], [[0, 0]] * 3]
    assert [m.tolist() for m in moments(values[0], torch.zeros(3, dtype=torch.bool))] == [[0, 0], [0, 0]]


def test_mappings_learn_from_draws_of_the_source(by_hand):
    method, nets, batch = by_hand([1.0], [3.0], source_latent="sample")
    left, right = (
        stream(0, "draw", 0, f"source.{p}").standard_normal(1, dtype=np.float32)[0]
        for p in ("left_right", "right_left")
    )
    # 2 + eps, doubled, against 3; 6 + 2 eps, doubled, against 1.
    expected = ((2 * (2 + left) - 3) ** 2 + (2 * (6 + 2 * right) - 1) ** 2) / 2
    assert sum(method.generator.mapping_losses(nets, batch)).item() == pytest.approx(expected, rel=1e-5)


def judged(by_hand, left, right, held, y, **fields):
    method, nets, batch = by_hand(left, right)
    batch = replace(batch, columns={"held": torch.tensor(held)}, y=torch.tensor(y), **fields)
    method.generator.note_errors(nets, batch)
    return method.generator.held_back_errors(nets, batch)["left", "right"], nets


def test_a_mapping_is_judged_by_pairs_that_are_held_back(by_hand):
    # Of the left 1, 2, 3 and 0, 4 x is decoded on the right, where 4, 8, 1 and 9 are; the last two are held back.
    left, right, held = [1.0, 2.0, 3.0, 0.0, None], [4.0, 8.0, 1.0, 9.0, 7.0], [False, False, True, True, False]
    (error, class_mean), nets = judged(by_hand, left, right, held, [0, 1, 0, 2, 2])
    mean = (1 - 6) ** 2 + (9 - 6) ** 2
    wrong, of_class = (12 - 1) ** 2 + (0 - 9) ** 2, (4 - 1) ** 2 + (9 - 6) ** 2  # nobody else has class 2
    assert (error.item(), class_mean.item()) == pytest.approx((wrong / mean, of_class / mean))
    found = nets["map.left_right"].held_back.tolist()
    assert found == pytest.approx([1, wrong / mean, of_class / mean, 1])
    assert not nets["map.left_right"].useful().item()


@pytest.mark.parametrize("held", [[False, False], [True, True]])
def test_without_pairs_on_both_sides_nothing_is_judged(by_hand, held):
    (error, class_mean), nets = judged(by_hand, [1.0, 2.0], [4.0, 8.0], held, [0, 1])
    assert error.isnan()
    assert class_mean.isnan()
    assert nets["map.left_right"].held_back.tolist() == [0, 0, 0, 0]
    assert nets["map.left_right"].useful().item()


def test_what_does_no_better_than_the_mean_synthesises_nothing(by_hand):
    method, nets, batch = by_hand([1.0], [None], more={"third": [3.0]})
    nets["map.third_right"].held_back.copy_(torch.tensor([0.5, 0.49, 0.1, 0.2]))
    assert streams(fill(method, nets, batch)["right"])[1:] == [(1.0, [True], [8.0])]
    nets["map.third_right"].held_back.copy_(torch.tensor([0.5, 0.5, 0.1, 0.2]))
    assert streams(fill(method, nets, batch)["right"])[1:] == [(1.0, [True], [4.0])]


def test_errors_are_shares_of_the_variance(by_hand):
    method, nets, batch = by_hand([1.0, 3.0, None], [2.0, 8.0, 0.0])
    nets["map.left_right"].held_back.copy_(torch.tensor([0.5, 0.4, 0.3, 0.25]))
    with torch.no_grad():
        sums = added([{n: t.double().numpy() for n, t in method.examine(nets, batch).items()}] * 2)
    found = method.examined(sums)
    # Decoded means are 2 x: of the left 2 and 6, variance 2 in all; twice the divergence of N(2 x, 1) is 4 x^2.
    assert found["left"] == pytest.approx({"error": (1 + 9) / 2, "divergence": (4 + 36) / 2})
    assert found["right"]["error"] == pytest.approx((4 + 64 + 0) / (4 + 64 - 100 / 3))
    # 4 and 12 against 2 and 8, whose own variance is 18 in all.
    held = {"held back": 0.8, "class mean": 0.6, "left out": 0.5}
    assert found["left>right"] == pytest.approx({"error": (4 + 16) / 18, **held})
    assert set(found["right>left"]) == {"error"}


def test_own_and_frozen_generators_weigh_as_one(by_hand):
    _, old, _ = by_hand([1.0], [1.0], factor=3.0)
    method, nets, batch = by_hand([1.0, 5.0], [None, 4.0], frozen=old)
    # The mapped mean of the first sample: 2 * 1 doubled by the own, tripled by the frozen mapping.
    expected = [(None, [False, True], [0.0, 4.0]), (0.5, [True, False], [4.0, 0.0]), (0.5, [True, False], [6.0, 0.0])]
    filled = fill(method, nets, replace(batch, clients=(CLIENT,)))
    assert streams(filled["right"]) == expected
    assert streams(filled["left"]) == [(None, [True, True], [1.0, 5.0])]


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
    filled = fill(method, nets, batch)
    assert streams(filled["right"])[1:] == [(pytest.approx(weight), [True], [value])]
    assert len(filled["left"]) == 1


def test_always_gives_complete_samples_synthetic_streams_from_their_other_modality(by_hand):
    method, nets, batch = by_hand([1.0, 5.0], [None, 4.0], synthetic="always")
    filled = fill(method, nets, replace(batch, clients=(CLIENT,)))
    # Doubled twice: 1 and 5 on the right, 4 on the left of the second sample; the first has nothing to make it from.
    assert streams(filled["right"]) == [(None, [False, True], [0.0, 4.0]), (1.0, [True, True], [4.0, 20.0])]
    assert streams(filled["left"]) == [(None, [True, True], [1.0, 5.0]), (1.0, [False, True], [0.0, 16.0])]


def test_what_nobody_trained_synthesises_nothing(by_hand):
    method, nets, batch = by_hand([1.0], [None], more={"third": [3.0]})

    def right(*unlearnt):
        known = Nets(dict(nets), None, lambda name, net: torch.tensor([name not in unlearnt]))
        return streams(fill(method, known, batch)["right"])[1:]

    assert right() == [(1.0, [True], [8.0])]
    assert right("map.third_right") == [(1.0, [True], [4.0])]
    assert right("map.third_right", "map.left_right") == [(1.0, [False], [0.0])]


def test_where_nobody_has_pairs_the_task_model_is_that_of_zero_filling(tiny_data, make_job, new_run):
    model = {"dim": 8, "dropout": 0.0, "head": {"hidden": 8, "dropout": 0.0}}
    alone = {"missing": {"name": "per_sample", "rate": 1.0}, "model": model}
    ours, zero = (
        new_run(make_job(tiny_data("vectors"), m, **alone)).go()
        for m in (SMALL | {"aggregation": "samples"}, "zero_fill")
    )
    for name, values in zero.x.items():
        assert ours.x[name].tobytes() == values.tobytes() != zero.start[name].tobytes()
    for name in MAPPINGS:
        assert ours.x[name].tobytes() == ours.start[name].tobytes()
    for name in GENERATORS:
        assert ours.x[name].tobytes() != ours.start[name].tobytes()


@pytest.mark.parametrize("stack", [1, 4])
def test_pairs_of_some_clients_are_enough_for_all(tiny_data, make_job, new_run, learnt, stack):
    job = make_job(tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES}, stack=stack)
    nets, _ = learnt(new_run(job).go(until=1))
    assert [nets.learnt(name).item() for name in MAPPINGS] == [True] * 2
    # Both clients that have pairs have measured their mappings.
    assert [nets[name].held_back[0].item() for name in MAPPINGS] == [1, 1]


@pytest.mark.parametrize(
    ("options", "stops"),
    [
        ({"fixed": True}, True),
        ({"fixed": False}, False),
        ({"fixed": True, "staging": "llava", "mapping_epochs": 2}, False),
        ({}, False),
    ],
)
def test_a_mapping_that_gets_no_better_is_trained_no_more_where_its_codes_stay(
    tiny_data, make_job, new_run, monkeypatch, tmp_path, options, stops
):
    # What the clients measure of the mapping as it came and as they have trained it, in rounds 1 to 6.
    met = [0.8, 0.7] * 4 + [0.6, 0.5] * 4 + [0.6, 0.5] * 4 + [0.7, 0.5] * 12
    errors = iter(met if stops else [0.7] * 48)

    def measured(self, nets, batch):
        return {("left", "right"): (torch.tensor(e := next(errors)), torch.tensor(e))}

    monkeypatch.setattr(MappedCodes, "held_back_errors", measured)
    data = tiny_data("vectors")
    if options:
        save_generators(make_job(data, SMALL), tmp_path / "there.safetensors")
        options = options | {"generator_weights": str(tmp_path / "there.safetensors")}
    run = new_run(make_job(data, SMALL | {"patience": 2} | options, federation={"rounds": 6, "batch_size": 16}))
    changed, last = [], dict(run.start)
    for until in range(1, 7):
        run.go(until=until)
        changed.append([not np.array_equal(run.x[n][:-8], last[n][:-8]) for n in MAPPINGS])
        last = dict(run.x)
    # The mean of a round is known in the next one: in round 5 it has not fallen for the second time.
    assert changed == [[True, True]] * 4 + [[not stops, True]] * 2


def test_what_is_measured_of_a_mapping_is_no_training(tiny_data, make_job):
    networks = Networks(make_job(tiny_data("vectors"), SMALL))
    net = copy.deepcopy(networks.job.groups["map.left_right"].net)
    net.held_back.fill_(0.5)
    assert not networks.learnt("map.left_right", net)
    net.net[0].bias.data += 1
    assert networks.learnt("map.left_right", net)


def stages(job):
    """(name, epochs, what it trains, learning rate) of each training stage, by phase."""
    return {
        phase.name: [(s.name, s.epochs, s.globs, getattr(s.objectives[0].optimizer, "lr", None)) for s in phase.stages]
        for phase in job.phases
    }


GENERATOR = ("generator", 1, ("gen.*",), 0.001)
MAPPING = ("mapping", 1, ("map.*",), 0.001)
TASK = ("task", None, ("task.*",), None)


def test_algorithm_1_has_three_stages(tiny_data, make_job):
    def found(**options):
        return stages(make_job(tiny_data("vectors"), SMALL | options))

    assert found() == {"train": [GENERATOR, MAPPING, TASK]}
    assert found(mapping=False) == {"train": [GENERATOR, TASK]}
    assert found(pretrain_rounds=3) == {"pretrain": [GENERATOR], "train": [MAPPING, TASK]}
    tuned = ("tuning", 2, ("map.*", "gen.*.decoder"), pytest.approx(0.002))
    llava = found(staging="llava", mapping_epochs=5, mapping_optimizer={"name": "sgd", "lr": 0.02})
    assert llava == {"train": [GENERATOR, ("alignment", 3, ("map.*",), 0.02), tuned, TASK]}


def test_llavas_stages_want_two_epochs():
    with pytest.raises(ValidationError, match="staging llava halves mapping_epochs, which is 1; write 2 or more"):
        MvaeMapping.Options(staging="llava")


@pytest.mark.parametrize(
    ("options", "changed"),
    [({}, set()), ({"staging": "llava", "mapping_epochs": 2}, {"gen.left.decoder", "gen.right.decoder"})],
)
def test_mapping_stages_want_pairs_and_leave_encoders_alone(tiny_data, make_job, new_run, options, changed):
    with_, without = (
        new_run(make_job(tiny_data("vectors"), SMALL | o, missing=SOME)).go(until=1)
        for o in (options, {"mapping": False})
    )
    assert set(with_.x) - set(without.x) == set(MAPPINGS)
    assert all(with_.x[n].tobytes() != with_.start[n].tobytes() for n in MAPPINGS + GENERATORS)
    assert {n for n in GENERATORS if with_.x[n].tobytes() != without.x[n].tobytes()} == changed


def test_generators_that_are_pre_trained_are_frozen(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), SMALL | {"pretrain_rounds": 1}, missing=SOME)).go(until=1)
    assert {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()} == set(GENERATORS)
    before = dict(run.x)
    assert {n for n in run.go().x if run.x[n].tobytes() == before[n].tobytes()} == set(GENERATORS)
    assert len(run.records) == 3


def test_generators_may_start_from_a_file(tiny_data, make_job, tmp_path):
    path, data = tmp_path / "generators.safetensors", tiny_data("vectors")
    nets = save_generators(make_job(data, SMALL, seed=5), path)
    other, loaded = (make_job(data, SMALL | o) for o in ({}, {"generator_weights": str(path)}))
    assert stages(loaded) == {"train": [MAPPING, TASK]}
    for name, group in loaded.groups.items():
        expected = nets.get(name, other.groups[name].net).state_dict()
        assert all(torch.equal(t, expected[key]) for key, t in group.net.state_dict().items())
    with pytest.raises(ValueError, match=r"generators.safetensors: the shape of 'gen.left.encoder/net.0.weight' is "):
        make_job(data, SMALL | {"hidden": 9, "generator_weights": str(path)})
    before = torch.get_rng_state()
    loaded.method.check(loaded.task)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_autoencoder_is_plugged_in(tiny_data, make_job):
    class Mine(MvaeMapping):
        def autoencoder(self, task, modality):
            width = task.modalities[modality].shape[0]
            return VaeEncoder(nn.Identity(), width, 3), VaeDecoder(nn.Linear(3, width))

    task = make_job(tiny_data("vectors"), SMALL).task
    groups = Mine(Mine.Options(latent=3, map_hidden=8)).modules(task)
    sizes = {n: sum(p.numel() for p in groups[n].net.parameters()) for n in GENERATORS}
    assert list(sizes.values()) == [2 * (6 * 3 + 3), 3 * 6 + 6, 2 * (5 * 3 + 3), 3 * 5 + 5]


@pytest.mark.parametrize(("options", "expected"), [({}, 5 * 581_763), ({"images": "resnet"}, 22_156_495)])
def test_images_have_the_autoencoder_of_table_4_if_asked_for(tiny_data, make_job, options, expected):
    data = tiny_data("vectors")
    images = {m: Modality("image", (3, 28, 28)) for m in "abcde"}
    task = replace(make_job(data, "zero_fill").task, modalities=images | data.modalities)
    method = MvaeMapping(MvaeMapping.Options(**options))
    halves = [half for m in images for half in method.autoencoder(task, m)]
    assert sum(p.numel() for half in halves for p in half.parameters()) == expected
    assert method.autoencoder(task, "left")[1](torch.zeros(2, 64)).shape == (2, 6)


@pytest.mark.parametrize(
    ("latent", "size", "message"),
    [(4, 10, "must be multiples of 4, not 8 and 10"), (3, 8, "make its width even, not 3")],
)
def test_images_without_residual_autoencoder_are_refused(tiny_data, make_job, latent, size, message):
    data = tiny_data("mixed")
    data = replace(data, modalities=data.modalities | {"image": Modality("image", (1, 8, size))})
    with pytest.raises(ValueError, match=f"^the residual autoencoder.*{message}"):
        make_job(data, SMALL | {"latent": latent, "images": "resnet"})


def test_images_are_synthesised_by_the_residual_autoencoder(tiny_data, make_job, new_run):
    plain = {"generator_optimizer": {"lr": 0.001}, "mapping_optimizer": {"lr": 0.001}}
    one, four = (
        new_run(
            make_job(
                tiny_data("mixed"), SMALL | plain | {"latent": 4, "images": "resnet"}, missing=SOME, stack=stack,
                federation={"rounds": 1, "batch_size": 16},
            )
        ).go()
        for stack in (1, 4)
    )  # fmt: skip
    for name, values in one.x.items():
        assert np.isfinite(values).all()
        assert values.tobytes() != one.start[name].tobytes()
        np.testing.assert_allclose(four.x[name], values, rtol=0, atol=1e-5, err_msg=name)


def test_only_owners_of_both_train_a_mapping_and_owners_count_alike(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), SMALL, missing={"name": "roles", "roles": ROLES})).go(until=1)
    both = [k for k in range(4) if run.job.data.info(k).complete]
    assert len(both) == 2
    assert [row["id"] for row in run.records[0]["clients"] if "mapping" in row["loss"]] == both
    found = shares(run.job, run.job.phases[0], range(4))
    assert found["gen.left.encoder"] == found["gen.left.decoder"] == dict.fromkeys(range(4), 0.25)
    for name in ("gen.right.encoder", "gen.right.decoder", *MAPPINGS):
        assert found[name] == dict.fromkeys(both, 0.5)
    assert found["task.head"] == dict.fromkeys(range(4), 0.25)


def test_owners_may_count_by_their_samples(tiny_data, make_job):
    missing = {"name": "roles", "roles": ROLES}
    job = make_job(tiny_data("vectors"), SMALL | {"aggregation": "samples"}, missing=missing)
    sizes = {k: int(job.data.sizes[k]) for k in range(4)}
    both = {k: n for k, n in sizes.items() if job.data.info(k).complete}
    found = shares(job, job.phases[0], range(4))
    for name in GENERATORS + MAPPINGS:
        counts = sizes if name.startswith("gen.left") else both
        assert found[name] == {k: n / sum(counts.values()) for k, n in counts.items()}
    assert found["task.head"] == {k: n / sum(sizes.values()) for k, n in sizes.items()}


def test_a_client_downloads_what_its_modalities_need(tiny_data, make_job):
    def reached(modalities, **options):
        groups = make_job(tiny_data("vectors"), SMALL | options).groups
        client = replace(CLIENT, modalities=frozenset(modalities))
        return [n for n in GENERATORS + MAPPINGS if groups[n].reaches(client)]

    assert reached({"left"}) == ["gen.left.encoder", "gen.left.decoder", "gen.right.decoder", "map.left_right"]
    assert reached({"left", "right"}) == reached({"left"}, exchange="all") == GENERATORS + MAPPINGS


@pytest.mark.parametrize("data", ["vectors", "mixed"])
@pytest.mark.parametrize("options", [{}, {"synthetic": "always", "freeze": "start", "pretrain_rounds": 1}])
def test_what_is_not_needed_changes_nothing(tiny_data, make_job, new_run, data, options):
    names = list(tiny_data(data).modalities)
    roles = [{"modalities": names[:1], "clients": 1}, {"modalities": names[1:], "clients": 1},
             {"modalities": names, "clients": 2}]  # fmt: skip
    needed, everything = (
        new_run(
            make_job(
                tiny_data(data), SMALL | {"channels": [4], "exchange": e} | options, stack=2,
                missing={"name": "roles", "roles": roles},
            )
        ).go()
        for e in ("needed", "all")
    )  # fmt: skip
    for name, values in everything.x.items():
        assert needed.x[name].tobytes() == values.tobytes()
    assert [r["loss"] for r in needed.records] == [r["loss"] for r in everything.records]


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


@pytest.mark.parametrize(
    ("options", "rounds"),
    [
        ({"freeze": "round"}, {1: 0, 2: 1}),
        ({"freeze": "start"}, {1: 0, 2: 0}),
        ({"freeze": "never"}, {1: None, 2: None}),
        ({"freeze": "start", "pretrain_rounds": 1}, {2: 1, 3: 1}),
    ],
)
def test_when_the_frozen_generator_is_taken(tiny_data, make_job, new_run, watched, options, rounds):
    run = new_run(make_job(tiny_data("vectors"), SMALL | options, missing=SOME))
    after = {0: run.start, 1: run.go(until=1).x}
    run.go()
    assert set(watched) == set(rounds)
    for round_, (frozen, own) in watched.items():
        taken = rounds[round_]
        assert set(frozen) == (set() if taken is None else {*GENERATORS, *MAPPINGS})
        for name, values in frozen.items():
            np.testing.assert_array_equal(values, after[taken][name][: len(values)])
            assert np.array_equal(values, own[name]) == ("pretrain_rounds" in options and name in GENERATORS)


def test_never_differs_from_round(tiny_data, make_job, new_run):
    heads = {
        freeze: new_run(
            make_job(tiny_data("vectors"), SMALL | {"freeze": freeze, "mapping": False}, missing=SOME)
        ).go().x["task.head"]
        for freeze in ("round", "start", "never")
    }  # fmt: skip
    assert len({h.tobytes() for h in heads.values()}) == 3


def test_a_prior_of_no_modality_is_refused(tiny_data, make_job):
    with pytest.raises(ValueError, match=r"^priors: the data has no modality 'up'; there are: left, right$"):
        make_job(tiny_data("vectors"), SMALL | {"priors": {"up": {"name": "laplace"}}})


def test_all_options_together_train_a_stack_as_its_clients(tiny_data, make_job, new_run):
    priors = {"vector": {"name": "laplace"}, "image": {"name": "normal", "mean": 1.0}}
    more = {"alpha": 1, "moments": 0.5, "staging": "llava", "mapping_epochs": 2, "synthetic": "always"}
    # Plain steps: Adam makes a visible step of a gradient that is nothing but rounding.
    plain = {"generator_optimizer": {"lr": 0.001}, "mapping_optimizer": {"lr": 0.001}}
    method = SMALL | more | plain | {"priors": priors, "channels": [4], "aggregation": "samples"}
    one, four = (
        new_run(make_job(tiny_data("mixed"), method, missing=SOME, stack=stack)).go(until=1) for stack in (1, 4)
    )
    for name, values in one.x.items():
        assert values.tobytes() != one.start[name].tobytes()
        np.testing.assert_allclose(four.x[name], values, rtol=0, atol=1e-5, err_msg=name)


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
    mean, _ = nets["gen.left.encoder"](x["left"])
    decoder, mapped = nets["gen.right.decoder"], nets["map.left_right"](mean)
    error, unmapped = (decoder.error(z, x["right"]).mean() for z in (mapped, mean))
    spread = (x["right"] - x["right"].mean(0)).square().sum(-1).mean()
    assert error < 0.6 * spread < unmapped


@pytest.mark.parametrize(("left_out", "said"), [((1.0, 1.0), True), ((1.0, 0.5), False), ((), False)])
def test_it_is_said_where_no_mapping_fills_anything_in(left_out, said):
    examined = {f"a>{i}": {"left out": share} for i, share in enumerate(left_out)} | {"a>a": {"reconstruction": 0.5}}
    assert bool(MvaeMapping(MvaeMapping.Options()).remarks(examined)) == said
