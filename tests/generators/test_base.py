"""What every generator in `raysim/generators` that makes modalities of others must keep to."""

import copy
import json
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from stacks import stacked
from tiny_vae import (
    DIMS,
    FILE,
    INCOMPLETE,
    LIKELIHOODS,
    NAMES,
    NOISE,
    ROWS,
    TABLES,
    OneHot,
    X,
    batch,
    mappings,
    networks,
    options_of,
)
from torch import nn

from raysim import registry
from raysim.batch import Clock, Nets
from raysim.data.dataset import Modality
from raysim.draws import Draws
from raysim.generators.autoencoders import Autoencoders
from raysim.generators.base import Generator, Latent, Terms, warmed
from raysim.generators.mopoe import Mopoe
from raysim.generators.named import generator_of
from raysim.models.layers import Linear
from raysim.models.likelihood import Normal
from raysim.models.task import Task
from raysim.models.vae import VaeDecoder, VaeEncoder
from raysim.scenario.model import Model

GENERATORS = [e.name for e in registry.listed("generator") if registry.find("generator", e.name).conditional]


@pytest.fixture(params=GENERATORS)
def kind(request):
    return registry.find("generator", request.param)


@pytest.fixture(params=[name for name in GENERATORS if name != "mapping"])
def alone(request):
    """One that has networks of its own, and no backbone."""
    return registry.find("generator", request.param)


@pytest.fixture
def made(kind):
    """`made(**options)`: the generator for the literal networks, and these."""

    def make(**options):
        generator = kind(options_of(kind, options))
        nets = networks(private="private" in kind.Options.model_fields)
        return generator, nets | (mappings() if "backbone" in kind.Options.model_fields else {})

    return make


def gradients(generator, nets, batch):
    """The loss and its gradients, zero where there is none."""
    parameters = {f"{n}/{p}": t for n, net in nets.items() for p, t in net.named_parameters()}
    loss = sum(generator.losses(Nets(nets), batch))
    found = torch.autograd.grad(loss.sum(), list(parameters.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), dict(zip(parameters, found, strict=True))


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def without(data, **hidden):
    """A batch that lacks modalities in some rows."""
    return replace(data, present={m: p & ~torch.tensor(hidden.get(m, False)) for m, p in data.present.items()})


def test_the_file_says_what_it_is_and_where_it_comes_from(kind):
    summary, *rest = sys.modules[kind.__module__].__doc__.splitlines()
    assert summary.endswith(".")
    assert any(line.startswith("Source: ") for line in rest)


def test_a_stack_is_its_clients(made):
    generator, _ = made()
    whole = batch("incomplete", clients=4)
    clients = [copy.deepcopy(made()[1]) for _ in range(4)]
    for k, p in ((k, p) for k, nets in enumerate(clients) for net in nets.values() for p in net.parameters()):
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    together, joint = gradients(generator, {n: stacked([c[n] for c in clients]) for n in clients[0]}, whole)
    assert together.shape == (4,)
    for k, nets in enumerate(clients):
        rows = {f: {m: t[k] for m, t in getattr(whole, f).items()} for f in ("x", "present", "lengths")}
        draws = Draws(0, [(k,)], axis=False, device=torch.device("cpu"))
        alone, found = gradients(generator, nets, replace(whole, y=whole.y[k], rows=whole.rows[k], draws=draws, **rows))
        near(alone, together[k])
        near(found, {name: gradient[k] for name, gradient in joint.items()})


def test_what_is_absent_is_never_read(made):
    generator, nets = made()
    clean = batch("incomplete")
    poisoned = {m: x.clone() for m, x in X.items()}
    for m in "ab":
        poisoned[m][~clean.present[m]] = torch.nan
    poisoned["c"][~clean.present["c"]] = 2
    loss, found = gradients(generator, nets, batch("incomplete", poisoned))
    assert loss.isfinite()
    near((loss, found), gradients(generator, nets, clean))
    for given in ((), "a", "abc"):
        means = [generator.posterior(Nets(nets), b, given).mean() for b in (clean, replace(clean, x=poisoned))]
        near(means[0].shared, means[1].shared)


@pytest.mark.parametrize("absent", NAMES)
def test_networks_of_what_no_row_has_get_no_gradient(made, absent):
    generator, nets = made()
    _, found = gradients(generator, nets, without(batch(), **{absent: True}))
    untouched = {name.split("/")[0] for name, g in found.items() if not g.any()}
    learnt = {name.split("/")[0] for name, g in found.items() if g.any()}
    assert {n for n in nets if f".{absent}." in n} <= untouched - learnt
    assert learnt >= {f"gen.{m}.{part}" for m in NAMES if m != absent for part in ("encoder", "decoder")}


def test_each_row_that_lacks_a_modality_adds_nothing_to_its_networks(made, kind):
    """The gradient of the rows that have it and of all rows is the same, but for the mean's denominator."""
    generator, nets = made()
    rows = torch.arange(ROWS) < 4
    some = without(batch(), a=~rows.numpy())
    _, found = gradients(generator, nets, some)
    _, alone = gradients(generator, nets, replace(some, rows=rows))
    denominator = 1 if kind is Autoencoders else 2  # each modality's mean is over the rows that have it
    for name in (n for n in found if ".a." in n):
        near(denominator * found[name], alone[name])


def test_a_row_without_any_modality_counts_for_nothing(made):
    generator, nets = made()
    empty = np.arange(ROWS) >= 6
    lacking = without(batch("incomplete"), a=empty, b=empty, c=empty)
    loss, found = gradients(generator, nets, lacking)
    near((loss, found), gradients(generator, nets, replace(lacking, rows=lacking.rows & torch.tensor(~empty))))
    assert generator.terms(Nets(nets), lacking, lacking.noise).loss.isfinite().all()
    assert generator.bound(Nets(nets), lacking, lacking.noise, draws=4)[6:].tolist() == pytest.approx([0, 0], abs=1e-9)


def test_samples_that_all_lack_everything_have_no_loss(made):
    generator, nets = made()
    empty = without(batch(), a=True, b=True, c=True)
    assert sum(generator.losses(Nets(nets), empty)) == 0
    assert generator.terms(Nets(nets), empty, empty.noise).loss.isfinite().all()


def test_from_nothing_comes_the_prior(made):
    generator, nets = made()
    data, absent = batch(), without(batch(), a=True, b=True, c=True)
    prior = generator.prior(Nets(nets), data)
    for q in (generator.posterior(Nets(nets), data, ()), generator.posterior(Nets(nets), absent)):
        z = torch.randn(ROWS, 5, 2, generator=torch.Generator().manual_seed(0))
        near(q.shared.log_density(z), prior.log_density(z))
        near(q.mean().shared, torch.zeros(ROWS, 1, 2))
        for w in q.private.values():
            near(w.mean, torch.zeros(ROWS, 2))


@pytest.mark.parametrize("given", [subset for n in (1, 2) for subset in combinations(NAMES, n)])
def test_a_posterior_knows_what_is_given_alone(made, given):
    generator, nets = made()
    data = batch("incomplete")
    q = generator.posterior(Nets(nets), data, given)
    other = replace(data, x={m: x if m in given else x.flip(0) for m, x in data.x.items()})
    again = generator.posterior(Nets(nets), other, given)
    near(q.mean().shared, again.mean().shared)
    hidden = without(data, **{m: True for m in NAMES if m not in given})
    near(q.mean().shared, generator.posterior(Nets(nets), hidden).mean().shared)
    there = torch.stack([data.present[m] for m in given]).any(0)
    assert (q.mean().shared.squeeze(-2).abs().sum(-1) > 0).tolist() == there.tolist()


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("clients", [0, 2])
def test_what_is_decoded_has_the_shape_of_a_sample(made, draws, clients):
    generator, nets = made()
    if clients:
        nets = {n: stacked([net] * clients) for n, net in nets.items()}
    data = batch("incomplete", clients=clients)
    q = generator.posterior(Nets(nets), data, ("b",))
    z, rows = q.draw(data.noise, draws), tuple(data.rows.shape)
    shapes = {"a": (3,), "b": (2,), "c": (2, 3)}
    for m in NAMES:
        assert generator.decode(Nets(nets), z, m).shape == (*rows, draws, *shapes[m])
        assert generator.decode(Nets(nets), q.mean(), m).shape == (*rows, 1, *shapes[m])
    near(generator.decode(Nets(nets), z, "c").sum(-1), torch.ones(*rows, draws, 2))


def test_equal_noise_gives_equal_draws(made):
    generator, nets = made()
    data = batch("incomplete")
    one, other = (generator.posterior(Nets(nets), data).draw(data.noise, 3) for _ in range(2))
    near((one.shared, dict(one.private)), (other.shared, dict(other.private)))


def test_the_weight_of_a_modality_is_its_likelihoods(made):
    """With weights of zero, nearly, its decoder learns nothing; the bound does not know of weights."""
    generator, nets = made()
    bound = generator.bound(Nets(nets), batch(), batch().noise, draws=8)
    nets["gen.b.decoder"].likelihood = LIKELIHOODS["b"].model_copy(update={"weight": 1e-12})
    _, found = gradients(generator, nets, batch())
    assert found["gen.b.decoder/net.weight"].abs().max() < 1e-9
    near(generator.bound(Nets(nets), batch(), batch().noise, draws=8), bound)


class Elbo(Generator):
    """The example of `raysim.generators.base`."""

    def terms(self, nets, batch, noise):
        q = self.posterior(nets, batch)
        z = q.draw(noise)
        likelihood = self.likelihood(nets, batch, self.targets(nets, batch), z).squeeze(-1)
        return Terms(q.shared.divergence(self.prior(nets, batch)) - likelihood)


def test_a_generator_of_ones_own_is_found_on_the_path(monkeypatch, tmp_path):
    (tmp_path / "own_generator.py").write_text(f"from {Mopoe.__module__} import Mopoe\nclass Mine(Mopoe):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = generator_of({"name": "own_generator:Mine", "latent": 2})
    assert (type(found).__name__, found.options.latent) == ("Mine", 2)
    sys.modules.pop("own_generator")


def exact(scale):
    """x = z + e with z of N(0, 1) and e of N(0, 1), and an encoder that knows the posterior, N(x / 2, 1 / 2)."""
    encoder, up = VaeEncoder(nn.Identity(), 1, 1), Linear(1, 1)
    for layer, weight, bias in ((encoder.mean, 0.5, 0.0), (encoder.logvar, 0.0, np.log(0.5)), (up, 1.0, 0.0)):
        layer.weight.data.fill_(weight)
        layer.bias.data.fill_(bias)
    decoder = VaeDecoder(up)
    decoder.likelihood = Normal(name="normal", scale=scale)
    return Nets({"gen.a.encoder": encoder, "gen.a.decoder": decoder})


def test_with_the_exact_posterior_bound_and_elbo_are_the_evidence():
    x = torch.linspace(-3, 3, ROWS).unsqueeze(-1)
    data = batch(x={"a": x, "b": X["b"], "c": X["c"]})
    data = replace(data, x={"a": x}, present={"a": data.present["a"]})
    generator = Elbo(registry.options(Elbo, {"latent": 1}))
    evidence = torch.distributions.Normal(0.0, 2**0.5).log_prob(x.squeeze(-1))
    for draws in (1, 7):
        near(generator.bound(exact(1.0), data, data.noise, draws), evidence)
    q = torch.distributions.Normal(x / 2, 0.5**0.5)
    divergence = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).squeeze(-1)
    expected = -0.5 * ((x / 2).square() + 0.5).squeeze(-1) - 0.5 * np.log(2 * np.pi) - divergence
    many = replace(data, x={"a": x.repeat(4000, 1)}, present={"a": torch.ones(4000 * ROWS, dtype=torch.bool)},
                   rows=torch.ones(4000 * ROWS, dtype=torch.bool))  # fmt: skip
    terms = generator.terms(exact(1.0), many, many.noise).loss.unflatten(0, (4000, ROWS)).mean(0)
    torch.testing.assert_close(-terms, expected, rtol=0, atol=0.15)


def task(**modalities):
    return Task(modalities, 3, False, Model())


def test_networks_are_owned_by_those_who_have_the_modality(alone):
    generator = alone(alone.Options())
    groups = generator.groups(task(left=Modality("vector", (6,)), image=Modality("image", (1, 8, 8))))
    names = {f"gen.{m}.{part}" for m in ("left", "image") for part in ("encoder", "decoder")}
    assert names <= set(groups)
    for name, group in groups.items():
        assert group.needs == frozenset({name.split(".")[1]} & {"left", "image"})
    assert [s.globs for s in generator.stages()] == [("gen.*",)]
    likelihoods = {m: groups[f"gen.{m}.decoder"].net.likelihood for m in ("left", "image")}
    assert {m: (p.name, p.scale, p.weight) for m, p in likelihoods.items()} == {
        "left": ("normal", 1.0, 1.0),
        "image": ("normal", 1.0, 1.0) if alone is Autoencoders else ("laplace", 0.75, 1.0),
    }


@pytest.mark.parametrize(("incomplete", "rows"), [("keep", [True, True, False]), ("drop", [True, False, False])])
def test_incomplete_samples_are_kept_or_dropped(alone, incomplete, rows):
    own = {"incomplete": incomplete}
    (stage,) = alone(registry.options(alone, own)).stages()
    named = {"name": "mapping", "backbone": {"name": alone.__module__.rpartition(".")[2]} | own}
    backbone, _ = generator_of(named).stages()
    assert backbone.samples is stage.samples
    assert stage.samples({"a": np.array([True, True, False]), "b": np.array([True, False, False])}).tolist() == rows


@pytest.mark.parametrize(
    ("likelihoods", "message"),
    [
        ({"right": {"name": "normal"}}, "there is no modality 'right'; there are: left"),
        ({"left": {"name": "categorical"}}, "categorical is for tokens and nothing else; give 'left' another one"),
    ],
)
def test_likelihoods_that_do_not_fit_are_refused(alone, likelihoods, message):
    with pytest.raises(ValueError, match=message) as raised:
        alone(registry.options(alone, {"likelihoods": likelihoods})).check(task(left=Modality("vector", (6,))))
    assert "\n" not in str(raised.value)


def test_what_there_is_no_network_for_is_refused(alone):
    with pytest.raises(ValueError, match="needs the size of the vocabulary"):
        alone(alone.Options()).check(task(text=Modality("tokens", (5,))))
    with pytest.raises(ValueError, match="multiples of 32, not 48 and 32"):
        alone(registry.options(alone, {"images": "cub"})).check(task(image=Modality("image", (1, 48, 32))))
    with pytest.raises(ValueError, match="multiples of 4, not 9 and 8"):
        alone(registry.options(alone, {"images": "resnet"})).check(task(image=Modality("image", (1, 9, 8))))


def test_a_check_takes_no_random_numbers(alone):
    before = torch.get_rng_state()
    alone(alone.Options()).check(task(left=Modality("vector", (6,))))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_latent_of_nothing_private_is_what_is_shared():
    z = torch.ones(2, 3, 4)
    assert Latent(z).of("a") is z
    assert Latent(z, dict.fromkeys(DIMS, 2 * z)).of("a").shape == (2, 3, 8)


def test_the_formula_gives_the_numbers_of_the_file():
    if not FILE.is_file():
        pytest.skip("needs ../shared/fixtures/generative beside the repository: parts and gradients of known losses")
    told = json.loads(FILE.read_text(encoding="utf-8"))
    for name in TABLES:
        compare(TABLES[name], told[name])
    compare(NOISE, told["noise"])
    compare({m: X[m] for m in "ab"}, {m: told["x"][m] for m in "ab"})
    near(OneHot()(X["c"]).unflatten(-1, (2, 3)), torch.tensor(told["x"]["c"]))
    assert {m: [bool(p) for p in row] for m, row in INCOMPLETE.items()} == told["present"]


def compare(ours, told):
    if isinstance(ours, dict):
        assert set(ours) == set(told)
        for name, value in ours.items():
            compare(value, told[name])
    else:
        near(ours, torch.tensor(told))


@pytest.mark.parametrize(("rounds", "shares"), [(0, [1, 1, 1]), (4, [0.25, 0.5, 1])])
def test_a_weight_grows_over_the_first_rounds_of_training(rounds, shares):
    for number, share in zip((1, 2, 9), shares, strict=True):
        data = replace(batch(), clock=Clock("train", number, 0, 0.0))
        assert warmed(2.0, data, rounds) == 2.0
        assert warmed(2.0, replace(data, clients=("one",)), rounds) == 2.0 * share
