"""A multimodal generator by itself: no task model, so that it is judged by what it makes.

Source: Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025,
appendix B, trains such generators at one place, which is a partition into one client here. With several clients they
are federated: each trains the networks of the modalities that it has, on all its samples, whatever they lack.

FedRecon's frozen copy of the global generator (`freeze` of `mvae_mapping`) only synthesises inputs for a task model;
without one there is nothing for it to do. What stays as it is here is the backbone that a mapping was trained on, as in
the paper's generative experiments: `generator: {name: mapping, backbone: ..., pretrain_rounds: 20, fixed: true}`.

The loss on validation samples tells the best round. Reported are, on validation samples, the errors of the mean of each
modality decoded from the posterior of each one alone, itself among them, as shares of the variance.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from raysim.generators.named import Named, generator_of
from raysim.generators.reconstruction import reconstruction_sums
from raysim.method import Batch, Group, Method, Nets, Phase, Task
from raysim.models.reconstruction import shares


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
        """The generator's stages, in its rounds."""
        return self.generator.phases()

    def losses(self, nets: Nets, batch: Batch) -> Tensor:
        """The generator's loss of each sample."""
        return self.generator.terms(nets, batch, batch.noise).loss

    def examine(self, nets: Nets, batch: Batch) -> Mapping[tuple[str, ...], Tensor]:
        """What tells the errors of each modality, decoded from itself and from each other one."""
        if not self.generator.conditional:
            return {}
        return reconstruction_sums(self.generator, nets, batch)

    def examined(self, sums: Mapping[tuple[str, ...], NDArray[np.float64]]) -> Mapping[str, Mapping[str, float]]:
        """Errors and divergences as shares of the variance; see `raysim.models.reconstruction.shares`."""
        return shares(sums)
