"""MMVM: an autoencoder for each modality, whose posteriors are drawn to each other by a mixture of them as the prior.

Source: Sutter et al., "Unity by Diversity: Improved Representation Learning for Multimodal VAEs", 2024, with the bound
of their code:

    loss = beta [(1 - a)/M sum_{m, j} KL(q_m || q_j) + a sum_m KL(q_m || p)] - sum_m log p(x_m | z_m)

with z_m drawn from q_m, each decoder seeing its own alone. M is the number of a sample's own modalities. Both of a pair
get the gradient. Given several modalities, what is decoded comes from one of them.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from raysim.generators.base import Generator, Latent, Noise, Terms, Weight, drawn, total
from raysim.method import Batch, Nets


class Mmvm(Generator):
    """q(z | x) is the mean of q(z | x_m), of those that are given."""

    class Options(Generator.Options):
        """MMVM's settings; the defaults are those for PolyMNIST."""

        beta: Weight = Field(default=1.0, description="Weight of the divergences.")
        alpha: Annotated[float, Field(ge=0, le=1)] = Field(
            default=0.0, description="1: posteriors are drawn to a standard normal prior alone; 0: to each other alone."
        )

    options: Options

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities that are there."""
        beta, alpha = self.options.beta, self.options.alpha
        targets = self.targets(nets, batch)
        encoded, there = self.encode(nets, targets), {m: batch.present[m] for m in targets}
        likelihoods, pairs, priors = list[Tensor](), list[Tensor](), list[Tensor]()
        for m, q in encoded.items():
            z = Latent(drawn(q, noise, f"z.{m}"))
            likelihoods.append(self.likelihood(nets, batch, {m: targets[m]}, z).squeeze(-1))
            priors.append(torch.where(there[m], q.divergence(self.prior(nets, batch)).sum(-1), 0.0))
            for j in (j for j in encoded if j != m):
                pairs.append(torch.where(there[m] & there[j], q.divergence(encoded[j]).sum(-1), 0.0))
        likelihood, pair, prior = (total(values, batch) for values in (likelihoods, pairs, priors))
        count = total(there.values(), batch).clamp(min=1)
        loss = -likelihood + beta * ((1 - alpha) / count * pair + alpha * prior)
        return Terms(loss, {"likelihood": likelihood, "pairs": pair, "prior": prior})
