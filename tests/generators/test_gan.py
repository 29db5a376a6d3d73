import math
import re

import pytest
import torch
from separate import TASK, batch, check_learning, check_poison, check_stack, generator, near, networks, of

from raysim.batch import Nets
from raysim.data.dataset import Modality
from raysim.generators.gan import Gan
from raysim.models.task import Task


def test_a_stack_is_its_clients():
    check_stack(generator(Gan))


def test_what_is_absent_is_never_read():
    check_poison(generator(Gan))


def test_it_learns_what_samples_are_like():
    check_learning(generator(Gan, hidden=32, latent=4), 600, 0.005)


def test_images_in_plain_convolutions_have_norms_and_leaky_rectifiers():
    nets = networks(generator(Gan))
    kinds = {name: [type(part).__name__ for part in net.net] for name, net in nets.items()}
    image = kinds["gen.image.decoder"]
    hidden = [i for i, name in enumerate(image) if name == "SiLU"]
    assert hidden
    assert all(image[i - 1] == "GroupNorm" for i in hidden)
    assert "LeakyReLU" in kinds["gen.image.discriminator"]
    assert not {"SiLU", "ReLU"} & set(kinds["gen.image.discriminator"])
    assert not {"GroupNorm", "LeakyReLU"} & {*kinds["gen.vector.decoder"], *kinds["gen.vector.discriminator"]}


def test_the_players_have_their_losses_in_turn_and_their_optimiser():
    made, data = generator(Gan), of(batch(), 3)
    (stage,) = made.stages()
    assert [o.trains for o in stage.objectives] == [("gen.*.discriminator",), ("gen.*.decoder",)]
    assert {o.optimizer.lr for o in stage.objectives} == {2e-4}
    nets = networks(made)
    for m in TASK.modalities:
        head = nets[f"gen.{m}.discriminator"].head
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.constant_(head.bias, math.log(3))  # all is real by three quarters
    terms, count = made.terms(Nets(nets), data, data.noise), torch.stack([*data.present.values()]).sum(0)
    near(terms.parts["discriminator"], -count * (math.log(0.75) + math.log(0.25)))
    near(terms.parts["generator"], -count * math.log(0.75))
    near(terms.loss, terms.parts["discriminator"] + terms.parts["generator"])
    losses = [o.loss(Nets(nets), data) for o in stage.objectives]
    near(losses, [terms.parts["discriminator"].mean(), terms.parts["generator"].mean()])


def test_bernoulli_bounds_what_it_makes():
    made, data = generator(Gan, likelihoods={"image": {"name": "bernoulli"}}), of(batch(), 0)
    nets = Nets(networks(made))
    made_image = made.decode(nets, made.posterior(nets, data, ()).draw(data.noise), "image")
    assert ((made_image > 0) & (made_image < 1)).all()


def test_other_kinds_are_refused_in_one_line():
    task = Task(dict(TASK.modalities) | {"text": Modality("tokens", (5,), 9)}, 3, False, TASK.model)
    with pytest.raises(ValueError, match=re.escape("gan makes images and vectors, and 'text' is tokens; leave it out")):
        generator(Gan).check(task)


def test_it_has_no_density():
    made, data = generator(Gan), of(batch(), 0)
    with pytest.raises(NotImplementedError, match="Gan has no density"):
        made.bound(Nets(networks(made)), data, data.noise)
