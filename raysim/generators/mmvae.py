"""MMVAE: a mixture of the modalities' posteriors, each of which must explain all modalities, by importance weights.

Source: Shi et al., "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative Models", 2019, with the
looser bound of their code, whose mean over modalities stands outside the logarithm:

    loss = -mean_m log mean_s w(z_ms), w(z) = p(z) prod_n p(x_n | z) / q(z)

with z_ms drawn from q_m and q the mean of q_m over what is there. DReG (Tucker et al., "Doubly Reparameterized Gradient
Estimators for Monte Carlo Objectives", 2019) has another gradient: densities of the posterior get none, and that of a
draw is weighted twice. As in their code its value is the mean of log w, weighted by w.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, StrictBool
from torch import Tensor, nn

from raysim.generators.base import Count, Generator, Latent, Noise, Posterior, Terms, drawn, total
from raysim.method import Batch, Group, Nets, Task
from raysim.models.priors import Distribution, Family, Scale, scaled
from raysim.models.vae import Raw


class Mmvae(Generator):
    """q(z | x) is the mean of q(z | x_m); the prior has mean 0 and a scale that is learnt."""

    class Options(Generator.Options):
        """MMVAE's settings."""

        samples: Count = Field(default=10, description="Draws from each modality.")
        estimator: Literal["iwae", "dreg", "dreg_undetached"] = Field(
            default="dreg",
            description="Whose gradient; dreg_undetached, as MMVAE+'s code has it: with that of posterior densities.",
        )
        family: Family = Field(default="laplace", description="Of posteriors and prior.")
        scale: Scale = Field(
            default="softmax",
            description="What makes a scale of a network's output: softmax, 1 on average over the dimensions; "
            "softplus; exp, the output is the log variance.",
        )
        learn_prior: StrictBool = Field(default=True, description="False fixes the prior's scale as it starts.")

    def groups(self, task: Task) -> dict[str, Group]:
        """Beside the networks `gen.prior`."""
        more = {"gen.prior": Group(Raw(self.options.latent))} if self.options.learn_prior else {}
        return super().groups(task) | more

    def scaled(self, mean: Tensor, raw: Tensor) -> Distribution:
        """Of the options' family and scale."""
        return scaled(self.options.family, mean, raw, self.options.scale)

    def prior(self, nets: Nets, batch: Batch) -> Distribution:
        """(*K, B, L)."""
        return self.centred(batch, self.options.latent, nets["gen.prior"] if self.options.learn_prior else None)

    def centred(self, batch: Batch, width: int, scale: nn.Module | None = None) -> Distribution:
        """Around 0, (*K, B, width), with a scale that is learnt, or the one that zeros give."""
        zeros = torch.zeros(*batch.rows.shape, width, device=batch.rows.device)
        return self.scaled(zeros, zeros if scale is None else scale(zeros))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities that are there."""
        q, targets = self.posterior(nets, batch), self.targets(nets, batch)
        values = dict[str, Tensor]()
        for m, own in zip(targets, q.shared.components, strict=False):
            z = self.proposed(nets, batch, q, m, drawn(own, noise, f"z.{m}", self.options.samples), noise)
            weights = self.likelihood(nets, batch, targets, z) + self.ratio(nets, batch, q, m, z)
            own_draws = [z.shared, z.private[m]] if z.private else [z.shared]
            values[m] = torch.where(batch.present[m], self._estimate(weights, own_draws), 0.0)
        count = total((batch.present[m] for m in values), batch).clamp(min=1)
        return Terms(-total(values.values(), batch) / count, values)

    def proposed(self, nets: Nets, batch: Batch, q: Posterior, source: str, z: Tensor, noise: Noise) -> Latent:
        """What is decoded of draws z (*K, B, S, L) from a source's posterior."""
        return Latent(z)

    def ratio(self, nets: Nets, batch: Batch, q: Posterior, source: str, z: Latent) -> Tensor:
        """The logarithm of p(z) / q(z), (*K, B, S)."""
        return self.prior(nets, batch).log_density(z.shared) - q.shared.each(self.held).log_density(z.shared)

    def held(self, number: Tensor) -> Tensor:
        """One of a posterior's numbers as its density reads it: DReG's gets no gradient by that way."""
        return number.detach() if self.options.estimator == "dreg" else number

    def _estimate(self, weights: Tensor, draws: Sequence[Tensor]) -> Tensor:
        """Of log importance weights (*K, B, S): (*K, B)."""
        if self.options.estimator == "iwae":
            return weights.logsumexp(-1) - math.log(weights.shape[-1])
        shares = weights.detach().softmax(-1)

        def again(gradient: Tensor) -> Tensor:
            return shares.unsqueeze(-1) * gradient

        for z in draws:
            if z.requires_grad:
                z.register_hook(again)
        return (shares * weights).sum(-1)
