"""Generators of modalities each by itself: what one makes of its latent vector says nothing of the others.

Nothing is shared: a modality's latent vector is its private part, and that of what is shared has no numbers. So samples
come from `posterior` given nothing, as those of other generators do.
"""

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor

from raysim.generators.base import Generator, Noise, Posterior
from raysim.method import Batch, Nets, Task
from raysim.models.priors import Distribution, Mixture


class Separate(Generator):
    """A subclass defines `terms`."""

    conditional: ClassVar[bool] = False

    def prior(self, nets: Nets, batch: Batch) -> Distribution:
        """Of what is shared, (*K, B, 0)."""
        return standard(batch, 0)

    def private_prior(self, batch: Batch, modality: str) -> Distribution:
        """N(0, I) of a modality's latent vector, (*K, B, W)."""
        return standard(batch, self.options.latent)

    def posterior(self, nets: Nets, batch: Batch, given: Iterable[str] | None = None) -> Posterior:
        """The priors, whatever is given."""
        private = {m: self.private_prior(batch, m) for m in batch.x}
        return Posterior(Mixture.alone(self.prior(nets, batch)), private)


class Sampler(Separate):
    """A generator without an encoder, of images and vectors, that knows no density."""

    density: ClassVar[bool] = False

    def check(self, task: Task) -> None:
        """Refuses other kinds.

        Raises:
            ValueError: one line with the reason and the way out.
        """
        for m, spec in task.modalities.items():
            if spec.kind not in ("image", "vector"):
                name = type(self).__module__.rpartition(".")[2]
                raise ValueError(
                    f"{name} makes images and vectors, and '{m}' is {spec.kind}; leave it out (modalities)"
                )
        super().check(task)

    def target(self, nets: Nets, modality: str, x: Tensor, lengths: Tensor | None) -> Tensor:
        """What is there."""
        return x

    def bound(self, nets: Nets, batch: Batch, noise: Noise, draws: int = 100) -> Tensor:
        """There is none."""
        raise NotImplementedError(f"{type(self).__name__} has no density of what it makes")


def standard(batch: Batch, width: int) -> Distribution:
    """N(0, I), (*K, B, width)."""
    zeros = torch.zeros(*batch.rows.shape, width, device=batch.rows.device)
    return Distribution("normal", zeros, zeros)
