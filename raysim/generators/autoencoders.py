"""An autoencoder for each modality by itself: what FedRecon's mapping has as its backbone.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025, eq. 3:

    loss = sum_m mean over the samples that have m of beta KL(q_m || p_m) - log p(x_m | z_m)

with z_m drawn from q_m, which is of its prior's family. Likelihoods are normal and of unit variance where nothing else
is said, and have no constant. No modality learns from another: decoded from another one is what FedRecon's ablation
without a mapping gives.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from raysim.data.dataset import Kind
from raysim.generators.base import Count, Generator, Noise, Posterior, Terms, Weight, decoder_of, total, warmed
from raysim.method import Batch, Nets, Task
from raysim.models.likelihood import BY_KIND, UNIT, Likelihood
from raysim.models.priors import STANDARD, Distribution, Prior, distribution
from raysim.models.resnet_vae import resnet_vae
from raysim.models.vae import VaeDecoder, VaeEncoder


class Autoencoders(Generator):
    """q(z | x) is the mean of q(z | x_m), though latent spaces have nothing to do with each other."""

    class Options(Generator.Options):
        """Eq. 3's settings; images: resnet has a latent space of two halves, as in tables 3 and 4."""

        beta: Weight = Field(default=1.0, description="Weight of the prior in eq. 3.")
        warmup_rounds: Count = Field(default=10, description="Rounds over which beta grows.")
        priors: dict[str, Prior] = Field(
            default_factory=dict[str, Prior], description="By modality; the others have a standard normal one."
        )

    options: Options
    by_kind: ClassVar[Mapping[Kind, Likelihood]] = {**BY_KIND, "image": UNIT}

    def check(self, task: Task) -> None:
        """Priors are of modalities that there are."""
        for name in self.options.priors:
            if name not in task.modalities:
                raise ValueError(f"priors: the data has no modality '{name}'; there are: {', '.join(task.modalities)}")
        super().check(task)

    def autoencoder(self, task: Task, modality: str, latent: int, private: int = 0) -> tuple[VaeEncoder, VaeDecoder]:
        """FedRecon's residual one has two branches."""
        spec = task.modalities[modality]
        if spec.kind == "image" and self.options.images == "resnet":
            return resnet_vae(spec, latent)
        return super().autoencoder(task, modality, latent, private)

    def encode(self, nets: Nets, targets: Mapping[str, Tensor], part: str = "encoder") -> dict[str, Distribution]:
        """Each of its prior's family, (*K, B, L)."""
        found = super().encode(nets, targets, part)
        return {m: Distribution(self._prior(m).name, q.mean, q.logvar) for m, q in found.items()}

    def divergence(self, nets: Nets, batch: Batch, q: Posterior, modality: str) -> Tensor:
        """From the modality's own prior, (*K, B)."""
        return q.shared.divergence(distribution(self._prior(modality), like=q.shared.components[0].mean))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above; beta grows over the first rounds."""
        losses = dict(self._each(nets, batch, noise))
        return Terms(total(losses.values(), batch), losses)

    def losses(self, nets: Nets, batch: Batch) -> Iterator[Tensor]:
        """(*K), each modality's mean over the rows that have it."""
        for m, loss in self._each(nets, batch, batch.noise):
            yield batch.mean(loss, where=batch.present[m])

    def _each(self, nets: Nets, batch: Batch, noise: Noise) -> Iterator[tuple[str, Tensor]]:
        """A modality and its loss in each row, (*K, B), zero where it is absent."""
        beta = warmed(self.options.beta, batch, self.options.warmup_rounds)
        for m, target in self.targets(nets, batch).items():
            q = self.encode(nets, {m: target})[m]
            z = q.sample(noise(f"posterior.{m}", tuple(q.mean.shape)))
            error = decoder_of(nets, m).error(z, target, batch.lengths.get(m))
            each = error + beta * q.divergence(distribution(self._prior(m), like=z)).sum(-1)
            yield m, torch.where(batch.present[m], each, 0.0)

    def _prior(self, modality: str) -> Prior:
        return self.options.priors.get(modality, STANDARD)
