"""A plain variational autoencoder for each modality by itself: the simplest of FedRecon's Table 4.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", 2014, eq. 3, summed over what a sample has:

    loss = sum_m beta KL(q(z_m | x_m) || p) - log p(x_m | z_m)
"""

from collections.abc import Iterable
from dataclasses import replace

import torch
from pydantic import Field

from raysim.generators._separate import Separate
from raysim.generators.base import Noise, Posterior, Terms, Weight, total
from raysim.method import Batch, Nets


class Vae(Separate):
    """q(z_m | x_m) is normal."""

    class Options(Separate.Options):
        """Its settings."""

        beta: Weight = Field(default=1.0, description="Weight of the prior.")

    options: Options

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """Each modality's own where it is given and present, else its prior."""
        priors = super().posterior(nets, batch)
        encoded = self.encode(nets, self.targets(nets, batch, given))
        known = {m: q.where(batch.present[m], priors.private[m]) for m, q in encoded.items()}
        return replace(priors, private={**priors.private, **known})

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above, over the modalities that are there."""
        q, targets = self.posterior(nets, batch), self.targets(nets, batch)
        likelihood = self.likelihood(nets, batch, targets, q.draw(noise)).squeeze(-1)
        apart = (
            torch.where(batch.present[m], q.private[m].divergence(self.private_prior(batch, m)).sum(-1), 0.0)
            for m in targets
        )
        divergence = total(apart, batch)
        return Terms(self.options.beta * divergence - likelihood, {"likelihood": likelihood, "divergence": divergence})
