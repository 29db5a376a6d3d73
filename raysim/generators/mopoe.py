"""MoPoE: a mixture, over all subsets of what a sample has, of products of experts.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021:

    loss = beta mean_S KL(q_S || p) - sum_m log p(x_m | z)

with z drawn from the q_S of one subset, the normalised product of q_m, m in S. That of all the data's modalities has
the prior as one more expert, as in their code. There a batch is cut into one chunk for each subset; here each sample
draws one of those that it has.
"""

from collections.abc import Iterable
from itertools import chain, combinations

import torch
from pydantic import Field
from torch import Tensor

from raysim.generators.base import Generator, Noise, Posterior, Terms, Weight
from raysim.method import Batch, Nets
from raysim.models.priors import Distribution, Mixture, product


class Mopoe(Generator):
    """q(z | x) is the mean over subsets of the normalised products of q(z | x_m)."""

    class Options(Generator.Options):
        """MoPoE's settings."""

        beta: Weight = Field(default=2.5, description="Weight of the divergence.")

    options: Options

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """A component for each subset of what is given, in rows that have all of it."""
        encoded, prior = self.encode(nets, self.targets(nets, batch, given)), self.prior(nets, batch)
        always = torch.ones_like(batch.rows)
        components, there = list[Distribution](), list[Tensor]()
        for subset in chain.from_iterable(combinations(encoded, n + 1) for n in range(len(encoded))):
            experts = [encoded[m] for m in subset] + [prior] * (len(subset) == len(batch.present))
            components.append(product(experts, [always] * len(experts)))
            there.append(batch.all_present(*subset))
        return Posterior(Mixture.of(components, there, prior))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities and subsets that are there."""
        q = self.posterior(nets, batch)
        likelihood = self.likelihood(nets, batch, self.targets(nets, batch), q.draw(noise)).squeeze(-1)
        divergence = q.shared.divergence(self.prior(nets, batch))
        return Terms(-likelihood + self.options.beta * divergence, {"likelihood": likelihood, "divergence": divergence})
