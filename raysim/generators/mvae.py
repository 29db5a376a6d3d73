"""MVAE: what a sample has is joined by a product of experts, and each modality learns by itself, too.

Source: Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", 2018, without random
subsets:

    loss = sum over S in {all that is there, each of it alone} of beta KL(q_S || p) - sum_{m in S} log p(x_m | z_S)

with z_S drawn from q_S, the normalised product of p and q_m, m in S. A sample with one modality counts it twice, as in
multivae. Beta may grow over the first rounds, as in their code over the first epochs. All terms are averaged over all
samples, so a modality that few samples have weighs as few.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from pydantic import Field, StrictBool
from torch import Tensor

from raysim.generators.base import Generator, Latent, Noise, Posterior, Terms, Weight, drawn, total, warmed
from raysim.method import Batch, Nets
from raysim.models.priors import Distribution, Mixture, product


class Mvae(Generator):
    """q(z | x) is proportional to p(z) times the product of q(z | x_m)."""

    class Options(Generator.Options):
        """MVAE's settings."""

        beta: Weight = Field(default=1.0, description="Weight of the prior; 2.5 in MoPoE's comparison.")
        warmup_rounds: Annotated[int, Field(ge=0)] = Field(
            default=0, description="Rounds over which beta grows; 0: none. Their code: 200 of 500 epochs on MNIST."
        )
        unimodal: StrictBool = Field(default=True, description="Whether the ELBOs of single modalities are added.")

    options: Options

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """A product of experts, the prior among them."""
        return Posterior(Mixture.alone(self._product(nets, batch, self.encode(nets, self.targets(nets, batch, given)))))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above; a subset of which a sample has nothing leaves it the prior, and loses nothing."""
        targets, beta = self.targets(nets, batch), warmed(self.options.beta, batch, self.options.warmup_rounds)
        encoded = self.encode(nets, targets)
        subsets = {"joint": tuple(encoded)} | ({m: (m,) for m in encoded} if self.options.unimodal else {})
        losses = dict[str, Tensor]()
        for name, members in subsets.items():
            q = self._product(nets, batch, {m: encoded[m] for m in members})
            z = Latent(drawn(q, noise, f"z.{name}"))
            likelihood = self.likelihood(nets, batch, {m: targets[m] for m in members}, z).squeeze(-1)
            losses[name] = beta * q.divergence(self.prior(nets, batch)).sum(-1) - likelihood
        return Terms(total(losses.values(), batch), losses)

    def _product(self, nets: Nets, batch: Batch, encoded: Mapping[str, Distribution]) -> Distribution:
        always = torch.ones_like(batch.rows)
        return product([self.prior(nets, batch), *encoded.values()], [always, *(batch.present[m] for m in encoded)])
