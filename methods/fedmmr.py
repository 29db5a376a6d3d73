"""FedMMR: conditional generative adversarial networks make the input of a missing modality from what is there.

Source: Wang et al., "FedMMR: Multi-Modal Federated Learning via Missing Modality Reconstruction", ICME 2024, as far as
Liu et al., "FedRecon: Missing Modality Reconstruction in Heterogeneous Distributed Environments", 2025 (section 2 and
appendix C) tell: its text and code are not public. From there are a generator for the missing modality, the alignment
of made and real inputs by the similarity of their features, and that a plain GAN does as the generator.

Ours: the layouts, the loss's terms beside that similarity and their weights, and the optimiser; a generator and a
discriminator for each ordered pair of modalities, and the mean over the sources available; discriminators never leave
their client; a sequence is made as the mean of its steps, an image as its pixels in a row; in the means of generators a
client counts by all of its samples, not by its pairs alone.

Shapes: K clients (may be absent), B batch, D features.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise, permutations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from raysim.method import (
    Adam,
    Batch,
    Feature,
    Group,
    Method,
    Nets,
    Objective,
    Optimizer,
    Phase,
    Streams,
    Task,
    Train,
    fill_inputs,
    paired,
)
from raysim.models.layers import LayerNorm, Linear, normalize
from raysim.models.pooling import Pooling
from raysim.models.task import encode

Count = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
SLOPE = 0.2


class Generator(nn.Module):
    """[source; noise], (*K, B, D + noise), -> (*K, B, D') of the target."""

    def __init__(self, source: Pooling, target: Pooling, options: "FedMMR.Options") -> None:
        super().__init__()
        self.source, self.target, self.noise = source, target, options.noise
        parts: list[nn.Module] = []
        for before, after in pairwise([source.width + options.noise, *options.generator]):
            parts += [Linear(before, after), LayerNorm(after), nn.LeakyReLU(SLOPE)]
        self.net = nn.Sequential(*parts, Linear(options.generator[-1], target.width))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """X (*K, B, D) and standard normal noise (*K, B, noise) -> (*K, B, D')."""
        return self.net(torch.cat([x, noise], dim=-1))


class Discriminator(nn.Module):
    """(*K, B, D) -> the logit of being real, (*K, B)."""

    def __init__(self, target: Pooling, widths: tuple[int, ...]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, after in pairwise([target.width, *widths]):
            parts += [Linear(before, after), nn.LeakyReLU(SLOPE)]
        self.net = nn.Sequential(*parts, Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """One number a sample."""
        return self.net(x).squeeze(-1)


class FedMMR(Method):
    """Generators `gen.<source>_<target>` against private discriminators `disc.<source>_<target>`; then the task."""

    class Options(Method.Options):
        """FedMMR's settings; all are ours."""

        noise: Count = Field(default=32, description="Width of the generators' noise.")
        generator: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
            default=(256, 256), description="Hidden widths of the generators."
        )
        discriminator: Annotated[tuple[Count, ...], Field(min_length=1)] = Field(
            default=(256, 128), description="Hidden widths of the discriminators."
        )
        reconstruction_weight: Weight = Field(default=10.0, description="Of the squared error of made inputs.")
        similarity_weight: Weight = Field(default=1.0, description="Of the dissimilarity of their features.")
        epochs: Count = Field(default=1, description="Of both networks.")
        optimizer: Optimizer = Field(
            default=Adam(name="adam", lr=2e-4, betas=(0.5, 0.999)), description="Of both networks."
        )

    options: Options
    fills = "input"
    kinds = frozenset({"vector", "sequence", "image"})
    least = 2

    def modules(self, task: Task) -> dict[str, Group]:
        """The task model, and a generator and a discriminator for each ordered pair, owned by clients with both."""
        groups, o = super().modules(task), self.options
        pools = {m: Pooling.of(m, modality, groups[f"task.{m}"].net) for m, modality in task.modalities.items()}
        for s, t in permutations(pools, 2):
            both = frozenset({s, t})
            generator, discriminator = Generator(pools[s], pools[t], o), Discriminator(pools[t], o.discriminator)
            groups[f"gen.{s}_{t}"] = Group(generator, both, algorithm=False, weights="samples")
            groups[f"disc.{s}_{t}"] = Group(discriminator, both, shared=False)
        return groups

    def phases(self, task: Task) -> tuple[Phase, ...]:
        """Every round: discriminators and generators in turn on samples with several modalities, then the task."""
        players = (
            Objective(("disc.*",), self.discriminator_loss, self.options.optimizer),
            Objective(("gen.*",), self.generator_loss, self.options.optimizer),
        )
        gan = Train("gan", players, samples=paired, epochs=self.options.epochs)
        return (Phase("train", (gan, self.task_stage())),)

    def discriminator_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """BCE(D(x_b), 1) + BCE(D(G(x_a)), 0), the mean over samples with both, summed over ordered pairs; (*K)."""
        losses: list[Tensor] = []
        for s, t in _pairs(batch):
            with torch.no_grad():
                made = self.generated(nets, batch, s, t)
            real, critic = _generator(nets, s, t).target.vector(batch), nets[f"disc.{s}_{t}"]
            each = _surprise(critic(real), real=True) + _surprise(critic(made), real=False)
            losses.append(batch.mean(each, where=batch.all_present(s, t)))
        return torch.stack(losses).sum(0)

    def generator_loss(self, nets: Nets, batch: Batch) -> Tensor:
        """BCE(D(G), 1) + w_r MSE(G, x_b) + w_s (1 - cos(f_b(G), f_b(x_b))), over samples with both; (*K).

        f_b is the task model's encoder of b, which stays as it is.
        """
        o = self.options
        with torch.no_grad():
            features = {m: f.pooled() for m, f in encode(nets, batch).items()}
        losses: list[Tensor] = []
        for s, t in _pairs(batch):
            made, pooling = self.generated(nets, batch, s, t), _generator(nets, s, t).target
            error = (made - pooling.vector(batch)).square().mean(-1)
            encoded: Feature = nets[f"task.{t}"](*pooling.input(made))
            cosine = (normalize(encoded.pooled()) * normalize(features[t])).sum(-1)
            fooled = _surprise(nets[f"disc.{s}_{t}"](made), real=True)
            each = fooled + o.reconstruction_weight * error + o.similarity_weight * (1 - cosine)
            losses.append(batch.mean(each, where=batch.all_present(s, t)))
        return torch.stack(losses).sum(0)

    def generated(self, nets: Nets, batch: Batch, source: str, target: str) -> Tensor:
        """The target's vectors (*K, B, D) by the source's; both players of a step see the same noise."""
        net = _generator(nets, source, target)
        noise = batch.noise(f"made.{source}_{target}", (*batch.rows.shape, net.noise))
        return net(net.source.vector(batch), noise)

    def fill(self, batch: Batch, nets: Nets, features: Mapping[str, Feature]) -> Streams:
        """What is absent is encoded from what is generated; no gradient reaches the generators."""
        make = partial(self.generated, nets, batch)
        return fill_inputs(batch, nets, features, "gen", make, lambda s, t: _generator(nets, s, t).target)


def _pairs(batch: Batch) -> Iterator[tuple[str, str]]:
    """Ordered pairs of what these clients have."""
    return permutations([m for m in batch.x if not batch.nowhere(m)], 2)


def _generator(nets: Nets, source: str, target: str) -> Generator:
    net = nets[f"gen.{source}_{target}"]
    assert isinstance(net, Generator)
    return net


def _surprise(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of logits (*K, B) against one answer, (*K, B)."""
    answer = torch.full_like(logits, float(real))
    return binary_cross_entropy_with_logits(logits, answer, reduction="none")
