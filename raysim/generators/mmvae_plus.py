"""MMVAE+: an MMVAE whose modalities have private latent numbers; a source must explain the others without theirs.

Source: Palumbo, Daunhawer and Vogt, "MMVAE+: Enhancing the Generative Quality of Multimodal VAEs without Compromises",
2023:

    loss = -mean_m log mean_s prod_n p(x_n | z, w_n) [p(z) p(w_m) / (q(z) q(w_m))]^beta

with z drawn from q_m, w_m from its own posterior, and any other w_n from an auxiliary prior r_n whose scale is learnt.
When something is generated, the private numbers of what is not given come from the fixed prior. Priors start with the
scale that zeros give: 1 by a softmax, log 2 by a softplus, as in their code. Their "dreg" is `dreg_undetached` here.
"""

from collections.abc import Iterable
from dataclasses import replace

from pydantic import Field, StrictBool
from torch import Tensor

from raysim.generators.base import Count, Latent, Noise, Posterior, Weight, drawn, encoder_of
from raysim.generators.mmvae import Mmvae
from raysim.method import Batch, Group, Nets, Task
from raysim.models.priors import Distribution
from raysim.models.vae import Raw, VaeDecoder, VaeEncoder


class MmvaePlus(Mmvae):
    """q(z | x) is the mean of q(z | x_m), and w_m has its own q(w_m | x_m)."""

    class Options(Mmvae.Options):
        """MMVAE+'s settings; the defaults are those for PolyMNIST."""

        latent: Count = Field(default=32, description="Width of the shared latent space.")
        private: Count = Field(default=32, description="Width of each private one.")
        beta: Weight = Field(default=2.5, description="Exponent of priors and posteriors in a weight.")
        samples: Count = Field(default=1, description="Draws from each modality.")
        learn_prior: StrictBool = Field(default=False, description="Whether the shared prior's scale is learnt, too.")

    def networks(self, task: Task, modality: str) -> tuple[VaeEncoder, VaeDecoder]:
        """The decoder takes both latent vectors."""
        return self.autoencoder(task, modality, self.options.latent, self.options.private)

    @property
    def width(self) -> int:
        """Shared and private ones."""
        return self.options.latent + self.options.private

    def groups(self, task: Task) -> dict[str, Group]:
        """Beside MMVAE's, for each modality `gen.<modality>.private`, an encoder, and `.auxiliary`, the scale of r."""
        groups = super().groups(task)
        for m in task.modalities:
            encoder = self.private_encoder(task, m, self.options.private)
            groups[f"gen.{m}.private"] = Group(encoder, frozenset({m}))
            groups[f"gen.{m}.auxiliary"] = Group(Raw(self.options.private), frozenset({m}))
        return groups

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """Private numbers are known in rows that have the modality."""
        names = list(batch.x if given is None else given)
        targets = {m: encoder_of(nets, m).embedded(x) for m, x in self.targets(nets, batch, names).items()}
        encoded = self.encode(nets, targets, "private")
        prior = self.private_prior(batch)
        private = {m: encoded[m].where(batch.present[m], prior) if m in encoded else prior for m in batch.x}
        return replace(super().posterior(nets, batch, names), private=private)

    def private_prior(self, batch: Batch) -> Distribution:
        """p(w), (*K, B, W), fixed."""
        return self.centred(batch, self.options.private)

    def proposed(self, nets: Nets, batch: Batch, q: Posterior, source: str, z: Tensor, noise: Noise) -> Latent:
        """The source's own w is from its posterior, any other from r."""
        private = {source: drawn(q.private[source], noise, f"w.{source}", z.shape[-2])}
        for m in [m for m in q.private if m != source and not batch.nowhere(m)]:
            r = self.centred(batch, self.options.private, nets[f"gen.{m}.auxiliary"])
            private[m] = drawn(r, noise, f"w.{source}_{m}", z.shape[-2])
        return Latent(z, private)

    def ratio(self, nets: Nets, batch: Batch, q: Posterior, source: str, z: Latent) -> Tensor:
        """The logarithm of (p(z) p(w) / (q(z) q(w)))^beta, (*K, B, S), w being the source's own."""
        own, w = q.private[source].each(self.held), z.private[source]
        private = self.private_prior(batch).log_density(w) - own.log_density(w)
        return self.options.beta * (super().ratio(nets, batch, q, source, z) + private)
