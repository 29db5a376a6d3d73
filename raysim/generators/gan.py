"""A generative adversarial network for each modality by itself: the second of FedRecon's Table 4.

Source: Goodfellow et al., "Generative Adversarial Nets", 2014, algorithm 1, with the loss of the generator that does
not saturate (section 3), one step of each player a batch:

    discriminator: -log D(x_m) - log(1 - D(G(z_m)));  generator: -log D(G(z_m))

summed over what a sample has. Table 4's "basic implementation" is not told: layouts are those of the autoencoders here,
the decoder as the generator and the encoder's features with one number as the discriminator. As in Radford et al.,
"Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks", 2016, are Adam and, for
images in plain convolutions, a norm before each activation of the generator (a group norm, as elsewhere here for batch
norm) and leaky rectifiers in the discriminator: without these two all pictures become one. Federated, both networks are
averaged. The sum of both losses is no measure of quality: the best round is told by it, for want of another.
"""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from raysim.generators._separate import Sampler
from raysim.generators.base import Latent, Noise, Terms, drawn, total
from raysim.method import Adam, Batch, Group, Nets, Objective, Optimizer, Task, Train
from raysim.models.layers import GroupNorm, Linear
from raysim.models.likelihood import BY_KIND
from raysim.models.vae import VaeEncoder

LEAK = 0.2
ACTIVATIONS = nn.SiLU | nn.ReLU | nn.Tanh


class Discriminator(nn.Module):
    """(*K, B, *shape) -> the logit of being real, (*K, B)."""

    def __init__(self, encoder: VaeEncoder) -> None:
        """It has the features of an encoder."""
        super().__init__()
        self.net, self.head = encoder.net, Linear(encoder.mean.in_features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """One number a sample."""
        return self.head(self.net(x)).squeeze(-1)


def leaky(net: nn.Sequential) -> nn.Sequential:
    """An encoder's layers, with leaky rectifiers for activations."""
    return nn.Sequential(*(nn.LeakyReLU(LEAK) if isinstance(part, ACTIVATIONS) else part for part in net))


def normalised(net: nn.Sequential, latent: int) -> nn.Sequential:
    """A decoder's layers from a latent vector on, with a norm before each activation of an image's."""
    parts, x = list[nn.Module](), torch.zeros(1, latent)
    for part in net:
        if isinstance(part, ACTIVATIONS) and x.dim() == 4:
            parts.append(GroupNorm(x.shape[1], 2))
        parts.append(part)
        x = part(x)
    return nn.Sequential(*parts)


class Gan(Sampler):
    """Generators `gen.<modality>.decoder` against `gen.<modality>.discriminator`."""

    class Options(Sampler.Options):
        """Its settings."""

        optimizer: Optimizer = Field(
            default=Adam(name="adam", lr=2e-4, betas=(0.5, 0.999)), description="Of both networks."
        )

    options: Options

    def groups(self, task: Task) -> dict[str, Group]:
        """Owned by the clients that have the modality."""
        groups = dict[str, Group]()
        for m, spec in task.modalities.items():
            encoder, decoder = self.networks(task, m)
            if (
                spec.kind == "image"
                and isinstance(encoder.net, nn.Sequential)
                and isinstance(decoder.net, nn.Sequential)
            ):
                encoder.net, decoder.net = leaky(encoder.net), normalised(decoder.net, self.options.latent)
            decoder.likelihood = self.options.likelihoods.get(m, BY_KIND[spec.kind])
            groups[f"gen.{m}.decoder"] = Group(decoder, frozenset({m}))
            groups[f"gen.{m}.discriminator"] = Group(Discriminator(encoder), frozenset({m}))
        return groups

    def stages(self) -> tuple[Train, ...]:
        """Both players in turn, the discriminator first."""
        judge = Objective(("gen.*.discriminator",), self.discriminator_loss, self.options.optimizer)
        maker = Objective(("gen.*.decoder",), self.generator_loss, self.options.optimizer)
        return (self.stage(judge, maker),)

    def discriminator_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """The discriminator's, (*K): the mean over rows with any modality."""
        return self.average(batch, self._judging(nets, batch, batch.noise))

    def generator_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """The generator's likewise."""
        return self.average(batch, self._making(nets, batch, batch.noise))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The sum of both players' losses."""
        judging, making = self._judging(nets, batch, noise), self._making(nets, batch, noise)
        return Terms(judging + making, {"discriminator": judging, "generator": making})

    def _judging(self, nets: Nets, batch: Batch, noise: Noise) -> Tensor:
        """The discriminator's loss of each sample, (*K, B). Both players of a step see the same noise."""
        losses = list[Tensor]()
        for m, x in self.targets(nets, batch).items():
            with torch.no_grad():
                made = self._made(nets, batch, noise, m)
            critic = nets[f"gen.{m}.discriminator"]
            losses.append(torch.where(batch.present[m], softplus(-critic(x)) + softplus(critic(made)), 0.0))
        return total(losses, batch)

    def _making(self, nets: Nets, batch: Batch, noise: Noise) -> Tensor:
        """The generator's, (*K, B)."""
        losses = list[Tensor]()
        for m in self.targets(nets, batch):
            fooled = softplus(-nets[f"gen.{m}.discriminator"](self._made(nets, batch, noise, m)))
            losses.append(torch.where(batch.present[m], fooled, 0.0))
        return total(losses, batch)

    def _made(self, nets: Nets, batch: Batch, noise: Noise, modality: str) -> Tensor:
        """A sample for each row, (*K, B, *shape)."""
        z = Latent(drawn(self.private_prior(batch, modality), noise, f"z.{modality}"))
        return self.decode(nets, z, modality).squeeze(batch.rows.dim())
