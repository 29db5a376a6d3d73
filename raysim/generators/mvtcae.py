"""MVTCAE: a product of experts that is drawn to each of its experts, by a bound of the total correlation.

Source: Hwang et al., "Multi-View Representation Learning via Total Correlation Objective", 2021:

    loss = beta [(1 - a) KL(q || p) + a/M sum_m KL(q || q_m)] - (M - a)/M sum_m log p(x_m | z)

with z drawn from q, the normalised product of q_m; the prior is no expert. M is the number of the data's modalities,
whatever a sample has, as in multivae.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from pydantic import Field

from raysim.generators.base import Generator, Latent, Noise, Posterior, Terms, Weight, drawn, total
from raysim.method import Batch, Nets
from raysim.models.priors import Distribution, Mixture, product


class Mvtcae(Generator):
    """q(z | x) is proportional to the product of q(z | x_m)."""

    class Options(Generator.Options):
        """MVTCAE's settings; the defaults are the paper's."""

        beta: Weight = Field(default=2.5, description="Weight of the divergences.")
        alpha: Annotated[float, Field(ge=0, le=1)] = Field(
            default=5 / 6, description="1: the posterior is drawn to its experts alone; 0: to the prior alone."
        )

    options: Options

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """A product of experts."""
        return Posterior(Mixture.alone(self._product(nets, batch, self.encode(nets, self.targets(nets, batch, given)))))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities that are there."""
        beta, alpha, count = self.options.beta, self.options.alpha, len(batch.present)
        targets = self.targets(nets, batch)
        encoded = self.encode(nets, targets)
        q = self._product(nets, batch, encoded)
        likelihood = self.likelihood(nets, batch, targets, Latent(drawn(q, noise, "z"))).squeeze(-1)
        prior = q.divergence(self.prior(nets, batch)).sum(-1)
        apart = (torch.where(batch.present[m], q.divergence(e).sum(-1), 0.0) for m, e in encoded.items())
        experts = total(apart, batch)
        loss = -(count - alpha) / count * likelihood + beta * ((1 - alpha) * prior + alpha / count * experts)
        return Terms(loss, {"likelihood": likelihood, "prior": prior, "experts": experts})

    def _product(self, nets: Nets, batch: Batch, encoded: Mapping[str, Distribution]) -> Distribution:
        """The prior where there is no expert."""
        there = [batch.present[m] for m in encoded]
        nothing = total(there, batch) == 0
        return product([self.prior(nets, batch), *encoded.values()], [nothing, *there])
