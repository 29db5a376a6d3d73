"""MMVM: an autoencoder for each modality, whose posteriors are drawn to each other by a mixture of them as the prior.

Source: Sutter et al., "Unity by Diversity: Improved Representation Learning for Multimodal VAEs", 2024, with the bound
of their code:

    loss = beta [(1 - a)/M sum_{m, j} KL(q_m || q_j) + a sum_m KL(q_m || p)] - sum_m log p(x_m | z_m)

with z_m drawn from q_m, each decoder seeing its own alone. M is the number of a sample's own modalities. Both of a pair
get the gradient. Their code can let a fall from 1 over the first steps of training, by one of three schedules
(`temp_annealing`); here over the first rounds. Given several modalities, what is decoded comes from one of them.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from raysim.generators.base import Generator, Latent, Noise, Terms, Weight, drawn, total
from raysim.method import Batch, Nets

LEAST = 1e-10
"""Is added to both ends of the schedule by a constant factor, as in their code, so that alpha may end at 0."""


class Mmvm(Generator):
    """q(z | x) is the mean of q(z | x_m), of those that are given."""

    class Options(Generator.Options):
        """MMVM's settings; the defaults are those for PolyMNIST."""

        beta: Weight = Field(default=1.0, description="Weight of the divergences.")
        alpha: Annotated[float, Field(ge=0, le=1)] = Field(
            default=0.0, description="1: posteriors are drawn to a standard normal prior alone; 0: to each other alone."
        )

        alpha_rounds: Annotated[int, Field(ge=0)] = Field(
            default=0, description="Rounds over which alpha goes from alpha_start to alpha; 0: none."
        )
        alpha_start: Annotated[float, Field(ge=0, le=1)] = Field(default=1.0, description="Alpha in the first round.")
        annealing: Literal["exp", "cosine", "linear"] = Field(
            default="exp", description="How alpha goes there: by a constant factor, half a cosine or a constant step."
        )

    options: Options

    def alpha(self, batch: Batch) -> float:
        """Of this round; at evaluation that of the end, so that losses of different rounds compare."""
        o = self.options
        if not batch.clients or batch.clock.round > o.alpha_rounds:
            return o.alpha
        done = (batch.clock.round - 1) / o.alpha_rounds
        if o.annealing == "exp":
            return o.alpha_start * ((o.alpha + LEAST) / (o.alpha_start + LEAST)) ** done
        left = 1 - done if o.annealing == "linear" else (1 + math.cos(math.pi * done)) / 2
        return o.alpha + left * (o.alpha_start - o.alpha)

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities that are there."""
        beta, alpha = self.options.beta, self.alpha(batch)
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
