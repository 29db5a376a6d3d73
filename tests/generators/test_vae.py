import torch
from separate import batch, check_learning, check_poison, check_stack, generator, near, networks, of

from raysim.batch import Nets
from raysim.generators.vae import Vae


def test_a_stack_is_its_clients():
    check_stack(generator(Vae))


def test_what_is_absent_is_never_read():
    check_poison(generator(Vae))


def test_it_learns_what_samples_are_like():
    likelihoods = {"vector": {"name": "normal", "scale": 0.2}}
    check_learning(generator(Vae, likelihoods=likelihoods, hidden=32), 300, 0.005)


def test_the_loss_is_the_negative_evidence_bound_of_each_modality():
    made, data = generator(Vae, beta=2.0), of(batch(), 0)
    nets = networks(made)
    terms = made.terms(Nets(nets), data, data.noise)
    expected = torch.zeros(5)
    for m, x in data.x.items():
        mean, logvar = nets[f"gen.{m}.encoder"](x)
        z = mean + (logvar / 2).exp() * data.noise(f"w.{m}", (5, 1, 2)).squeeze(1)
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(-1)
        likelihood = nets[f"gen.{m}.decoder"].log_prob(z.unsqueeze(1), x).squeeze(1)
        expected += torch.where(data.present[m], 2 * divergence - likelihood, 0.0)
    near(terms.loss, expected)


def test_a_modality_says_nothing_of_another_one():
    made, data = generator(Vae), of(batch(), 1)
    assert not made.conditional
    nets = Nets(networks(made))
    known, alone = made.posterior(nets, data, ("vector",)), made.posterior(nets, data, ())
    near(known.private["image"].mean, alone.private["image"].mean)
    there = known.private["vector"].mean.abs().sum(-1) > 0
    assert there.tolist() == data.present["vector"].tolist()
    assert known.mean().shared.shape == (5, 1, 0)


def test_the_bound_is_near_the_loss_of_a_posterior_that_fits():
    made, data = generator(Vae), of(batch(), 2)
    nets = Nets(networks(made))
    bound = made.bound(nets, data, data.noise, draws=64)
    assert bound.shape == (5,)
    assert (bound > -made.terms(nets, data, data.noise).loss - 30).all()
