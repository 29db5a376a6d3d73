"""A multimodal generator by itself: no task model, so that it is judged by what it makes.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025,
appendix B, trains such generators at one place, which is a partition into one client here. With several clients they
are federated: each trains the networks of the modalities that it has, on all its samples, whatever they lack.

The loss on validation samples tells the best round. Reported are, on validation samples, the errors of the mean of each
modality decoded from the posterior of each one alone, itself among them, as shares of the variance.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from raysim.generators.base import Named, decoder_of, generator_of
from raysim.method import Batch, Group, Method, Nets, Phase, Task
from raysim.models.reconstruction import error_sums, shares


class Generate(Method):
    """Trains what its generator says."""

    class Options(Method.Options):
        """Which generator."""

        generator: Named = Field(description="Its name, or a mapping with its name and options.", examples=["mopoe"])

    options: Options
    fills = None

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.generator = generator_of(options.generator)

    def check(self, task: Task) -> None:
        """The generator has networks for all modalities."""
        super().check(task)
        self.generator.check(task)

    def modules(self, task: Task) -> dict[str, Group]:
        """The generator's alone."""
        return self.generator.groups(task)

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """The generator's stages, every round."""
        return (Phase("train", self.generator.stages()),)

    def losses(self, nets: Nets, batch: Batch) -> Tensor:
        """The generator's loss of each sample."""
        return self.generator.terms(nets, batch, batch.noise).loss

    def examine(self, nets: Nets, batch: Batch) -> Mapping[tuple[str, ...], Tensor]:
        """What tells the errors of each modality, decoded from itself and from each other one."""
        if not self.generator.conditional:
            return {}
        found, targets = dict[tuple[str, ...], Tensor](), self.generator.targets(nets, batch)
        posteriors = {m: self.generator.posterior(nets, batch, (m,)) for m in targets}
        for s, t in product(targets, repeat=2):
            decoder, made = decoder_of(nets, t), self.generator.decode(nets, posteriors[s].mean(), t)
            divergence = posteriors[t].shared.divergence(self.generator.prior(nets, batch))
            rows = batch.rows & batch.all_present(s, t)
            made, target = made.squeeze(batch.rows.dim()), decoder.expected(targets[t])
            found |= error_sums(decoder, made, target, divergence, rows, (s, t))
        return found

    def examined(self, sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> Mapping[str, Mapping[str, float]]:
        """Errors and divergences as shares of the variance; see `raysim.models.reconstruction.shares`."""
        return shares(sums)
