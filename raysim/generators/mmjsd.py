"""mmJSD: a mixture of the modalities' posteriors, kept together by a Jensen-Shannon divergence with a dynamic prior.

Source: Sutter, Daunhawer and Vogt, "Multimodal Generative Learning Utilizing Jensen-Shannon-Divergence", 2020:

    loss = beta mean_k KL(q_k || f) - sum_m log p(x_m | z)

with k over what is there and the prior, f the geometric mean of the q_k, and z drawn from one of them. In their code a
batch is cut into one chunk for each; here each sample draws one. Given several modalities, what is decoded comes from
one of them.
"""

import torch
from pydantic import Field

from raysim.generators.base import Generator, Noise, Posterior, Terms, Weight
from raysim.method import Batch, Nets
from raysim.models.priors import Mixture, product


class Mmjsd(Generator):
    """q(z | x) is the mean of q(z | x_m)."""

    class Options(Generator.Options):
        """mmJSD's settings."""

        beta: Weight = Field(default=2.5, description="Weight of the divergence.")

    options: Options

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities that are there."""
        targets = self.targets(nets, batch)
        components = [*self.encode(nets, targets).values(), self.prior(nets, batch)]
        there = torch.stack([*(batch.present[m] for m in targets), torch.ones_like(batch.rows)], dim=-1)
        q = Posterior(Mixture(tuple(components), there))
        likelihood = self.likelihood(nets, batch, targets, q.draw(noise)).squeeze(-1)
        weights = there / there.sum(-1, keepdim=True)
        divergence = q.shared.divergence(product(components, weights.unbind(-1)))
        return Terms(-likelihood + self.options.beta * divergence, {"likelihood": likelihood, "divergence": divergence})
