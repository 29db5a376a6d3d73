from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from separate import batch, check_learning, check_poison, check_stack, generator, near, networks, of

from raysim.batch import Nets
from raysim.generators.base import Latent
from raysim.generators.diffusion import Diffusion

FEW = {"steps": 20, "sampling_steps": 5}


def test_a_stack_is_its_clients():
    check_stack(generator(Diffusion, **FEW))


def test_what_is_absent_is_never_read():
    check_poison(generator(Diffusion, **FEW))


def test_it_learns_what_samples_are_like():
    check_learning(generator(Diffusion, hidden=32, steps=100, sampling_steps=10), 150, 0.005)


def test_a_network_that_knows_the_sample_makes_it_of_any_noise(monkeypatch):
    made, data = generator(Diffusion, steps=50, sampling_steps=10), of(batch(), 0)
    nets = networks(made)
    kept = made._kept(torch.device("cpu"))
    sample = torch.tensor([0.5, -2.0, 1.0])

    def forward(x, time):
        share = kept[(time * 50).round().long()].unsqueeze(-1)
        return (x - share.sqrt() * sample) / (1 - share).sqrt()

    monkeypatch.setattr(nets["gen.vector.denoiser"], "forward", forward)
    noise = Latent(data.noise("any", (5, 4, 3)))
    near(made.decode(Nets(nets), noise, "vector"), sample.expand(5, 4, 3))
    # So it knows the noise that was added to this sample, too, at whatever time.
    alike = {"vector": sample.expand(5, 3)} | {"image": data.x["image"]}
    terms = made.terms(Nets(nets), replace(data, x=alike), data.noise)
    near(terms.parts["vector"], torch.zeros(5))


def test_the_schedule_is_the_papers():
    kept = generator(Diffusion)._kept(torch.device("cpu"))
    assert len(kept) == 1000
    assert kept[0].item() == pytest.approx(1 - 1e-4)
    assert kept[-1].item() == pytest.approx(4.0358e-5, rel=1e-3)
    assert generator(Diffusion, **FEW)._kept(torch.device("cpu"))[-1] < 1e-4


def test_a_network_that_finds_nothing_loses_the_noises_variance():
    made, data = generator(Diffusion, **FEW), of(batch(), 1)
    nets = networks(made)
    for net in nets.values():
        for p in (net.outward if isinstance(net.outward, torch.nn.Linear) else net.outward[-1]).parameters():
            torch.nn.init.zeros_(p)
    eps = data.noise("eps.vector", (5, 1, 3)).squeeze(1).double()
    expected = torch.where(data.present["vector"], eps.square().mean(-1), 0.0)
    near(made.terms(Nets(nets), data, data.noise).parts["vector"], expected)


def test_pictures_are_made_within_their_bounds():
    made, data = generator(Diffusion, **FEW), of(batch(), 0)
    nets = Nets(networks(made))
    pictures = made.decode(nets, made.posterior(nets, data, ()).draw(data.noise, 3), "image")
    assert pictures.shape == (5, 3, 1, 5, 6)
    assert ((pictures >= 0) & (pictures <= 1)).all()


def test_more_steps_than_there_are_are_refused():
    with pytest.raises(ValidationError, match="write at most steps, 10"):
        generator(Diffusion, steps=10, sampling_steps=11)
