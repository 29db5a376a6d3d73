import math
from dataclasses import replace

import pytest
import torch
from tiny_vae import ROWS, X, batch, feed, networks, options_of

from raysim.batch import Clock, Nets
from raysim.data.dataset import Modality
from raysim.generators.autoencoders import Autoencoders
from raysim.models.priors import Distribution, Mixture
from raysim.models.task import Task
from raysim.scenario.model import Model


def made(**options):
    nets = {n: net for n, net in networks().items() if n != "gen.prior"}
    return Autoencoders(options_of(Autoencoders, options)), Nets(nets)


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_each_modality_has_its_own_loss():
    generator, nets = made(beta=0.5, warmup_rounds=4)
    one = type("Client", (), {"modalities": frozenset("abc")})()
    data = replace(batch("incomplete"), clock=Clock("train", 2, 0, 0.0), clients=(one,))
    eps = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    terms = generator.terms(nets, data, feed({f"posterior.{m}": eps for m in "abc"}))
    mean, logvar = nets["gen.b.encoder"](X["b"])
    made_of = nets["gen.b.decoder"](mean + eps * (logvar / 2).exp())
    error = 1.5 * 0.5 * (made_of - X["b"]).square().sum(-1)  # the likelihood's weight
    divergence = 0.5 * (mean.square() + logvar.exp() - logvar - 1).sum(-1)
    near(terms.parts["b"], torch.where(data.present["b"], error + 0.25 * divergence, 0.0))
    near(terms.loss, sum(terms.parts.values()))
    loss = sum(generator.losses(nets, data))
    parts = generator.terms(nets, data, data.noise).parts
    near(loss, sum(parts[m].sum() / data.present[m].sum() for m in "abc"))


def test_a_posterior_is_of_its_priors_family():
    generator, nets = made(priors={"a": {"name": "laplace", "scale": 2.0}})
    q = generator.posterior(nets, batch(), "ab")
    assert [c.family for c in q.shared.components] == ["laplace", "normal", "normal"]
    own = generator.posterior(nets, batch(), "a")
    prior = Distribution("laplace", torch.tensor(0.0), torch.tensor(math.log(8)))
    near(generator.divergence(nets, batch(), own, "a"), own.shared.components[0].divergence(prior).sum(-1))


def test_a_mixture_of_both_families_is_drawn_from_each():
    zero = torch.zeros(2, 1, dtype=torch.float64)
    laplace, normal = Distribution("laplace", zero, zero), Distribution("normal", zero + 5, zero)
    eps, place = torch.tensor([[[0.3], [0.7]]] * 2, dtype=torch.float64), torch.tensor([0.5, 0.5])
    found = Mixture((laplace, normal), torch.tensor([[True, True]] * 2)).sample(eps, place)
    expected = [laplace.sample(eps[:, 0])[0], normal.sample(eps[:, 1])[0]]
    near(found[0], torch.stack(expected))


def test_images_have_the_residual_autoencoder_of_two_branches():
    generator = Autoencoders(Autoencoders.Options(images="resnet", latent=64))
    task = Task({"m": Modality("image", (3, 28, 28))}, 3, False, Model())
    groups = generator.groups(task)
    sizes = [sum(p.numel() for p in groups[f"gen.m.{part}"].net.parameters()) for part in ("encoder", "decoder")]
    assert sizes == [2_946_048, 1_485_251]
    assert groups["gen.m.decoder"].net.likelihood.name == "normal"


def test_a_prior_of_no_modality_is_refused():
    generator = Autoencoders(options_of(Autoencoders, {"priors": {"up": {"name": "laplace"}}}))
    with pytest.raises(ValueError, match=r"^priors: the data has no modality 'up'; there are: left$"):
        generator.check(Task({"left": Modality("vector", (6,))}, 3, False, Model()))
