"""A diffusion model for each modality by itself: the third of FedRecon's Table 4.

Source: Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", 2020, eq. 14, with their schedule:

    loss = sum_m mean (e_m - e(sqrt(a_t) x_m + sqrt(1 - a_t) e_m, t))^2,  t uniform, e_m of N(0, I)

over what a sample has, each with its own t. Images of 0 to 1 are denoised as numbers of -1 to 1. Samples are made in
few steps and without chance by Song, Meng and Ermon, "Denoising Diffusion Implicit Models", 2021, eq. 12 with sigma 0:
the latent vector is the noise that it begins with, as long as a sample. The networks are those of `models/denoiser.py`.
"""

import math
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from raysim.generators._separate import Sampler, standard
from raysim.generators.base import Count, Latent, Noise, Terms, drawn, total
from raysim.method import Batch, Group, Nets, Task
from raysim.models.denoiser import Denoiser, denoiser
from raysim.models.priors import Distribution

FIRST, LAST = 1e-4, 0.02
"""Variances of the noise that is added in the first and in the last of 1,000 steps."""


class Diffusion(Sampler):
    """Networks `gen.<modality>.denoiser`; `latent` does not matter."""

    class Options(Sampler.Options):
        """Its settings."""

        steps: Count = Field(default=1000, description="Steps of noise.")
        sampling_steps: Count = Field(default=50, description="Of them, those that a sample is made in.")

        @model_validator(mode="after")
        def _fewer(self) -> Self:
            if self.sampling_steps > self.steps:
                raise ValueError(f"sampling_steps is {self.sampling_steps}; write at most steps, {self.steps}")
            return self

    options: Options

    def groups(self, task: Task) -> dict[str, Group]:
        """Owned by the clients that have the modality."""
        o = self.options
        return {
            f"gen.{m}.denoiser": Group(denoiser(spec, o.channels, o.hidden), frozenset({m}))
            for m, spec in task.modalities.items()
        }

    def private_prior(self, batch: Batch, modality: str) -> Distribution:
        """The noise that becomes a sample, (*K, B, numbers of a sample)."""
        return standard(batch, math.prod(batch.x[modality].shape[batch.rows.dim() :]))

    def terms(self, nets: Nets, batch: Batch, noise: Noise) -> Terms:
        """The loss above."""
        kept, parts = self._kept(batch.rows.device), dict[str, Tensor]()
        for m, x in self.targets(nets, batch).items():
            net, at = _net(nets, m), (noise(f"t.{m}", tuple(batch.rows.shape), "uniform") * len(kept)).long()
            eps = drawn(self.private_prior(batch, m), noise, f"eps.{m}").reshape(x.shape)
            share = _beside(kept[at], x)
            found = net(share.sqrt() * net.scaled(x) + (1 - share).sqrt() * eps, at / self.options.steps)
            error = (found - eps).square().flatten(batch.rows.dim()).mean(-1)
            parts[m] = torch.where(batch.present[m], error, 0.0)
        return Terms(total(parts.values(), batch), parts)

    def decode(self, nets: Nets, latent: Latent, modality: str) -> Tensor:
        """The sample that noise becomes, (*K, B, S, *shape)."""
        net, noise = _net(nets, modality), latent.of(modality)
        x = torch.unflatten(noise.flatten(-3, -2), -1, net.shape)
        kept, count = self._kept(x.device), self.options.sampling_steps
        times = torch.arange(1, count + 1, device=x.device) * self.options.steps // count - 1
        shares = torch.cat([kept.new_ones(1), kept[times]])
        for i in range(count, 0, -1):
            share, before = shares[i], shares[i - 1]
            eps = net(x, (times[i - 1] / self.options.steps).expand(x.shape[: -len(net.shape)]))
            clean = net.bounded((x - (1 - share).sqrt() * eps) / share.sqrt())
            eps = (x - share.sqrt() * clean) / (1 - share).sqrt()
            x = before.sqrt() * clean + (1 - before).sqrt() * eps
        return torch.unflatten(net.restored(x), noise.dim() - 3, noise.shape[-3:-1])

    def _kept(self, device: torch.device) -> Tensor:
        """The share of a sample's variance that is left after each step; in the end the same, however many they are."""
        scale = 1000 / self.options.steps
        added = torch.linspace(scale * FIRST, min(scale * LAST, 0.999), self.options.steps, dtype=torch.float64)
        return (1 - added).cumprod(0).to(device, torch.get_default_dtype())


def _net(nets: Nets, modality: str) -> Denoiser:
    net = nets[f"gen.{modality}.denoiser"]
    assert isinstance(net, Denoiser)
    return net


def _beside(values: Tensor, x: Tensor) -> Tensor:
    """(*K, B) with ones after B, so that it multiplies x (*K, B, *shape)."""
    return values.reshape(*values.shape, *[1] * (x.dim() - values.dim()))
